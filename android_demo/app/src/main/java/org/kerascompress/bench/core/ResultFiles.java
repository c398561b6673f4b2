package org.kerascompress.bench.core;

import java.io.File;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.json.JSONArray;
import org.json.JSONException;
import org.json.JSONObject;

/** The folder of results: whole or not there, one JSON and one status a run, one CSV for all. */
public final class ResultFiles {
    private static final String RESULT = ".json";
    private static final String STATUS = ".status";
    static final long LARGEST_RESULT = 32L << 20;
    private static final String[] COLUMNS = {"created", "run", "model", "format", "is_baseline",
            "delegate", "threads", "file_bytes", "decode_ms", "init_ms", "later_init_ms",
            "first_inference_ms", "average_warm_up_ms", "p5_ms", "median_ms", "p90_ms", "p95_ms",
            "avg_ms", "stddev_ms", "num_runs", "peak_footprint_kb", "verdict"};

    private final File folder;

    public ResultFiles(File folder) {
        this.folder = folder;
    }

    public File folder() {
        return folder;
    }

    public File result(String id) {
        return new File(folder, id + RESULT);
    }

    public File status(String id) {
        return new File(folder, id + STATUS);
    }

    /** Writes a file under another name, then gives it its own: a reader never finds half of one. */
    public static void write(File file, String text) throws BenchmarkException {
        write(file, text, true);
    }

    private static void write(File file, String text, boolean sync) throws BenchmarkException {
        File part = new File(file.getParentFile(), "." + file.getName() + ".part");
        try {
            File parent = file.getParentFile();
            if (!parent.isDirectory() && !parent.mkdirs() && !parent.isDirectory()) {
                throw new IOException("the folder can't be made");
            }
            try (FileOutputStream out = new FileOutputStream(part)) {
                out.write(text.getBytes(StandardCharsets.UTF_8));
                if (sync) {
                    out.getFD().sync();
                }
            }
            if (!part.renameTo(file)) {
                throw new IOException("it can't be renamed");
            }
        } catch (IOException error) {
            part.delete();
            throw new BenchmarkException("Can't write " + file + ": "
                    + BenchmarkException.oneLine(error.getMessage())
                    + ". Is the storage full?", error);
        }
    }

    /** What a run is doing, for whoever waits for it. */
    public void tell(String id, String state, String line, int done, int total, int pid)
            throws BenchmarkException {
        try {
            write(status(id), new JSONObject().put("run", id).put("state", state).put("line", line)
                    .put("done", done).put("total", total).put("pid", pid).toString(), false);
        } catch (JSONException error) {
            throw new AssertionError(error);
        }
    }

    /** A run that ended without a result: what there is to say, in the place of the result. */
    public static JSONObject error(String message, String arguments) {
        try {
            return new JSONObject().put("schema_version", BenchmarkRun.SCHEMA_VERSION)
                    .put("created", Timestamp.iso8601()).put("error", message)
                    .put("arguments", arguments == null ? "" : arguments.substring(0,
                            Math.min(arguments.length(), 2000)))
                    .put("models", new JSONArray());
        } catch (JSONException error) {
            throw new AssertionError(error);
        }
    }

    /** Appends one row a model; the first run writes the names of the columns, too. */
    public static void appendCsv(File file, String id, JSONObject result)
            throws BenchmarkException, JSONException {
        StringBuilder rows = new StringBuilder();
        if (file.length() == 0) {
            rows.append(String.join(",", COLUMNS)).append('\n');
        }
        JSONArray models = result.getJSONArray("models");
        for (int i = 0; i < models.length(); i++) {
            JSONObject model = models.getJSONObject(i);
            JSONObject comparison = model.optJSONObject("comparison");
            for (int c = 0; c < COLUMNS.length; c++) {
                rows.append(c > 0 ? "," : "")
                        .append(quoted(cell(COLUMNS[c], id, result, model, comparison)));
            }
            rows.append('\n');
        }
        File parent = file.getParentFile();
        if (!parent.isDirectory()) {
            parent.mkdirs();
        }
        try (RandomAccessFile out = new RandomAccessFile(file, "rw")) {
            long end = out.length();
            out.seek(end);
            try {
                out.write(rows.toString().getBytes(StandardCharsets.UTF_8));
            } catch (IOException error) {
                // A row is whole or not there.
                out.setLength(end);
                throw error;
            }
        } catch (IOException error) {
            throw new BenchmarkException("Can't write " + file + ": "
                    + BenchmarkException.oneLine(error.getMessage()) + ".", error);
        }
    }

