package org.kerascompress.bench.core;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import org.json.JSONArray;
import org.json.JSONException;
import org.json.JSONObject;

/** One model under the clock: decoded, initialized, warmed up, then timed turn by turn. */
final class ModelUnderTest implements AutoCloseable {
    private static final int LATER = 3;
    /** As many samples are kept for the plot; all of them count in the numbers. */
    private static final int MOST_KEPT = 2000;

    /** Told between two inferences; true ends the run. */
    interface Cancelled {
        boolean now();
    }

    final String name;
    final boolean isBaseline;
    private final BenchmarkFlags flags;
    private ByteBuffer model;
    private Engine engine;
    private final JSONObject decode = new JSONObject();
    private final JSONObject latency = new JSONObject();
    private final JSONObject memory = new JSONObject();
    private final List<long[]> rounds = new ArrayList<>();
    private final List<Double> warmup = new ArrayList<>();
    private JSONObject delegate;
    private String format;
    private String sha256;
    private long fileBytes;
    float[] scores;
    JSONObject accuracy;
    final JSONArray warnings = new JSONArray();

    ModelUnderTest(String name, boolean isBaseline, BenchmarkFlags flags) {
        this.name = name;
        this.isBaseline = isBaseline;
        this.flags = flags;
    }

    /** Decodes, initializes and runs once, each under the clock. */
    void load(ModelPlaces places, String place, Engine.Factory factory, PhoneState phone)
            throws BenchmarkException, JSONException {
        String asked = flags.delegate();
        String logBefore = phone.runtimeLog();
        System.gc();
        boolean peakIsOwn = ProcessMemory.resetPeak();
        Long before = ProcessMemory.residentKb();
        ByteBuffer stored = places.read(place);
        long limit = phone.freeMemory();
        boolean packed = KczDecoder.isPacked(stored);
        double[] decodes = new double[packed ? 1 + LATER : 0];
        model = stored;
        if (packed) {
            KczDecoder.load();
            long began = System.nanoTime();
            model = KczDecoder.decode(stored, name, limit);
            decodes[0] = (System.nanoTime() - began) / 1e6;
        }
        Long decoded = ProcessMemory.residentKb();
        TfliteFile file = new TfliteFile(model, name, limit);
        long began = System.nanoTime();
        try {
            engine = factory.open(model, name, flags.numThreads, asked);
        } catch (BenchmarkException error) {
            throw file.customOperators.isEmpty() ? error : new BenchmarkException(
                    error.getMessage() + " Its operators " + file.customOperators
                    + " are not in the runtime; those of binary layers need --use_binary.", error);
        }
        latency.put("init_ms", (System.nanoTime() - began) / 1e6);
        engine.setInputs(fill(engine.inputs()));
        Long initialized = ProcessMemory.residentKb();
        double first = engine.run() / 1e6;
        latency.put("first_inference_ms", first);
        warmup.add(first);
        Long overall = ProcessMemory.residentKb();
        Long peak = ProcessMemory.peakKb();
        delegate = Delegation.describe(asked, file.operators, engine.nodesAsRun(),
                logBefore, phone.runtimeLog());
        if (asked.equals("binary")) {
            // Nothing else in the app has the custom operator: a model that runs with it had it
            // taken, node for node, which the length of the plan can't show.
            delegate.put("used", file.customOperators.isEmpty() ? "none" : "binary");
        }
        checkDelegate(asked);
        double[] inits = new double[LATER];
        for (int i = 0; i < LATER; i++) {
            began = System.nanoTime();
            Engine again = factory.open(model, name, flags.numThreads, asked);
            inits[i] = (System.nanoTime() - began) / 1e6;
            again.close();
        }
        latency.put("later_init_ms", Samples.median(inits));
        for (int i = 1; i < decodes.length; i++) {
            began = System.nanoTime();
            KczDecoder.decode(stored, name, limit);
            decodes[i] = (System.nanoTime() - began) / 1e6;
        }
        format = packed ? "kcz" : "tflite";
        fileBytes = stored.capacity();
        sha256 = sha256(stored);
        decode.put("decode_ms", packed ? decodes[0] : 0)
                .put("later_decode_ms",
                        packed ? Samples.median(Arrays.copyOfRange(decodes, 1, decodes.length)) : 0)
                .put("file_bytes", fileBytes).put("model_bytes", model.capacity());
        // Where the peak can't be set back, only a new peak is this model's.
        memory.put("decode_footprint_kb", grown(before, decoded))
                .put("init_footprint_kb", grown(before, initialized))
                .put("overall_footprint_kb", grown(before, overall))
                .put("peak_footprint_kb", peakIsOwn ? grown(before, peak) : JSONObject.NULL)
                .put("peak_mem_mb", peak == null || !flags.reportPeakMemory ? JSONObject.NULL
                        : (Object) (peak / 1024.0))
                .put("before_kb", before == null ? JSONObject.NULL : before)
                .put("after_kb", overall == null ? JSONObject.NULL : overall);
        if (file.dynamic) {
            warnings.put("the model has shapes that are known only when it runs; it was timed with "
                    + "those in the file, 1 where there is none");
        }
        if (!file.customOperators.isEmpty()) {
            delegate.put("custom_operators", new JSONArray(file.customOperators));
        }
    }

