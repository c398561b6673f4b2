package org.kerascompress.bench;

import android.app.Activity;
import android.content.Intent;
import android.database.Cursor;
import android.net.Uri;
import android.os.Bundle;
import android.provider.OpenableColumns;
import android.text.SpannableString;
import android.text.Spanned;
import android.text.style.RelativeSizeSpan;
import android.view.View;
import android.view.ViewGroup;
import android.widget.ArrayAdapter;
import android.widget.CheckBox;
import android.widget.LinearLayout;
import android.widget.Spinner;
import android.widget.TextView;
import java.io.IOException;
import java.text.NumberFormat;
import java.util.ArrayList;
import java.util.List;
import org.kerascompress.bench.core.ArgumentLine;
import org.kerascompress.bench.core.BenchmarkException;
import org.kerascompress.bench.core.ModelPlaces;

/** The models there are, and how they shall be timed. */
public final class MainActivity extends Activity {
    private static final int OPEN = 1;
    private static final String CHOSEN = "chosen";
    private static final String[] DELEGATES = {"xnnpack", "none", "gpu", "binary"};
    private static final int[] THREADS = {1, 2, 4, 8};

    private final List<String> names = new ArrayList<>();
    private final ArrayList<String> chosen = new ArrayList<>();
    private AppFolders folders;

    @Override
    protected void onCreate(Bundle state) {
        super.onCreate(state);
        folders = new AppFolders(this);
        setContentView(R.layout.main);
        if (state != null && state.getStringArrayList(CHOSEN) != null) {
            chosen.addAll(state.getStringArrayList(CHOSEN));
        }
        spinner(R.id.delegate, "CPU (XNNPACK)", "CPU", "GPU", "Binary layers");
        String[] counts = new String[THREADS.length];
        for (int i = 0; i < counts.length; i++) {
            counts[i] = NumberFormat.getIntegerInstance().format(THREADS[i]);
        }
        spinner(R.id.threads, counts);
        findViewById(R.id.open).setOnClickListener(v -> open());
        findViewById(R.id.run).setOnClickListener(v -> run());
        findViewById(R.id.history).setOnClickListener(
                v -> startActivity(new Intent(this, HistoryActivity.class)));
    }

    @Override
    protected void onResume() {
        super.onResume();
        listModels();
        try {
            // What a crashed run left behind becomes its result, and is told.
            List<String> crashed = folders.results().closeAbandoned(CrashWatch::isAlive);
            if (!crashed.isEmpty()) {
                tell(folders.results().read(folders.results().result(crashed.get(0)))
                        .optString("error"));
            }
        } catch (BenchmarkException error) {
            tell(error.getMessage());
        }
    }

    @Override
    protected void onSaveInstanceState(Bundle state) {
        super.onSaveInstanceState(state);
        state.putStringArrayList(CHOSEN, chosen);
    }

    private void listModels() {
        ModelPlaces places = folders.places();
        names.clear();
        try {
            names.addAll(places.names());
        } catch (IOException error) {
            tell(error.getMessage());
        }
        chosen.retainAll(names);
        ViewGroup list = (ViewGroup) findViewById(R.id.models);
        list.removeAllViews();
        for (String name : names) {
            CheckBox box = new CheckBox(this);
            String shown = ModelPlaces.shortName(name);
            String where = getString(name.startsWith(ModelPlaces.ASSET) ? R.string.bundled
                    : R.string.in_folder);
            try {
                String size = NumberFormat.getIntegerInstance().format(places.size(name));
                box.setText(titled(shown, getString(R.string.model_row, size, where)));
            } catch (BenchmarkException error) {
                box.setText(shown);
            }
            box.setTag(name);
            box.setMinimumHeight((int) (48 * getResources().getDisplayMetrics().density));
            box.setTextAlignment(View.TEXT_ALIGNMENT_VIEW_START);
            box.setChecked(chosen.contains(name));
            box.setOnCheckedChangeListener((button, on) -> {
                chosen.remove(name);
                if (on) {
                    chosen.add(name);
                }
                tell(null);
            });
            list.addView(box, new LinearLayout.LayoutParams(ViewGroup.LayoutParams.MATCH_PARENT,
                    ViewGroup.LayoutParams.WRAP_CONTENT));
        }
        findViewById(R.id.empty).setVisibility(names.isEmpty() ? View.VISIBLE : View.GONE);
        String[] baselines = new String[names.size() + 1];
        baselines[0] = getString(R.string.no_baseline);
        for (int i = 0; i < names.size(); i++) {
            baselines[i + 1] = ModelPlaces.shortName(names.get(i));
        }
        int before = ((Spinner) findViewById(R.id.baseline)).getSelectedItemPosition();
        spinner(R.id.baseline, baselines);
        if (before > 0 && before < baselines.length) {
            ((Spinner) findViewById(R.id.baseline)).setSelection(before);
        }
    }

