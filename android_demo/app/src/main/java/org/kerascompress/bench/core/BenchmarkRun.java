package org.kerascompress.bench.core;

import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import java.util.Set;
import java.util.UUID;
import org.json.JSONArray;
import org.json.JSONException;
import org.json.JSONObject;

/** Several models timed in turns, and the document that says what was found. */
public final class BenchmarkRun {
    public static final int SCHEMA_VERSION = 1;

    /** Hears what is being done. */
    public interface Listener {
        void step(String line, int done, int total);
    }

    /** A run that was ended from outside leaves no result. */
    public static final class CancelledException extends Exception {
        private static final long serialVersionUID = 1L;
    }

    private final BenchmarkFlags flags;
    private final ModelPlaces places;
    private final Engine.Factory factory;
    private final PhoneState phone;
    private final Listener listener;
    private volatile boolean cancelled;
    private int done;
    private int total;

    public BenchmarkRun(BenchmarkFlags flags, ModelPlaces places, Engine.Factory factory,
            PhoneState phone, Listener listener) {
        this.flags = flags;
        this.places = places;
        this.factory = factory;
        this.phone = phone;
        this.listener = listener;
    }

    /** Ends the run after the inference that is under way. */
    public void cancel() {
        cancelled = true;
    }

    public JSONObject execute() throws BenchmarkException, CancelledException {
        List<ModelUnderTest> models = new ArrayList<>();
        try {
            return execute(models);
        } catch (JSONException error) {
            throw new BenchmarkException("A measured number can't be written: "
                    + BenchmarkException.oneLine(error.getMessage()), error);
        } finally {
            for (ModelUnderTest model : models) {
                model.close();
            }
        }
    }

    private JSONObject execute(List<ModelUnderTest> models)
            throws BenchmarkException, CancelledException, JSONException {
        String refusal = factory.refusal(flags.delegate());
        if (refusal != null) {
            throw new BenchmarkException("--use_" + flags.delegate() + " can't be used: " + refusal
                    + ".");
        }
        List<String> names = new ArrayList<>();
        if (flags.baseline != null) {
            names.add(flags.baseline);
        }
        for (String graph : flags.graphs) {
            if (!names.contains(graph)) {
                names.add(graph);
            }
        }
        total = names.size() * (2 + flags.rounds);
        JSONArray warnings = new JSONArray();
        if (flags.enableOpProfiling) {
            warnings.put("--enable_op_profiling has no effect: the runtime's Java interface has no "
                    + "profiler. Use benchmark_model for times by operator.");
        }
        String created = Timestamp.iso8601();
        JSONObject before = phone.thermal();
        boolean foreground = phone.inForeground();
        Set<String> shown = new HashSet<>();
        for (String place : names) {
            String name = ModelPlaces.shortName(place);
            name = shown.add(name) ? name : place;
            shown.add(name);
            step("Loading " + name);
            ModelUnderTest model = new ModelUnderTest(name, place.equals(flags.baseline), flags);
            models.add(model);
            model.load(places, place, factory, phone);
        }
        if (flags.accuracy) {
            LabelledSet set = LabelledSet.load(places);
            float[] reference = null;
            for (ModelUnderTest model : models) {
                model.measureAccuracy(set);
                reference = model.isBaseline ? model.scores : reference;
            }
            for (ModelUnderTest model : models) {
                if (model.scores != null) {
                    model.accuracy = set.describe(model.scores, model.isBaseline ? null : reference);
                }
            }
        }
        for (ModelUnderTest model : models) {
            step("Warming up " + model.name);
            model.warmUp(this::isCancelled);
        }
        JSONArray order = takeTurns(models);
        JSONObject after = phone.thermal();
        foreground &= phone.inForeground();
        if (!foreground) {
            warnings.put("the app was not in the foreground all the time; phones slow such apps down");
        }
        JSONArray entries = new JSONArray();
        JSONObject baseline = null;
        for (ModelUnderTest model : models) {
            JSONObject entry = model.entry();
            entries.put(entry);
            baseline = model.isBaseline ? entry : baseline;
        }
        for (int i = 0; baseline != null && i < entries.length(); i++) {
            JSONObject entry = entries.getJSONObject(i);
            if (entry != baseline) {
                entry.put("comparison", Comparison.compare(entry, baseline));
            }
        }
        JSONObject environment = phone.environment()
                .put("runtime", new JSONObject().put("name", factory.name())
                        .put("version", factory.version()))
                .put("thermal_before", before).put("thermal_after", after)
                .put("foreground", foreground);
        return new JSONObject().put("schema_version", SCHEMA_VERSION)
                .put("uuid", UUID.randomUUID().toString()).put("created", created)
                .put("settings", settings(order)).put("environment", environment)
                .put("models", entries).put("warnings", warnings);
    }

    private JSONArray takeTurns(List<ModelUnderTest> models)
            throws BenchmarkException, CancelledException {
        Random random = new Random(flags.seed);
        JSONArray orders = new JSONArray();
        for (int round = 0; round < flags.rounds; round++) {
            List<Integer> order = new ArrayList<>();
            for (int i = 0; i < models.size(); i++) {
                order.add(i);
            }
            Collections.shuffle(order, random);
            orders.put(new JSONArray(order));
            for (int index : order) {
                ModelUnderTest model = models.get(index);
                step(String.format(Locale.ROOT, "Round %d of %d: %s", round + 1, flags.rounds,
                        model.name));
                Pause.seconds(flags.coolDownSecs, this::isCancelled);
                model.takeTurn(this::isCancelled);
            }
        }
        if (cancelled) {
            throw new CancelledException();
        }
        return orders;
    }

    private JSONObject settings(JSONArray order) throws JSONException {
        return new JSONObject().put("num_threads", flags.numThreads)
                .put("warmup_runs", flags.warmupRuns).put("num_runs", flags.numRuns)
                .put("min_secs", flags.minSecs).put("max_secs", flags.maxSecs)
                .put("delegate", flags.delegate()).put("rounds", flags.rounds)
                .put("settle_runs", 1).put("seed", flags.seed).put("order", order)
                .put("run_delay", flags.runDelay).put("cool_down_secs", flags.coolDownSecs)
                .put("processes", "all models in one");
    }

    private boolean isCancelled() {
        return cancelled;
    }

    private void step(String line) throws CancelledException {
        if (cancelled) {
            throw new CancelledException();
        }
        listener.step(line, done++, total);
    }
}
