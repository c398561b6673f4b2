package org.kerascompress.bench;

import android.app.Activity;
import android.os.Bundle;
import android.view.View;
import android.widget.ArrayAdapter;
import android.widget.ListView;
import java.text.DateFormat;
import java.util.ArrayList;
import java.util.Date;
import java.util.List;
import org.json.JSONArray;
import org.json.JSONObject;
import org.kerascompress.bench.core.BenchmarkException;
import org.kerascompress.bench.core.ResultFiles;

/** The runs kept on this device, the newest first. */
public final class HistoryActivity extends Activity {
    private static final int MOST_SHOWN = 200;

    @Override
    protected void onCreate(Bundle state) {
        super.onCreate(state);
        setContentView(R.layout.history);
    }

    @Override
    protected void onResume() {
        super.onResume();
        ResultFiles results = new AppFolders(this).results();
        List<String> ids = new ArrayList<>();
        List<String> lines = new ArrayList<>();
        for (String id : results.history()) {
            if (ids.size() == MOST_SHOWN) {
                break;
            }
            try {
                JSONObject result = results.read(results.result(id));
                if (!result.has("error") && result.optJSONArray("models") == null) {
                    continue;
                }
                ids.add(id);
                lines.add(describe(results.result(id).lastModified(), result));
            } catch (BenchmarkException damaged) {
                ids.add(id);
                lines.add(id + "\n" + damaged.getMessage());
            }
        }
        ListView list = (ListView) findViewById(R.id.runs);
        list.setAdapter(new ArrayAdapter<>(this, R.layout.run, lines));
        list.setOnItemClickListener((parent, view, position, row) ->
                startActivity(ResultActivity.intent(this, ids.get(position))));
        findViewById(R.id.empty).setVisibility(ids.isEmpty() ? View.VISIBLE : View.GONE);
    }

    private String describe(long time, JSONObject result) {
        StringBuilder line = new StringBuilder(DateFormat.getDateTimeInstance(DateFormat.MEDIUM,
                DateFormat.SHORT).format(new Date(time)));
        if (result.has("error")) {
            return line.append('\n').append(getString(R.string.failed)).append(": ")
                    .append(result.optString("error")).toString();
        }
        JSONArray models = result.optJSONArray("models");
        for (int i = 0; i < models.length(); i++) {
            JSONObject model = models.optJSONObject(i);
            JSONObject latency = model == null ? null : model.optJSONObject("latency_metrics");
            if (latency != null) {
                line.append('\n').append(model.optString("name")).append(" · ")
                        .append(String.format(java.util.Locale.getDefault(), "%.3f ms",
                                latency.optDouble("median_ms")));
            }
        }
        return line.toString();
    }
}
