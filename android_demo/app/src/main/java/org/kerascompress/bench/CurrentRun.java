package org.kerascompress.bench;

import android.content.Context;
import android.os.Handler;
import android.os.Looper;
import android.util.Log;
import org.kerascompress.bench.core.BenchmarkCommand;

/** The run of this process: it outlives the activity that shows it, so rotation does not end it. */
final class CurrentRun implements BenchmarkCommand.Output {
    static final String TAG = "tflite_BenchmarkModelActivity";

    /** The screen that shows the run, called on the main thread. */
    interface Screen {
        void show(CurrentRun run);
    }

    private static CurrentRun current;

    private final Handler main = new Handler(Looper.getMainLooper());
    private final BenchmarkCommand command;
    private Screen screen;
    private volatile String line;
    private volatile int done;
    private volatile int total;
    private volatile boolean finished;
    private volatile String failure;

    private CurrentRun(Context context, String arguments) {
        AppFolders folders = new AppFolders(context);
        command = new BenchmarkCommand(arguments, folders.places(), folders.results(),
                new AndroidPhone(context), this, android.os.Process.myPid());
    }

    static CurrentRun get() {
        return current;
    }

    /** Starts a run unless one is under way, which then goes on. */
    static CurrentRun start(Context context, String arguments) {
        if (current == null || current.finished) {
            CurrentRun run = new CurrentRun(context, arguments);
            current = run;
            CrashWatch.begin(context);
            new Thread(run::execute, "benchmark").start();
        }
        return current;
    }

    static void forget() {
        current = null;
    }

    private void execute() {
        failure = command.execute();
        finished = true;
        main.post(() -> {
            refresh();
            if (screen == null && BenchmarkActivity.endsProcess) {
                // Left before it had ended: nobody else ends the process for the next run.
                android.os.Process.killProcess(android.os.Process.myPid());
            }
        });
    }

    void attach(Screen shown) {
        screen = shown;
        refresh();
    }

    void detach() {
        screen = null;
    }

    void cancel() {
        command.cancel();
    }

    private void refresh() {
        if (screen != null) {
            screen.show(this);
        }
    }

    @Override
    public void step(String text, int steps, int all) {
        line = text;
        done = steps;
        total = all;
        main.post(this::refresh);
    }

    @Override
    public void log(String text, boolean isError) {
        if (isError) {
            Log.e(TAG, text);
        } else {
            Log.i(TAG, text);
        }
    }

    String line() {
        return line;
    }

    int done() {
        return done;
    }

    int total() {
        return total;
    }

    boolean finished() {
        return finished;
    }

    /** Why the run has no result, or null. */
    String failure() {
        return failure;
    }

    String id() {
        return command.id();
    }
}
