package org.kerascompress.bench;

import android.app.ActivityManager;
import android.content.Context;
import android.content.Intent;
import android.content.IntentFilter;
import android.content.pm.ApplicationInfo;
import android.content.pm.PackageInfo;
import android.content.pm.PackageManager;
import android.os.BatteryManager;
import android.os.Build;
import android.os.PowerManager;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import org.json.JSONArray;
import org.json.JSONException;
import org.json.JSONObject;
import org.kerascompress.bench.core.PhoneState;
import org.kerascompress.bench.core.ProcessMemory;

/** The phone's own account of itself, as far as an app without any permission may ask. */
final class AndroidPhone implements PhoneState {
    private static final String CPU = "/sys/devices/system/cpu/";
    private static final int LONGEST_LOG = 4000;

    private final Context context;

    AndroidPhone(Context context) {
        this.context = context.getApplicationContext();
    }

    @Override
    public JSONObject environment() throws JSONException {
        int cores = Runtime.getRuntime().availableProcessors();
        ActivityManager.MemoryInfo memory = memory();
        JSONObject facts = new JSONObject().put("os", "Android")
                .put("os_version", Build.VERSION.RELEASE).put("sdk", Build.VERSION.SDK_INT)
                .put("kernel", orNull(System.getProperty("os.version")))
                .put("machine", orNull(System.getProperty("os.arch"))).put("cpu", orNull(soc()))
                .put("cores", cores).put("usable_cores", cores)
                .put("governor", orNull(line(CPU + "cpu0/cpufreq/scaling_governor")))
                .put("max_frequency_khz",
                        orNull(ProcessMemory.number(line(CPU + "cpu0/cpufreq/cpuinfo_max_freq"))))
                .put("memory_kb", memory.totalMem / 1024).put("load_average", JSONObject.NULL)
                .put("manufacturer", Build.MANUFACTURER).put("model", Build.MODEL)
                .put("board", Build.BOARD).put("hardware", Build.HARDWARE)
                .put("fingerprint", Build.FINGERPRINT)
                .put("abis", new JSONArray(Build.SUPPORTED_ABIS));
        return facts.put("app", app());
    }

    private JSONObject app() throws JSONException {
        boolean debuggable =
                (context.getApplicationInfo().flags & ApplicationInfo.FLAG_DEBUGGABLE) != 0;
        JSONObject app = new JSONObject().put("package", context.getPackageName())
                .put("debuggable", debuggable);
        try {
            PackageInfo info =
                    context.getPackageManager().getPackageInfo(context.getPackageName(), 0);
            app.put("version", info.versionName);
        } catch (PackageManager.NameNotFoundException error) {
            throw new AssertionError(error);
        }
        return app;
    }

    private static String soc() {
        if (Build.VERSION.SDK_INT >= 31) {
            return Build.SOC_MANUFACTURER + " " + Build.SOC_MODEL;
        }
        String info = ProcessMemory.text("/proc/cpuinfo");
        if (info != null) {
            for (String line : info.split("\n")) {
                if (line.startsWith("Hardware") && line.contains(":")) {
                    return line.substring(line.indexOf(':') + 1).trim();
                }
            }
        }
        return Build.HARDWARE;
    }

    @Override
    public JSONObject thermal() throws JSONException {
        Intent battery =
                context.registerReceiver(null, new IntentFilter(Intent.ACTION_BATTERY_CHANGED));
        Object celsius = JSONObject.NULL;
        Object level = JSONObject.NULL;
        Object plugged = JSONObject.NULL;
        if (battery != null) {
            int tenths = battery.getIntExtra(BatteryManager.EXTRA_TEMPERATURE, Integer.MIN_VALUE);
            celsius = tenths == Integer.MIN_VALUE ? JSONObject.NULL : (Object) (tenths / 10.0);
            level = battery.getIntExtra(BatteryManager.EXTRA_LEVEL, -1);
            plugged = battery.getIntExtra(BatteryManager.EXTRA_PLUGGED, 0) != 0;
        }
        PowerManager power = (PowerManager) context.getSystemService(Context.POWER_SERVICE);
        Object status = Build.VERSION.SDK_INT >= 29 ? (Object) power.getCurrentThermalStatus()
                : JSONObject.NULL;
        return new JSONObject().put("temperature_c", celsius)
                .put("throttle_events", JSONObject.NULL).put("battery_temperature_c", celsius)
                .put("battery_level", level).put("plugged", plugged).put("thermal_status", status)
                .put("power_save", power.isPowerSaveMode()).put("clocks_khz", clocks())
                .put("foreground", inForeground());
    }

    /** Clock of each core now; null for each that may not be read. */
    private static JSONArray clocks() {
        JSONArray clocks = new JSONArray();
        for (int core = 0; core < Runtime.getRuntime().availableProcessors(); core++) {
            String path = CPU + "cpu" + core + "/cpufreq/scaling_cur_freq";
            clocks.put(orNull(ProcessMemory.number(line(path))));
        }
        return clocks;
    }

    @Override
    public long freeMemory() {
        ActivityManager.MemoryInfo memory = memory();
        return Math.max(memory.availMem - memory.threshold, 16L << 20);
    }

    private ActivityManager.MemoryInfo memory() {
        ActivityManager.MemoryInfo memory = new ActivityManager.MemoryInfo();
        ((ActivityManager) context.getSystemService(Context.ACTIVITY_SERVICE)).getMemoryInfo(memory);
        return memory;
    }

    /** An app may read the log lines of its own process without asking. */
    @Override
    public String runtimeLog() {
        StringBuilder log = new StringBuilder();
        try {
            Process logcat = new ProcessBuilder("logcat", "-d", "-s", "tflite:V", "-t",
                    String.valueOf(LONGEST_LOG), "--pid", String.valueOf(android.os.Process.myPid()))
                    .redirectErrorStream(true).start();
            logcat.getOutputStream().close();
            try (BufferedReader lines = new BufferedReader(new InputStreamReader(
                    logcat.getInputStream(), StandardCharsets.UTF_8))) {
                for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                    log.append(line).append('\n');
                }
            }
        } catch (IOException error) {
            return null;
        }
        // Without a line of the runtime's nothing is told, which is not the same as no delegate.
        return log.indexOf("tflite") >= 0 ? log.toString() : null;
    }

    @Override
    public boolean inForeground() {
        ActivityManager.RunningAppProcessInfo info = new ActivityManager.RunningAppProcessInfo();
        ActivityManager.getMyMemoryState(info);
        return info.importance == ActivityManager.RunningAppProcessInfo.IMPORTANCE_FOREGROUND;
    }

    private static String line(String path) {
        String text = ProcessMemory.text(path);
        return text == null ? null : text.trim();
    }

    private static Object orNull(Object value) {
        return value == null ? JSONObject.NULL : value;
    }
}
