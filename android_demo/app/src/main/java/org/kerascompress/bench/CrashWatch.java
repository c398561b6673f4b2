package org.kerascompress.bench;

import android.app.Service;
import android.content.Context;
import android.content.Intent;
import android.content.ServiceConnection;
import android.os.Binder;
import android.os.IBinder;
import android.util.Log;
import java.io.File;
import org.kerascompress.bench.core.BenchmarkException;
import org.kerascompress.bench.core.ResultFiles;

/**
 * Lives in the app's main process and is bound to by that of a run. When the run's process ends, the
 * system unbinds it: if the run had come to no end, its crash becomes its result, so that whoever
 * waits for a file gets one although no screen is open.
 */
public final class CrashWatch extends Service {
    // A process that has ended stays listed until it is reaped.
    private static final long PATIENCE_MS = 5000;
    private static final long STEP_MS = 200;

    /** Binds for as long as this process lives: no one unbinds but the system, at its end. */
    static void begin(Context context) {
        try {
            context.getApplicationContext().bindService(new Intent(context, CrashWatch.class),
                    new Ignored(), Context.BIND_AUTO_CREATE);
        } catch (RuntimeException refused) {
            // Then the next screen or run finds the crash, as ever.
            Log.w(CurrentRun.TAG, "No watch on this run: " + refused);
        }
    }

    static boolean isAlive(int pid) {
        return pid > 0 && new File("/proc/" + pid).exists();
    }

    @Override
    public IBinder onBind(Intent intent) {
        return new Binder();
    }

    @Override
    public boolean onUnbind(Intent intent) {
        ResultFiles results = new AppFolders(this).results();
        new Thread(() -> close(results), "crash watch").start();
        return false;
    }

    private static void close(ResultFiles results) {
        try {
            for (long waited = 0; waited < PATIENCE_MS; waited += STEP_MS) {
                for (String id : results.closeAbandoned(CrashWatch::isAlive)) {
                    Log.e(CurrentRun.TAG, "Benchmark failed: "
                            + results.read(results.result(id)).optString("error"));
                }
                Thread.sleep(STEP_MS);
            }
        } catch (BenchmarkException error) {
            Log.e(CurrentRun.TAG, "Benchmark failed: " + error.getMessage());
        } catch (InterruptedException stop) {
            Thread.currentThread().interrupt();
        }
    }

    private static final class Ignored implements ServiceConnection {
        @Override
        public void onServiceConnected(android.content.ComponentName name, IBinder service) {}

        @Override
        public void onServiceDisconnected(android.content.ComponentName name) {}
    }
}