    private static Object cell(String column, String id, JSONObject result, JSONObject model,
            JSONObject comparison) throws JSONException {
        switch (column) {
            case "created": return result.getString("created");
            case "run": return id;
            case "model": return model.getString("name");
            case "delegate": return model.getJSONObject("delegate").getString("used");
            case "threads": return result.getJSONObject("settings").getInt("num_threads");
            case "verdict": return comparison == null ? "" : comparison.getString("verdict");
            default:
                for (String part : new String[] {"latency_metrics", "decode", "misc_metrics",
                    "memory_metrics"}) {
                    if (model.getJSONObject(part).has(column)) {
                        return model.getJSONObject(part).isNull(column) ? ""
                                : model.getJSONObject(part).get(column);
                    }
                }
                return model.get(column);
        }
    }

    private static String quoted(Object value) {
        String text = String.valueOf(value);
        // A leading = + - @ in a name would be a formula to a spreadsheet.
        if (value instanceof String && text.matches("(?s)^[=+\\-@].*")) {
            text = "'" + text;
        }
        return text.matches("(?s).*[\",\r\n].*") ? '"' + text.replace("\"", "\"\"") + '"' : text;
    }

    /** Runs with a result, the newest first. */
    public List<String> history() {
        // Read once: a time that changes while it is sorted by would break the order.
        Map<String, Long> times = new HashMap<>();
        String[] names = folder.list();
        for (String name : names == null ? new String[0] : names) {
            if (name.endsWith(RESULT) && !name.startsWith(".")) {
                times.put(name.substring(0, name.length() - RESULT.length()),
                        new File(folder, name).lastModified());
            }
        }
        List<String> ids = new ArrayList<>(times.keySet());
        Collections.sort(ids, (a, b) -> {
            int byTime = Long.compare(times.get(b), times.get(a));
            return byTime != 0 ? byTime : b.compareTo(a);
        });
        return ids;
    }

    public JSONObject read(File file) throws BenchmarkException {
        if (file.length() > LARGEST_RESULT) {
            throw new BenchmarkException("A result may have at most " + LARGEST_RESULT
                    + " bytes. Received: " + file.getName() + " with " + file.length() + ".");
        }
        byte[] bytes = new byte[(int) file.length()];
        try (FileInputStream in = new FileInputStream(file)) {
            int size = 0;
            while (size < bytes.length) {
                int more = in.read(bytes, size, bytes.length - size);
                if (more < 0) {
                    break;
                }
                size += more;
            }
            return new JSONObject(new String(bytes, 0, size, StandardCharsets.UTF_8));
        } catch (IOException | JSONException | StackOverflowError error) {
            throw new BenchmarkException("Can't read the result " + file.getName() + ": "
                    + BenchmarkException.oneLine(error.getMessage()) + ".", error);
        }
    }

    /** Runs whose process is gone, by their status: each gets an error as its result. */
    public List<String> closeAbandoned(ProcessCheck check) throws BenchmarkException {
        List<String> closed = new ArrayList<>();
        String[] names = folder.list();
        for (String name : names == null ? new String[0] : names) {
            if (!name.endsWith(STATUS) || name.startsWith(".")) {
                continue;
            }
            String id = name.substring(0, name.length() - STATUS.length());
            JSONObject status;
            try {
                status = read(status(id));
            } catch (BenchmarkException damaged) {
                continue;
            }
            if (!status.optString("state").equals("running")
                    || check.isAlive(status.optInt("pid"))) {
                continue;
            }
            String line = status.optString("line");
            String message = "The app's process ended while it was at: " + line
                    + ". The runtime crashed on the model, or the system took its memory.";
            write(result(id), error(message, "").toString());
            tell(id, "failed", message, 0, 0, 0);
            closed.add(id);
        }
        return closed;
    }

    /** Whether a process of this app still runs. */
    public interface ProcessCheck {
        boolean isAlive(int pid);
    }
}