    /** The name large, what there is to know of it small and below. */
    private static CharSequence titled(String name, String facts) {
        SpannableString text = new SpannableString(name + "\n" + facts);
        text.setSpan(new RelativeSizeSpan(0.85f), name.length(), text.length(),
                Spanned.SPAN_EXCLUSIVE_EXCLUSIVE);
        return text;
    }

    private void spinner(int id, String... items) {
        ArrayAdapter<String> adapter = new ArrayAdapter<>(this, R.layout.choice, items);
        adapter.setDropDownViewResource(android.R.layout.simple_spinner_dropdown_item);
        ((Spinner) findViewById(id)).setAdapter(adapter);
    }

    private int position(int id) {
        return Math.max(((Spinner) findViewById(id)).getSelectedItemPosition(), 0);
    }

    private void run() {
        if (chosen.isEmpty()) {
            tell(getString(R.string.choose_model));
            return;
        }
        startActivity(BenchmarkActivity.intent(this, arguments()));
    }

    /** The same line that `adb` would send. */
    String arguments() {
        List<String> words = new ArrayList<>();
        for (String name : chosen) {
            words.add("--graph=" + name);
        }
        int baseline = position(R.id.baseline);
        if (baseline > 0 && baseline <= names.size()) {
            words.add("--baseline=" + names.get(baseline - 1));
        }
        String delegate = DELEGATES[position(R.id.delegate)];
        words.add("--use_xnnpack=" + !delegate.equals("none"));
        words.add("--use_gpu=" + delegate.equals("gpu"));
        words.add("--use_binary=" + delegate.equals("binary"));
        words.add("--num_threads=" + THREADS[position(R.id.threads)]);
        words.add("--warmup_runs=5");
        if (((CheckBox) findViewById(R.id.cool_down)).isChecked()) {
            words.add("--cool_down_secs=2");
        }
        return ArgumentLine.join(words);
    }

    private void open() {
        Intent pick = new Intent(Intent.ACTION_OPEN_DOCUMENT).setType("*/*")
                .addCategory(Intent.CATEGORY_OPENABLE);
        try {
            startActivityForResult(pick, OPEN);
        } catch (android.content.ActivityNotFoundException none) {
            tell(none.getMessage());
        }
    }

    @Override
    protected void onActivityResult(int request, int result, Intent data) {
        super.onActivityResult(request, result, data);
        if (request != OPEN || result != RESULT_OK || data == null || data.getData() == null) {
            return;
        }
        Uri uri = data.getData();
        new Thread(() -> {
            String said;
            String added = null;
            try {
                added = DocumentImport.copy(getContentResolver(), uri, displayName(uri),
                        folders.models());
                said = getString(R.string.imported, added);
            } catch (BenchmarkException error) {
                said = error.getMessage();
            }
            final String message = said;
            final String name = added;
            runOnUiThread(() -> {
                if (name != null && !chosen.contains(name)) {
                    chosen.add(name);
                }
                listModels();
                tell(message);
            });
        }, "import").start();
    }

    private String displayName(Uri uri) {
        try (Cursor cursor = getContentResolver().query(uri,
                new String[] {OpenableColumns.DISPLAY_NAME}, null, null, null)) {
            if (cursor != null && cursor.moveToFirst() && cursor.getString(0) != null) {
                return cursor.getString(0);
            }
        } catch (RuntimeException hostile) {
            // The provider is another app's; its name is not needed.
        }
        return uri.getLastPathSegment();
    }

    private void tell(String message) {
        TextView view = (TextView) findViewById(R.id.message);
        view.setText(message);
        view.setVisibility(message == null || message.isEmpty() ? View.GONE : View.VISIBLE);
    }
}
