package org.kerascompress.bench.core;

import java.io.File;
import org.json.JSONException;
import org.json.JSONObject;

/**
 * A line of arguments, carried out from its reading to its files: what `adb`, the screen and the
 * tests all call. It never throws: whatever happens ends in a result, or in an error in its place.
 */
public final class BenchmarkCommand {
    /** Where the command's words go besides the files. */
    public interface Output extends BenchmarkRun.Listener {
        /** One line for logcat. */
        void log(String line, boolean isError);
    }

    private final String arguments;
    private final ModelPlaces places;
    private final ResultFiles results;
    private final PhoneState phone;
    private final Output output;
    private final int pid;
    private volatile BenchmarkRun run;
    private volatile boolean cancelled;
    private String id = Timestamp.runId();

    public BenchmarkCommand(String arguments, ModelPlaces places, ResultFiles results,
            PhoneState phone, Output output, int pid) {
        this.arguments = arguments;
        this.places = places;
        this.results = results;
        this.phone = phone;
        this.output = output;
        this.pid = pid;
    }

    public String id() {
        return id;
    }

    public void cancel() {
        cancelled = true;
        BenchmarkRun current = run;
        if (current != null) {
            current.cancel();
        }
    }

    /** Returns null if all went well, else what the user is to be told. */
    public String execute() {
        String message;
        String state = "failed";
        File target = results.result(id);
        try {
            BenchmarkFlags flags = BenchmarkFlags.parse(arguments);
            id = flags.runId == null ? id : flags.runId;
            target = results.result(id);
            if (flags.resultFilePath != null) {
                target = places.inside(flags.resultFilePath, results.folder());
            }
            File csv = flags.csvFilePath == null ? new File(results.folder(), "results.csv")
                    : places.inside(flags.csvFilePath, results.folder());
            if (flags.prepare) {
                prepare(target);
                return null;
            }
            results.tell(id, "running", "Starting", 0, 0, pid);
            run = new BenchmarkRun(flags, places, new TfliteEngine.Opener(), phone, this::step);
            if (cancelled) {
                run.cancel();
            }
            JSONObject result = run.execute();
            ResultFiles.write(target, result.toString(1));
            appendCsv(csv, result);
            for (String line : ClassicLine.of(result)) {
                output.log(line, false);
            }
            results.tell(id, "done", "Done", 1, 1, pid);
            return null;
        } catch (BenchmarkRun.CancelledException ended) {
            message = "The run was cancelled.";
            state = "cancelled";
        } catch (BenchmarkException error) {
            message = error.getMessage();
        } catch (OutOfMemoryError error) {
            message = "There is not enough memory for this run. Close other apps, or use a smaller "
                    + "model.";
        } catch (JSONException | RuntimeException | LinkageError | StackOverflowError error) {
            message = "The app failed: " + BenchmarkException.oneLine(String.valueOf(error));
        }
        output.log("Benchmark failed: " + message, true);
        try {
            if (!state.equals("cancelled")) {
                ResultFiles.write(target, ResultFiles.error(message, arguments).toString());
            }
            results.tell(id, state, message, 0, 0, pid);
        } catch (BenchmarkException full) {
            output.log("Benchmark failed: " + full.getMessage(), true);
        }
        return message;
    }

    /** The table is a second copy: what is wrong with it does not undo the result. */
    private void appendCsv(File csv, JSONObject result) throws JSONException {
        try {
            ResultFiles.appendCsv(csv, id, result);
        } catch (BenchmarkException error) {
            output.log("Benchmark result kept, but not its row: " + error.getMessage(), true);
        }
    }

    private void prepare(File target) throws BenchmarkException, JSONException {
        TfliteEngine.Opener engine = new TfliteEngine.Opener();
        KczDecoder.load();
        String gpu = engine.refusal("gpu");
        String binary = engine.refusal("binary");
        JSONObject facts = new JSONObject().put("schema_version", BenchmarkRun.SCHEMA_VERSION)
                .put("environment", phone.environment())
                .put("runtime", engine.name() + " " + engine.version())
                .put("format_version", KczDecoder.formatVersion())
                .put("gpu", gpu == null ? "available" : gpu)
                .put("binary", binary == null ? "available" : binary)
                .put("free_memory", phone.freeMemory());
        ResultFiles.write(target, facts.toString());
        results.tell(id, "done", "Ready", 1, 1, pid);
    }

    private void step(String line, int done, int total) {
        output.step(line, done, total);
        try {
            results.tell(id, "running", line, done, total, pid);
        } catch (BenchmarkException full) {
            // The result itself will say it; a status is only for those who wait.
            output.log(full.getMessage(), true);
        }
    }
}
