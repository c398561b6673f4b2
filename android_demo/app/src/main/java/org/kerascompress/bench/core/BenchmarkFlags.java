package org.kerascompress.bench.core;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * What a run shall do, read from flags that bear the names of TensorFlow's benchmark_model.
 *
 * <p>`--name=value`, `--name value` and, for switches, a bare `--name` are understood. A flag that
 * is not known is an error that names it: a misspelt flag must not time something else.
 */
public final class BenchmarkFlags {
    /** Flags of the original that this app has no use for, and why. */
    private static final Map<String, String> REFUSED = new HashMap<>();

    static {
        REFUSED.put("use_nnapi", "Android 15 has deprecated NNAPI; use --use_gpu or XNNPACK");
        REFUSED.put("use_hexagon", "the runtime in this app has no Hexagon delegate");
        REFUSED.put("use_coreml", "Core ML is Apple's");
        REFUSED.put("input_layer", "inputs are taken from the model");
        REFUSED.put("input_layer_shape", "inputs are taken from the model");
        REFUSED.put("external_delegate_path", "an app may not load libraries from outside its APK");
    }

    private static final List<String> KNOWN = Arrays.asList(
            "graph", "baseline", "num_threads", "warmup_runs", "num_runs", "min_secs", "max_secs",
            "run_delay", "cool_down_secs", "rounds", "seed", "use_gpu", "use_xnnpack", "use_binary",
            "require_full_delegation", "enable_op_profiling", "op_profiling_output_mode",
            "report_peak_memory_footprint", "result_file_path", "csv_file_path", "run_id", "accuracy",
            "prepare");

    public final List<String> graphs = new ArrayList<>();
    public String baseline;
    public int numThreads = 1;
    public int warmupRuns = 1;
    public int numRuns = 50;
    public double minSecs = 1.0;
    public double maxSecs = 150.0;
    /** Seconds between two inferences, as in the original; -1 is none. */
    public double runDelay = -1.0;
    /** Seconds of rest before each turn of a model, against heat. */
    public double coolDownSecs;
    public int rounds = 10;
    public int seed;
    public boolean useGpu;
    public boolean useXnnpack = true;
    public boolean useBinary;
    public boolean requireFullDelegation;
    public boolean enableOpProfiling;
    public boolean reportPeakMemory = true;
    public String resultFilePath;
    public String csvFilePath;
    public String runId;
    public boolean accuracy = true;
    /** Only make the folders and say what this app is; nothing is timed. */
    public boolean prepare;

    public static BenchmarkFlags parse(String line) throws BenchmarkException {
        BenchmarkFlags flags = new BenchmarkFlags();
        List<String> words = ArgumentLine.split(line);
        for (int i = 0; i < words.size(); i++) {
            String word = words.get(i);
            if (!word.startsWith("--") || word.length() < 3) {
                throw new BenchmarkException("Arguments are flags that begin with two dashes. "
                        + "Received: " + BenchmarkException.shown(word) + ".");
            }
            int equals = word.indexOf('=');
            String name = word.substring(2, equals < 0 ? word.length() : equals);
            String value = equals < 0 ? null : word.substring(equals + 1);
            if (REFUSED.containsKey(name)) {
                boolean off = "false".equals(value) || "0".equals(value);
                if (off) {
                    continue;
                }
                throw new BenchmarkException("--" + name + " can't be used here: "
                        + REFUSED.get(name) + ".");
            }
            if (!KNOWN.contains(name)) {
                throw new BenchmarkException("There is no flag --" + BenchmarkException.shown(name)
                        .replace("'", "") + ". Known are --" + String.join(", --", KNOWN) + ".");
            }
            if (value == null && i + 1 < words.size() && !words.get(i + 1).startsWith("--")) {
                value = words.get(++i);
            }
            flags.set(name, value);
        }
        flags.check();
        return flags;
    }

