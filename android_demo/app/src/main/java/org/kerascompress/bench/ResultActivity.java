package org.kerascompress.bench;

import android.app.Activity;
import android.content.ActivityNotFoundException;
import android.content.Context;
import android.content.Intent;
import android.net.Uri;
import android.os.Bundle;
import android.provider.DocumentsContract;
import android.view.View;
import android.view.ViewGroup;
import android.widget.TextView;
import java.io.File;
import java.io.FileInputStream;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.text.NumberFormat;
import org.json.JSONArray;
import org.json.JSONException;
import org.json.JSONObject;
import org.kerascompress.bench.core.BenchmarkException;
import org.kerascompress.bench.core.ResultFiles;

/** A card for each model of a run: its numbers, its samples, and how it stands to the baseline. */
public final class ResultActivity extends Activity {
    private static final String RUN = "run";
    private static final int EXPORT = 1;

    private File file;

    static Intent intent(Context context, String run) {
        return new Intent(context, ResultActivity.class).putExtra(RUN, run);
    }

    @Override
    protected void onCreate(Bundle state) {
        super.onCreate(state);
        setTitle(R.string.result_title);
        setContentView(R.layout.result);
        ResultFiles results = new AppFolders(this).results();
        String run = getIntent().getStringExtra(RUN);
        file = results.result(run == null ? "" : run);
        try {
            show(results.read(file));
        } catch (BenchmarkException | JSONException error) {
            fail(error.getMessage());
        }
        findViewById(R.id.share).setOnClickListener(v -> share());
        findViewById(R.id.export).setOnClickListener(v -> export());
    }

    private void fail(String message) {
        TextView summary = (TextView) findViewById(R.id.summary);
        summary.setText(getString(R.string.failed) + ": " + message);
        summary.setTextColor(getColor(R.color.bad));
    }

    private void show(JSONObject result) throws JSONException {
        if (result.has("error")) {
            fail(result.getString("error"));
            return;
        }
        JSONObject environment = result.getJSONObject("environment");
        StringBuilder lines = new StringBuilder();
        lines.append(environment.optString("manufacturer")).append(' ')
                .append(environment.optString("model")).append(" · Android ")
                .append(environment.optString("os_version")).append(" · ")
                .append(environment.getJSONObject("runtime").getString("name")).append(' ')
                .append(environment.getJSONObject("runtime").getString("version"));
        JSONObject app = environment.optJSONObject("app");
        if (app != null && app.optBoolean("debuggable")) {
            lines.append('\n').append(getString(R.string.debug_build));
        }
        lines.append('\n').append(getString(R.string.heat, told(environment, "thermal_before"),
                told(environment, "thermal_after")));
        JSONArray warnings = result.optJSONArray("warnings");
        for (int i = 0; warnings != null && i < warnings.length(); i++) {
            lines.append('\n').append(warnings.getString(i));
        }
        ((TextView) findViewById(R.id.summary)).setText(lines);
        JSONArray models = result.getJSONArray("models");
        double most = 0;
        for (int i = 0; i < models.length(); i++) {
            most = Math.max(most, models.getJSONObject(i).getJSONObject("latency_metrics")
                    .getDouble("p90_ms"));
        }
        ViewGroup cards = (ViewGroup) findViewById(R.id.cards);
        for (int i = 0; i < models.length(); i++) {
            cards.addView(card(models.getJSONObject(i), cards, most));
        }
    }

    private String told(JSONObject environment, String name) {
        JSONObject thermal = environment.optJSONObject(name);
        return thermal == null || thermal.isNull("temperature_c") ? getString(R.string.not_told)
                : number(thermal.optDouble("temperature_c"), 1);
    }

