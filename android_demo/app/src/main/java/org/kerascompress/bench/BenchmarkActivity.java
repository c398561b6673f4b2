package org.kerascompress.bench;

import android.app.Activity;
import android.content.Context;
import android.content.Intent;
import android.os.Bundle;
import android.view.View;
import android.view.WindowManager;
import android.widget.Button;
import android.widget.ProgressBar;
import android.widget.TextView;

/**
 * Runs what its arguments say and shows how far it is. `adb` starts it with `--es args '...'` and
 * reads the files it leaves; the screen starts it likewise and is shown the result.
 */
public final class BenchmarkActivity extends Activity implements CurrentRun.Screen {
    static final String ARGUMENTS = "args";
    /** Set by the app's own screen, which wants to see the result. */
    static final String INTERACTIVE = "interactive";

    /** Ends the process with the activity, so that the next run starts from nothing. */
    static boolean endsProcess = true;

    private boolean interactive;

    static Intent intent(Context context, String arguments) {
        return new Intent(context, BenchmarkActivity.class).putExtra(ARGUMENTS, arguments)
                .putExtra(INTERACTIVE, true);
    }

    @Override
    protected void onCreate(Bundle state) {
        super.onCreate(state);
        setContentView(R.layout.benchmark);
        // A dimmed or locked screen would be timed with it.
        getWindow().addFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON);
        String arguments = null;
        try {
            interactive = getIntent().getBooleanExtra(INTERACTIVE, false);
            arguments = getIntent().getStringExtra(ARGUMENTS);
        } catch (RuntimeException hostile) {
            // Extras that can't be unpacked: the run is refused below for want of a --graph.
            interactive = false;
        }
        findViewById(R.id.cancel).setOnClickListener(this::cancelOrClose);
        boolean rotated = state != null && CurrentRun.get() != null
                && !CurrentRun.get().finished();
        CurrentRun run = rotated ? CurrentRun.get()
                : CurrentRun.start(this, arguments == null ? "" : arguments);
        run.attach(this);
    }

    @Override
    protected void onNewIntent(Intent intent) {
        super.onNewIntent(intent);
        CurrentRun run = CurrentRun.get();
        if (run != null && !run.finished()) {
            // Two runs at a time would time each other. `am start -S` ends the first.
            run.log("Benchmark failed: a run is under way; this one was not begun.", true);
        } else {
            setIntent(intent);
            recreate();
        }
    }

    private void cancelOrClose(View button) {
        CurrentRun run = CurrentRun.get();
        if (run == null || run.finished()) {
            finish();
        } else {
            run.cancel();
            button.setEnabled(false);
        }
    }

    @Override
    public void show(CurrentRun run) {
        TextView step = (TextView) findViewById(R.id.step);
        ProgressBar bar = (ProgressBar) findViewById(R.id.bar);
        TextView count = (TextView) findViewById(R.id.count);
        if (run.line() != null) {
            step.setText(run.line());
        }
        bar.setIndeterminate(run.total() == 0);
        bar.setMax(Math.max(run.total(), 1));
        bar.setProgress(run.done());
        count.setText(run.total() == 0 ? ""
                : getString(R.string.progress, run.done(), run.total()));
        if (!run.finished()) {
            return;
        }
        if (run.failure() == null) {
            if (interactive) {
                startActivity(ResultActivity.intent(this, run.id()));
            }
            finish();
        } else if (interactive) {
            ((TextView) findViewById(R.id.title)).setText(R.string.failed);
            step.setText(run.failure());
            bar.setVisibility(View.GONE);
            count.setText("");
            Button close = (Button) findViewById(R.id.cancel);
            close.setEnabled(true);
            close.setText(R.string.close);
        } else {
            finish();
        }
    }

    @Override
    protected void onDestroy() {
        CurrentRun run = CurrentRun.get();
        if (run != null) {
            run.detach();
        }
        super.onDestroy();
        if (isFinishing()) {
            if (run != null) {
                run.cancel();
            }
            if (endsProcess) {
                if (run == null || run.finished()) {
                    android.os.Process.killProcess(android.os.Process.myPid());
                }
            } else {
                CurrentRun.forget();
            }
        }
    }
}