    private void set(String name, String value) throws BenchmarkException {
        switch (name) {
            case "graph": graphs.add(text(name, value)); break;
            case "baseline": baseline = text(name, value); break;
            case "num_threads": numThreads = whole(name, value, 1, 64); break;
            case "warmup_runs": warmupRuns = whole(name, value, 0, 1_000_000); break;
            case "num_runs": numRuns = whole(name, value, 1, 1_000_000); break;
            case "min_secs": minSecs = seconds(name, value, 0); break;
            case "max_secs": maxSecs = seconds(name, value, 0); break;
            case "run_delay": runDelay = seconds(name, value, -1); break;
            case "cool_down_secs": coolDownSecs = seconds(name, value, 0); break;
            case "rounds": rounds = whole(name, value, 1, 1000); break;
            case "seed": seed = whole(name, value, 0, Integer.MAX_VALUE); break;
            case "use_gpu": useGpu = truth(name, value); break;
            case "use_xnnpack": useXnnpack = truth(name, value); break;
            case "use_binary": useBinary = truth(name, value); break;
            case "require_full_delegation": requireFullDelegation = truth(name, value); break;
            case "enable_op_profiling": enableOpProfiling = truth(name, value); break;
            case "op_profiling_output_mode": text(name, value); break;
            case "report_peak_memory_footprint": reportPeakMemory = truth(name, value); break;
            case "result_file_path": resultFilePath = text(name, value); break;
            case "csv_file_path": csvFilePath = text(name, value); break;
            case "run_id": runId = text(name, value); break;
            case "accuracy": accuracy = truth(name, value); break;
            case "prepare": prepare = truth(name, value); break;
            default: throw new AssertionError(name);
        }
    }

    private void check() throws BenchmarkException {
        if (minSecs > maxSecs) {
            throw new BenchmarkException(String.format(Locale.ROOT, "--min_secs can't be above "
                    + "--max_secs. Received: %s and %s.", minSecs, maxSecs));
        }
        if (useGpu && useBinary) {
            throw new BenchmarkException("One delegate can be asked for. Received: --use_gpu and "
                    + "--use_binary.");
        }
        if (runId != null && !runId.matches("[A-Za-z0-9_-]{1,64}")) {
            throw new BenchmarkException("--run_id is 1 to 64 letters, digits, - and _. Received: "
                    + BenchmarkException.shown(runId) + ".");
        }
        if (graphs.isEmpty() && !prepare) {
            throw new BenchmarkException("--graph must name a model: a file in the app's folder, or "
                    + "asset:NAME for one that came with the app. Received: no --graph.");
        }
        if (graphs.size() > 16) {
            throw new BenchmarkException("At most 16 models are timed in turns. Received: "
                    + graphs.size() + ".");
        }
    }

    /** The delegate asked for, by the name it has in results. */
    public String delegate() {
        return useGpu ? "gpu" : useBinary ? "binary" : useXnnpack ? "xnnpack" : "none";
    }

    private static String text(String name, String value) throws BenchmarkException {
        if (value == null || value.isEmpty()) {
            throw new BenchmarkException("--" + name + " needs a value. Received: none.");
        }
        return value;
    }

    private static int whole(String name, String value, int least, int most)
            throws BenchmarkException {
        try {
            long number = Long.parseLong(text(name, value).trim());
            if (number >= least && number <= most) {
                return (int) number;
            }
        } catch (NumberFormatException error) {
            // Said below.
        }
        throw new BenchmarkException("--" + name + " must be a whole number from " + least + " to "
                + most + ". Received: " + BenchmarkException.shown(value) + ".");
    }

    private static double seconds(String name, String value, double least)
            throws BenchmarkException {
        try {
            double number = Double.parseDouble(text(name, value).trim());
            if (number >= least && number <= 86_400) {
                return number;
            }
        } catch (NumberFormatException error) {
            // Said below.
        }
        throw new BenchmarkException("--" + name + " must be seconds from " + (int) least
                + " to 86400. Received: " + BenchmarkException.shown(value) + ".");
    }

    private static boolean truth(String name, String value) throws BenchmarkException {
        if (value == null || value.equals("true") || value.equals("1")) {
            return true;
        }
        if (value.equals("false") || value.equals("0")) {
            return false;
        }
        throw new BenchmarkException("--" + name + " must be true or false. Received: "
                + BenchmarkException.shown(value) + ".");
    }
}
