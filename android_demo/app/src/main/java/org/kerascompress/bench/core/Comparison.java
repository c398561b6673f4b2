package org.kerascompress.bench.core;

import java.util.Locale;
import org.json.JSONArray;
import org.json.JSONException;
import org.json.JSONObject;

/** A model beside its baseline, by the same rules as `keras-compress bench` on the host. */
final class Comparison {
    // Below this share of difference nobody notices, and phones repeat themselves no better.
    private static final double TOLERATED = 0.05;
    private static final double TOLERATED_STARTUP_MS = 1.0;

    private Comparison() {}

    static JSONObject compare(JSONObject model, JSONObject baseline) throws JSONException {
        JSONObject own = model.getJSONObject("latency_metrics");
        JSONObject other = baseline.getJSONObject("latency_metrics");
        double[] interval = Samples.ratioInterval(medians(baseline), medians(model));
        double low = interval[0];
        double high = interval[1];
        double sizeRatio = bytes(baseline) / (double) bytes(model);
        double startup = startup(model);
        double baselineStartup = startup(baseline);
        double slow = 1 / (1 + TOLERATED);
        JSONArray reasons = new JSONArray();
        boolean failed = high < slow;
        if (failed) {
            reasons.put(String.format(Locale.ROOT,
                    "an inference takes %.2f to %.2f times as long", 1 / high, 1 / low));
        } else if (low < slow) {
            reasons.put(String.format(Locale.ROOT,
                    "an inference may take up to %.2f times as long", 1 / low));
        }
        if (startup > baselineStartup * (1 + TOLERATED) + TOLERATED_STARTUP_MS) {
            reasons.put(String.format(Locale.ROOT, "starting up takes %.1f ms longer",
                    startup - baselineStartup));
        }
        if (sizeRatio < slow) {
            reasons.put(String.format(Locale.ROOT, "the file is %.2f times as large", 1 / sizeRatio));
        }
        return new JSONObject().put("baseline", baseline.getString("name"))
                .put("latency_ratio", other.getDouble("median_ms") / own.getDouble("median_ms"))
                .put("latency_ratio_low", low).put("latency_ratio_high", high)
                .put("size_ratio", sizeRatio).put("startup_overhead_ms", startup)
                .put("baseline_startup_overhead_ms", baselineStartup)
                .put("verdict", failed ? "FAIL" : reasons.length() > 0 ? "PASS_WITH_WARNING" : "PASS")
                .put("reasons", reasons);
    }

    private static double[] medians(JSONObject model) throws JSONException {
        JSONArray rounds = model.getJSONArray("rounds");
        double[] medians = new double[rounds.length()];
        for (int i = 0; i < medians.length; i++) {
            medians[i] = rounds.getJSONObject(i).getDouble("median_ms");
        }
        return medians;
    }

    private static long bytes(JSONObject model) throws JSONException {
        return model.getJSONObject("decode").getLong("file_bytes");
    }

    private static double startup(JSONObject model) throws JSONException {
        JSONObject latency = model.getJSONObject("latency_metrics");
        return model.getJSONObject("decode").getDouble("decode_ms") + latency.getDouble("init_ms")
                + latency.getDouble("average_warm_up_ms") - latency.getDouble("avg_ms");
    }
}