    private View card(JSONObject model, ViewGroup parent, double most) throws JSONException {
        View card = getLayoutInflater().inflate(R.layout.card, parent, false);
        JSONObject latency = model.getJSONObject("latency_metrics");
        JSONObject decode = model.getJSONObject("decode");
        JSONObject memory = model.getJSONObject("memory_metrics");
        String name = model.getString("name");
        ((TextView) card.findViewById(R.id.name)).setText(name);
        ((TextView) card.findViewById(R.id.headline)).setText(
                getString(R.string.ms, number(latency.getDouble("median_ms"), 3)));
        showComparison(card, model);
        double[] samples = new double[model.getJSONArray("samples_ms").length()];
        for (int i = 0; i < samples.length; i++) {
            samples[i] = model.getJSONArray("samples_ms").getDouble(i);
        }
        SamplesPlot plot = (SamplesPlot) card.findViewById(R.id.plot);
        plot.show(samples, latency.getDouble("median_ms"), most * 1.25);
        plot.setContentDescription(getString(R.string.plot_label, name, samples.length,
                number(latency.getDouble("min_ms"), 3), number(latency.getDouble("max_ms"), 3),
                number(latency.getDouble("median_ms"), 3)));
        ViewGroup rows = (ViewGroup) card.findViewById(R.id.rows);
        row(rows, R.string.percentiles, ms(latency, "p5_ms") + " · " + ms(latency, "p90_ms") + " · "
                + ms(latency, "p95_ms"));
        row(rows, R.string.min_max, ms(latency, "min_ms") + " · " + ms(latency, "max_ms") + " · "
                + ms(latency, "stddev_ms"));
        row(rows, R.string.first_inference, ms(latency, "first_inference_ms") + " · "
                + ms(latency, "average_warm_up_ms"));
        row(rows, R.string.init, ms(latency, "init_ms") + " · " + ms(latency, "later_init_ms"));
        if (model.getString("format").equals("kcz")) {
            row(rows, R.string.decode, ms(decode, "decode_ms") + " · "
                    + ms(decode, "later_decode_ms"));
        }
        row(rows, R.string.file_size, getString(R.string.bytes,
                number(decode.getDouble("file_bytes"), 0)));
        row(rows, R.string.memory, kb(memory, "before_kb") + " · " + kb(memory, "after_kb") + " · "
                + (memory.isNull("peak_mem_mb") ? getString(R.string.not_told)
                : getString(R.string.kb, number(memory.getDouble("peak_mem_mb") * 1024, 0))));
        JSONObject delegate = model.getJSONObject("delegate");
        String counts = delegate.isNull("delegated_nodes") ? "" : " ("
                + number(delegate.getDouble("delegated_nodes"), 0) + "/"
                + number(delegate.getDouble("nodes"), 0) + ")";
        row(rows, R.string.delegate_used, delegate.getString("asked") + " · "
                + delegate.getString("used") + counts);
        JSONObject accuracy = model.optJSONObject("accuracy");
        if (accuracy != null) {
            row(rows, R.string.accuracy, number(100 * accuracy.getDouble("top1"), 1) + " % · "
                    + (accuracy.has("largest_logit_difference")
                    ? number(accuracy.getDouble("largest_logit_difference"), 4)
                    : getString(R.string.is_baseline)));
        }
        return card;
    }

