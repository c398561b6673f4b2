package org.kerascompress.bench.core;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.json.JSONArray;
import org.json.JSONException;
import org.json.JSONObject;

/** The line of TensorFlow's benchmark app that existing scripts look for in logcat. */
public final class ClassicLine {
    private ClassicLine() {}

    /** One line a model. Microseconds, in the words and the order of the original. */
    public static List<String> of(JSONObject result) throws JSONException {
        List<String> lines = new ArrayList<>();
        JSONArray models = result.getJSONArray("models");
        for (int i = 0; i < models.length(); i++) {
            JSONObject latency = models.getJSONObject(i).getJSONObject("latency_metrics");
            lines.add(String.format(Locale.ROOT, "Inference timings in us: Init: %d, First inference: "
                    + "%d, Warmup (avg): %s, Inference (avg): %s",
                    Math.round(latency.getDouble("init_ms") * 1e3),
                    Math.round(latency.getDouble("first_inference_ms") * 1e3),
                    micros(latency.getDouble("average_warm_up_ms")),
                    micros(latency.getDouble("avg_ms"))));
        }
        return lines;
    }

    private static String micros(double milliseconds) {
        // As C++ streams write a double: six significant digits, no zeros at the end.
        String text = String.format(Locale.ROOT, "%.6g", milliseconds * 1e3);
        return text.contains(".") && !text.contains("e")
                ? text.replaceAll("0+$", "").replaceAll("\\.$", "") : text;
    }
}