    private void checkDelegate(String asked) throws BenchmarkException, JSONException {
        int nodes = delegate.getInt("nodes");
        boolean told = !delegate.isNull("delegated_nodes");
        int taken = told ? delegate.getInt("delegated_nodes") : -1;
        if (flags.requireFullDelegation && taken != nodes) {
            throw new BenchmarkException("--require_full_delegation asks that " + asked + " takes all "
                    + nodes + " nodes of " + name + ". Received: "
                    + (told ? taken + " of them." : "the runtime does not tell how many."));
        }
        if (!asked.equals("none") && !delegate.getString("used").equals(asked)) {
            warnings.put(asked + " was asked for; used: " + delegate.getString("used"));
        }
    }

    private static Object grown(Long before, Long after) {
        return before == null || after == null ? JSONObject.NULL : (Object) (after - before);
    }

    void warmUp(Cancelled cancelled) throws BenchmarkException {
        long latest = System.nanoTime() + (long) (flags.maxSecs * 1e9);
        for (int i = 0; i < flags.warmupRuns && !cancelled.now(); i++) {
            warmup.add(engine.run() / 1e6);
            if (System.nanoTime() >= latest) {
                break;
            }
        }
    }

    /** One turn: a run that isn't timed, for the caches, then at least so many and so long. */
    void takeTurn(Cancelled cancelled) throws BenchmarkException {
        engine.run();
        int least = (flags.numRuns + flags.rounds - 1) / flags.rounds;
        long begin = System.nanoTime();
        long earliest = begin + (long) (flags.minSecs / flags.rounds * 1e9);
        long latest = begin + (long) (flags.maxSecs / flags.rounds * 1e9);
        long[] times = new long[Math.max(least, 64)];
        int count = 0;
        while (true) {
            if (count == times.length) {
                times = Arrays.copyOf(times, count * 2);
            }
            times[count++] = Math.max(engine.run(), 1);
            long now = System.nanoTime();
            if (now >= latest || (count >= least && now >= earliest) || cancelled.now()) {
                break;
            }
            if (flags.runDelay > 0) {
                Pause.seconds(flags.runDelay, cancelled);
            }
        }
        rounds.add(Arrays.copyOf(times, count));
    }

    void measureAccuracy(LabelledSet set) throws BenchmarkException {
        if (set != null && set.fits(engine.inputs(), engine.outputs())) {
            scores = set.scores(engine);
        }
    }