    private void showComparison(View card, JSONObject model) throws JSONException {
        TextView line = (TextView) card.findViewById(R.id.comparison);
        TextView why = (TextView) card.findViewById(R.id.reasons);
        JSONObject comparison = model.optJSONObject("comparison");
        why.setVisibility(View.GONE);
        if (comparison == null) {
            line.setText(model.optBoolean("is_baseline") ? getString(R.string.is_baseline) : "");
            line.setTextColor(getColor(R.color.baseline));
            return;
        }
        String verdict = comparison.getString("verdict");
        boolean pass = verdict.equals("PASS");
        boolean fail = verdict.equals("FAIL");
        line.setText(getString(pass ? R.string.verdict_pass : fail ? R.string.verdict_fail
                : R.string.verdict_warning) + " · " + speed(comparison) + " · "
                + size(comparison.getDouble("size_ratio")));
        line.setTextColor(getColor(pass ? R.color.good : fail ? R.color.bad : R.color.warning));
        JSONArray reasons = comparison.getJSONArray("reasons");
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < reasons.length(); i++) {
            text.append(i > 0 ? "; " : "").append(reasons.getString(i));
        }
        why.setText(text);
        why.setVisibility(text.length() == 0 ? View.GONE : View.VISIBLE);
    }

    /** "2.00 times as fast", or the other way about: nobody reads "0.01 times as fast" right. */
    private String speed(JSONObject comparison) throws JSONException {
        double ratio = comparison.getDouble("latency_ratio");
        double low = comparison.getDouble("latency_ratio_low");
        double high = comparison.getDouble("latency_ratio_high");
        // What rounds to 1.00 is said the first way.
        return ratio >= 0.995
                ? getString(R.string.times_as_fast, ratio(ratio), ratio(low), ratio(high))
                : getString(R.string.times_as_long, ratio(1 / ratio), ratio(1 / high),
                ratio(1 / low));
    }

    private String size(double ratio) {
        return ratio >= 1 ? getString(R.string.times_smaller, ratio(ratio))
                : getString(R.string.times_as_large, ratio(1 / ratio));
    }

    private static String ratio(double value) {
        return number(value, value < 10 ? 2 : value < 100 ? 1 : 0);
    }

    /** Label and value are one item to TalkBack. */
    private void row(ViewGroup rows, int label, String value) {
        View row = getLayoutInflater().inflate(R.layout.row, rows, false);
        ((TextView) row.findViewById(R.id.label)).setText(label);
        ((TextView) row.findViewById(R.id.value)).setText(value);
        row.setContentDescription(getString(label) + ": " + value);
        rows.addView(row);
    }

    private String ms(JSONObject from, String name) throws JSONException {
        return getString(R.string.ms, number(from.getDouble(name), 3));
    }

    private String kb(JSONObject from, String name) throws JSONException {
        return from.isNull(name) ? getString(R.string.not_told)
                : getString(R.string.kb, number(from.getDouble(name), 0));
    }

    private static String number(double value, int digits) {
        NumberFormat format = NumberFormat.getNumberInstance();
        format.setMaximumFractionDigits(digits);
        format.setMinimumFractionDigits(Math.min(digits, 2));
        return format.format(value);
    }

    private void share() {
        Intent send = new Intent(Intent.ACTION_SEND).setType("application/json")
                .putExtra(Intent.EXTRA_STREAM, ResultProvider.uri(this, file.getName()))
                .addFlags(Intent.FLAG_GRANT_READ_URI_PERMISSION);
        // The grant goes with the clip; the extra alone carries none.
        send.setClipData(android.content.ClipData.newRawUri("",
                ResultProvider.uri(this, file.getName())));
        startActivity(Intent.createChooser(send, getString(R.string.share)));
    }

    private void export() {
        try {
            startActivityForResult(new Intent(Intent.ACTION_CREATE_DOCUMENT)
                    .addCategory(Intent.CATEGORY_OPENABLE).setType("application/json")
                    .putExtra(Intent.EXTRA_TITLE, file.getName()), EXPORT);
        } catch (ActivityNotFoundException none) {
            tell(none.getMessage(), R.color.bad);
        }
    }

    @Override
    protected void onActivityResult(int request, int code, Intent data) {
        super.onActivityResult(request, code, data);
        if (request != EXPORT || code != RESULT_OK || data == null || data.getData() == null) {
            return;
        }
        Uri target = data.getData();
        try (InputStream in = new FileInputStream(file);
                OutputStream out = getContentResolver().openOutputStream(target, "wt")) {
            if (out == null) {
                throw new IOException("the app that keeps it takes nothing");
            }
            byte[] part = new byte[65536];
            for (int n = in.read(part); n >= 0; n = in.read(part)) {
                out.write(part, 0, n);
            }
        } catch (IOException | RuntimeException error) {
            discard(target);
            tell(getString(R.string.not_saved, BenchmarkException.oneLine(error.getMessage())),
                    R.color.bad);
            return;
        }
        tell(getString(R.string.saved), R.color.good);
    }

    /** What was begun is taken back: half a result is none. */
    private void discard(Uri target) {
        try {
            DocumentsContract.deleteDocument(getContentResolver(), target);
        } catch (FileNotFoundException | RuntimeException kept) {
            // Its keeper does not delete for others; the message says that nothing was saved.
        }
    }

    private void tell(String message, int color) {
        TextView view = (TextView) findViewById(R.id.message);
        view.setText(message);
        view.setTextColor(getColor(color));
        view.setVisibility(View.VISIBLE);
    }
}
