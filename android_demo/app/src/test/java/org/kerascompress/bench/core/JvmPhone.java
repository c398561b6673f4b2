package org.kerascompress.bench.core;

import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.json.JSONArray;
import org.json.JSONException;
import org.json.JSONObject;

/**
 * A machine without Android that runs the app's core: its own engine, its own native library, its own
 * files. Behind a stand-in adb it is the phone of the driver's tests.
 *
 * <p>`java ... JvmPhone FOLDER ASSETS ARGUMENTS...` does what BenchmarkActivity does, once for each line
 * of arguments. -Dfree_memory=BYTES is what the machine has free.
 */
public final class JvmPhone implements PhoneState, ModelPlaces.Bundled {
    private final File assets;

    public JvmPhone(File assets) {
        this.assets = assets;
    }

    @Override
    public JSONObject environment() throws JSONException {
        return new JSONObject().put("os", "Android").put("os_version", "JVM")
                .put("machine", System.getProperty("os.arch")).put("manufacturer", "stand-in")
                .put("model", "JVM").put("cpu", "stand-in")
                .put("cores", Runtime.getRuntime().availableProcessors())
                .put("app", new JSONObject().put("version", "0.1.0").put("debuggable", false));
    }

    @Override
    public JSONObject thermal() throws JSONException {
        return new JSONObject().put("temperature_c", 31.5).put("throttle_events", JSONObject.NULL)
                .put("thermal_status", 0).put("clocks_khz", new JSONArray());
    }

    @Override
    public long freeMemory() {
        return Long.getLong("free_memory", 256L << 20);
    }

    @Override
    public String runtimeLog() {
        return ProcessMemory.text(System.getenv("KC_ENGINE_LOG"));
    }

    @Override
    public boolean inForeground() {
        return true;
    }

    @Override
    public List<String> names() {
        List<String> names = new ArrayList<>();
        for (String name : assets.list()) {
            if (ModelPlaces.isModel(name)) {
                names.add(name);
            }
        }
        return names;
    }

    @Override
    public InputStream open(String name) throws IOException {
        return new FileInputStream(new File(assets, name));
    }

    /** The command as BenchmarkActivity makes it, in `folder` for the app's external-files one. */
    public BenchmarkCommand command(File folder, String arguments, BenchmarkCommand.Output output) {
        File models = new File(folder, "models");
        models.mkdirs();
        ModelPlaces places = new ModelPlaces(models, Arrays.asList(folder), this);
        return new BenchmarkCommand(arguments, places, new ResultFiles(new File(folder, "results")),
                this, output, Integer.getInteger("pid", 1));
    }

    public static void main(String[] arguments) {
        JvmPhone phone = new JvmPhone(new File(arguments[1]));
        BenchmarkCommand.Output output = new BenchmarkCommand.Output() {
            @Override
            public void step(String line, int done, int total) {}

            @Override
            public void log(String line, boolean isError) {
                System.out.println((isError ? "E " : "I ") + line);
            }
        };
        boolean failed = false;
        for (int i = 2; i < arguments.length; i++) {
            File folder = new File(arguments[0]);
            failed |= phone.command(folder, arguments[i], output).execute() != null;
        }
        System.exit(failed ? 1 : 0);
    }
}