    /** The entry of `models` in the result, without its comparison. */
    JSONObject entry() throws JSONException {
        int total = 0;
        for (long[] times : rounds) {
            total += times.length;
        }
        long[] all = new long[total];
        JSONArray parts = new JSONArray();
        JSONArray kept = new JSONArray();
        int stride = Math.max(1, (total + MOST_KEPT - 1) / MOST_KEPT);
        int at = 0;
        for (long[] times : rounds) {
            double[] milliseconds = new double[times.length];
            for (int i = 0; i < times.length; i++) {
                milliseconds[i] = times[i] / 1e6;
                if (at % stride == 0) {
                    kept.put(milliseconds[i]);
                }
                all[at++] = times[i];
            }
            parts.put(new JSONObject().put("num_runs", times.length)
                    .put("median_ms", Samples.median(milliseconds)));
        }
        Samples samples = new Samples(all);
        double warm = 0;
        for (double time : warmup) {
            warm += time / warmup.size();
        }
        latency.put("avg_ms", samples.avg).put("min_ms", samples.min).put("max_ms", samples.max)
                .put("stddev_ms", samples.stddev).put("median_ms", samples.median)
                .put("p5_ms", samples.p5).put("p90_ms", samples.p90).put("p95_ms", samples.p95)
                .put("average_warm_up_ms", warm);
        double megabytes = fileBytes / 1e6;
        JSONObject entry = new JSONObject().put("name", name).put("format", format)
                .put("sha256", sha256).put("is_baseline", isBaseline)
                .put("latency_metrics", latency).put("memory_metrics", memory)
                .put("misc_metrics", new JSONObject().put("model_size_mb", megabytes)
                        .put("num_runs", total).put("num_warmup_runs", warmup.size())
                        .put("model_throughput_in_mb_per_sec", megabytes / (samples.avg / 1e3)))
                .put("decode", decode).put("delegate", delegate).put("rounds", parts)
                .put("samples_ms", kept).put("samples_stride", stride)
                .put("inputs", forms(engine.inputs())).put("outputs", forms(engine.outputs()));
        if (warnings.length() > 0) {
            entry.put("warnings", warnings);
        }
        if (accuracy != null) {
            entry.put("accuracy", accuracy);
        }
        return entry;
    }

    private static JSONArray forms(Engine.TensorForm[] forms) throws JSONException {
        JSONArray list = new JSONArray();
        for (Engine.TensorForm form : forms) {
            JSONArray shape = new JSONArray();
            for (int size : form.shape) {
                shape.put(size);
            }
            list.put(new JSONObject().put("name", form.name).put("type", form.type)
                    .put("shape", shape));
        }
        return list;
    }

    /** Random numbers; integers that may be indices are zero, as on the host. */
    private ByteBuffer[] fill(Engine.TensorForm[] forms) throws BenchmarkException {
        Random random = new Random(flags.seed);
        ByteBuffer[] buffers = new ByteBuffer[forms.length];
        for (int i = 0; i < forms.length; i++) {
            String type = forms[i].type;
            if (type.equals("STRING")) {
                throw new BenchmarkException("Inputs must be numbers. Received: " + name
                        + ", whose input " + BenchmarkException.shown(forms[i].name) + " is text.");
            }
            ByteBuffer buffer =
                    ByteBuffer.allocateDirect(forms[i].bytes).order(ByteOrder.nativeOrder());
            if (type.equals("FLOAT32")) {
                while (buffer.remaining() >= 4) {
                    buffer.putFloat(2 * random.nextFloat() - 1);
                }
            } else if (type.equals("INT8") || type.equals("UINT8")) {
                while (buffer.hasRemaining()) {
                    buffer.put((byte) random.nextInt(256));
                }
            }
            buffer.rewind();
            buffers[i] = buffer;
        }
        return buffers;
    }

    private static String sha256(ByteBuffer bytes) {
        try {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            ByteBuffer all = bytes.duplicate();
            all.clear();
            digest.update(all);
            StringBuilder text = new StringBuilder();
            for (byte b : digest.digest()) {
                text.append(String.format(Locale.ROOT, "%02x", b));
            }
            return text.toString();
        } catch (NoSuchAlgorithmException error) {
            throw new AssertionError(error);
        }
    }

    @Override
    public void close() {
        if (engine != null) {
            engine.close();
        }
    }
}
