package org.kerascompress.bench;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNotNull;
import static org.junit.Assert.assertSame;
import static org.junit.Assert.assertTrue;

import android.content.Intent;
import android.graphics.Bitmap;
import android.graphics.Canvas;
import android.net.Uri;
import android.view.View;
import android.view.ViewGroup;
import android.widget.CheckBox;
import android.widget.ListView;
import android.widget.Spinner;
import android.widget.TextView;
import java.io.ByteArrayInputStream;
import java.io.File;
import java.io.FileOutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import org.json.JSONObject;
import org.junit.After;
import org.junit.Before;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.kerascompress.bench.core.BenchmarkException;
import org.kerascompress.bench.core.ResultFiles;
import org.robolectric.Robolectric;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.Shadows;
import org.robolectric.android.controller.ActivityController;
import org.robolectric.annotation.Config;
import org.robolectric.annotation.GraphicsMode;
import org.robolectric.shadows.ShadowLooper;

/** The real activities, clicked, rotated and drawn. */
@RunWith(RobolectricTestRunner.class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
@Config(sdk = 34, qualifiers = "w360dp-h720dp-xhdpi")
public class ScreensTest {
    private static final String QUICK = " --num_runs=10 --min_secs=0.02 --max_secs=2";

    @Before
    public void keepTheProcess() {
        BenchmarkActivity.endsProcess = false;
        CurrentRun.forget();
        RuntimeEnvironment.getApplication().sendStickyBroadcast(
                new Intent(Intent.ACTION_BATTERY_CHANGED)
                        .putExtra(android.os.BatteryManager.EXTRA_TEMPERATURE, 305));
    }

    @After
    public void forget() {
        CurrentRun.forget();
        RuntimeEnvironment.setFontScale(1f);
    }

    private static ResultFiles results() {
        return new AppFolders(RuntimeEnvironment.getApplication()).results();
    }

    private static String text(android.app.Activity activity, int id) {
        return ((TextView) activity.findViewById(id)).getText().toString();
    }

    private static void waitFor(java.util.concurrent.Callable<Boolean> what) throws Exception {
        for (int i = 0; i < 1500; i++) {
            ShadowLooper.idleMainLooper();
            if (what.call()) {
                return;
            }
            Thread.sleep(20);
        }
        throw new AssertionError("waited 30 seconds in vain");
    }

    private static BenchmarkActivity start(String arguments) {
        return Robolectric.buildActivity(BenchmarkActivity.class, BenchmarkActivity.intent(
                RuntimeEnvironment.getApplication(), arguments)).setup().get();
    }

    private static void shot(android.app.Activity activity, String name) throws Exception {
        ShadowLooper.idleMainLooper();
        View view = activity.getWindow().getDecorView();
        // No frame comes by itself here: a tick that is being drawn would be left out.
        view.jumpDrawablesToCurrentState();
        Bitmap bitmap =
                Bitmap.createBitmap(view.getWidth(), view.getHeight(), Bitmap.Config.ARGB_8888);
        view.draw(new Canvas(bitmap));
        File folder = new File(System.getProperty("shots", "."));
        folder.mkdirs();
        try (FileOutputStream out = new FileOutputStream(new File(folder, name + ".png"))) {
            bitmap.compress(Bitmap.CompressFormat.PNG, 100, out);
        }
    }

    /** Lays the whole scrolled content out, for a picture of all of it. */
    private static void grow(android.app.Activity activity, int height) {
        View view = activity.getWindow().getDecorView();
        view.measure(View.MeasureSpec.makeMeasureSpec(view.getWidth(), View.MeasureSpec.EXACTLY),
                View.MeasureSpec.makeMeasureSpec(height, View.MeasureSpec.EXACTLY));
        view.layout(0, 0, view.getMeasuredWidth(), view.getMeasuredHeight());
    }

    private static CheckBox box(MainActivity main, int index) {
        return (CheckBox) ((ViewGroup) main.findViewById(R.id.models)).getChildAt(index);
    }

    @Test
    public void modelsAreListedChosenAndRun() throws Exception {
        MainActivity main = Robolectric.setupActivity(MainActivity.class);
        assertEquals(3, ((ViewGroup) main.findViewById(R.id.models)).getChildCount());
        main.findViewById(R.id.run).performClick();
        assertEquals(main.getString(R.string.choose_model), text(main, R.id.message));
        box(main, 2).performClick();
        assertEquals(View.GONE, main.findViewById(R.id.message).getVisibility());
        ((Spinner) main.findViewById(R.id.baseline)).setSelection(2);
        ((Spinner) main.findViewById(R.id.threads)).setSelection(1);
        shot(main, "models");
        main.findViewById(R.id.run).performClick();
        Intent started = Shadows.shadowOf(main).getNextStartedActivity();
        String arguments = started.getStringExtra(BenchmarkActivity.ARGUMENTS);
        assertTrue(arguments, arguments.contains("--graph=asset:digits_int8.kcz"));
        assertTrue(arguments, arguments.contains("--baseline=asset:digits_float32.tflite"));
        assertTrue(arguments, arguments.contains("--num_threads=2"));
        assertEquals(BenchmarkActivity.class.getName(), started.getComponent().getClassName());
    }

    @Test
    public void aRunIsShownSurvivesRotationAndEndsAtItsResult() throws Exception {
        ActivityController<BenchmarkActivity> screen = Robolectric.buildActivity(
                BenchmarkActivity.class, BenchmarkActivity.intent(
                        RuntimeEnvironment.getApplication(), "--graph=asset:digits_int8.kcz "
                        + "--graph=asset:digits_clustered.kcz "
                        + "--baseline=asset:digits_float32.tflite --run_id=shown"
                        + " --num_runs=10 --min_secs=1 --max_secs=3 --warmup_runs=3")).setup();
        CurrentRun before = CurrentRun.get();
        waitFor(() -> before.done() > 8);
        shot(screen.get(), "running");
        screen.recreate();
        assertSame(before, CurrentRun.get());
        assertFalse(before.finished());
        waitFor(() -> text(screen.get(), R.id.step).startsWith("Round"));
        BenchmarkActivity rotated = screen.get();
        waitFor(before::finished);
        waitFor(rotated::isFinishing);
        Intent next = Shadows.shadowOf(rotated).getNextStartedActivity();
        assertEquals(ResultActivity.class.getName(), next.getComponent().getClassName());

        ResultActivity result = Robolectric.buildActivity(ResultActivity.class, next).setup().get();
        ViewGroup cards = (ViewGroup) result.findViewById(R.id.cards);
        assertEquals(3, cards.getChildCount());
        View plot = cards.getChildAt(1).findViewById(R.id.plot);
        assertTrue(plot.getContentDescription().toString().contains("timings"));
        assertTrue(((TextView) cards.getChildAt(1).findViewById(R.id.comparison)).getText()
                .toString().matches("(?s).*(times as fast|times as long).*times smaller.*"));
        grow(result, 3700);
        shot(result, "result");
        result.findViewById(R.id.share).performClick();
        Intent chooser = Shadows.shadowOf(result).getNextStartedActivity();
        Intent send = chooser.getParcelableExtra(Intent.EXTRA_INTENT);
        Uri uri = send.getParcelableExtra(Intent.EXTRA_STREAM);
        Robolectric.setupContentProvider(ResultProvider.class, uri.getAuthority());
        try (android.database.Cursor cursor =
                result.getContentResolver().query(uri, null, null, null, null)) {
            assertTrue(cursor.moveToFirst());
            assertEquals("shown.json", cursor.getString(0));
            assertTrue(cursor.getLong(1) > 1000);
        }
        for (String[] look : new String[][] {{"result_dark", "w360dp-h720dp-night-xhdpi"},
            {"result_rtl", "ar-ldrtl-w360dp-h720dp-xhdpi"}}) {
            RuntimeEnvironment.setQualifiers(look[1]);
            ResultActivity other =
                    Robolectric.buildActivity(ResultActivity.class, next).setup().get();
            shot(other, look[0]);
        }
        RuntimeEnvironment.setQualifiers("en-ldltr-w360dp-h720dp-notnight-xhdpi");
        RuntimeEnvironment.setFontScale(2f);
        ResultActivity large = Robolectric.buildActivity(ResultActivity.class, next).setup().get();
        grow(large, 2600);
        shot(large, "result_large");
        assertNoTextIsCut(large.findViewById(android.R.id.content));
        RuntimeEnvironment.setFontScale(1f);
        results().tell("lost", "running", "Loading evil.tflite", 0, 9, 99999999);
        results().closeAbandoned(pid -> false);
        // The last first, whatever their names are.
        long hourAgo = (System.currentTimeMillis() / 1000 - 3600) * 1000;
        assertTrue(results().result("shown").setLastModified(hourAgo));
        assertEquals(java.util.Arrays.asList("lost", "shown"), results().history());
        HistoryActivity history = Robolectric.setupActivity(HistoryActivity.class);
        shot(history, "history");
        ListView runs = (ListView) history.findViewById(R.id.runs);
        assertEquals(2, runs.getAdapter().getCount());
        assertEquals(View.GONE, history.findViewById(R.id.empty).getVisibility());
        String time = java.text.DateFormat.getDateTimeInstance(java.text.DateFormat.MEDIUM,
                java.text.DateFormat.SHORT).format(new java.util.Date(hourAgo));
        assertTrue(runs.getAdapter().getItem(1).toString().startsWith(time + "\n"));
        Shadows.shadowOf(runs).performItemClick(0);
        assertNotNull(Shadows.shadowOf(history).getNextStartedActivity());
    }

    @Test
    public void darkLargeAndRightToLeft() throws Exception {
        RuntimeEnvironment.setQualifiers("w360dp-h720dp-night-xhdpi");
        MainActivity dark = Robolectric.setupActivity(MainActivity.class);
        box(dark, 0).performClick();
        shot(dark, "models_dark");
        assertTrue(dark.getColor(R.color.card) != 0xfff1f4f7);
        RuntimeEnvironment.setQualifiers("ar-ldrtl-w360dp-h720dp-notnight-xhdpi");
        MainActivity mirrored = Robolectric.setupActivity(MainActivity.class);
        assertEquals(View.LAYOUT_DIRECTION_RTL,
                mirrored.findViewById(R.id.run).getLayoutDirection());
        shot(mirrored, "models_rtl");
        RuntimeEnvironment.setQualifiers("en-ldltr-w360dp-h720dp-xhdpi");
        RuntimeEnvironment.setFontScale(2f);
        MainActivity large = Robolectric.setupActivity(MainActivity.class);
        shot(large, "models_large");
        grow(large, 2600);
        assertNoTextIsCut(large.findViewById(android.R.id.content));
        BenchmarkActivity failed = start("--graph=missing.tflite");
        waitFor(() -> text(failed, R.id.title).equals(failed.getString(R.string.failed)));
        assertNoTextIsCut(failed.findViewById(android.R.id.content));
    }

    /** All words fit: no line ends in dots, and no view is lower than its text. */
    private static void assertNoTextIsCut(View root) {
        int checked = 0;
        for (View view : all(root)) {
            if (view instanceof TextView && view.isShown() && ((TextView) view).length() > 0) {
                android.text.Layout layout = ((TextView) view).getLayout();
                String words = ((TextView) view).getText().toString();
                assertNotNull(words, layout);
                for (int line = 0; line < layout.getLineCount(); line++) {
                    assertEquals(words, 0, layout.getEllipsisCount(line));
                }
                assertTrue(words, layout.getHeight() <= view.getHeight());
                checked++;
            }
        }
        assertTrue("checked " + checked, checked > 2);
    }

    private static java.util.List<View> all(View root) {
        java.util.List<View> found = new java.util.ArrayList<>();
        found.add(root);
        for (int i = 0; i < found.size(); i++) {
            if (found.get(i) instanceof ViewGroup) {
                ViewGroup group = (ViewGroup) found.get(i);
                for (int c = 0; c < group.getChildCount(); c++) {
                    found.add(group.getChildAt(c));
                }
            }
        }
        return found;
    }

    @Test
    public void everyControlHasAWordForTalkBackAndRoomForAFinger() throws Exception {
        MainActivity main = Robolectric.setupActivity(MainActivity.class);
        assertEquals(10, controlsWithWordsAndRoom(main));
        BenchmarkActivity failed = start("--graph=missing.tflite --run_id=none");
        waitFor(() -> text(failed, R.id.title).equals(failed.getString(R.string.failed)));
        assertEquals(1, controlsWithWordsAndRoom(failed));
        // What changes by itself is read out.
        for (int id : new int[] {R.id.step, R.id.message}) {
            View live = id == R.id.step ? failed.findViewById(id) : main.findViewById(id);
            assertEquals(View.ACCESSIBILITY_LIVE_REGION_POLITE, live.getAccessibilityLiveRegion());
        }
        ResultActivity result = Robolectric.buildActivity(ResultActivity.class,
                ResultActivity.intent(main, "none")).setup().get();
        assertEquals(2, controlsWithWordsAndRoom(result));
    }

    private static int controlsWithWordsAndRoom(android.app.Activity screen) {
        float density = screen.getResources().getDisplayMetrics().density;
        int checked = 0;
        for (View view : all(screen.findViewById(android.R.id.content))) {
            if (view.isClickable() && view.isShown()) {
                boolean words = view.getContentDescription() != null
                        || view instanceof TextView && ((TextView) view).length() > 0;
                assertTrue(String.valueOf(view), words);
                assertTrue(String.valueOf(view), view.getHeight() >= 47 * density);
                checked++;
            }
        }
        return checked;
    }

    @Test
    public void aRunCanBeCancelled() throws Exception {
        BenchmarkActivity screen =
                start("--graph=asset:digits_int8.kcz --min_secs=60 --max_secs=100 --run_id=long");
        CurrentRun run = CurrentRun.get();
        waitFor(() -> run.done() > 2);
        screen.findViewById(R.id.cancel).performClick();
        waitFor(run::finished);
        waitFor(() -> text(screen, R.id.step).contains("cancelled"));
        assertFalse(results().result("long").exists());
    }

    @Test
    public void aBadModelIsOneSentenceAndTheAppGoesOn() throws Exception {
        File models = new AppFolders(RuntimeEnvironment.getApplication()).models();
        byte[] bad = Files.readAllBytes(
                new File(System.getProperty("assets"), "digits_int8.kcz").toPath());
        bad[bad.length / 2] ^= 1;
        Files.write(new File(models, "bad.kcz").toPath(), bad);
        BenchmarkActivity screen = start("--graph=bad.kcz --run_id=bad");
        waitFor(() -> text(screen, R.id.title).equals(screen.getString(R.string.failed)));
        assertTrue(text(screen, R.id.step), text(screen, R.id.step).contains("bad.kcz"));
        shot(screen, "failed");
        ResultActivity result = Robolectric.buildActivity(ResultActivity.class,
                ResultActivity.intent(screen, "bad")).setup().get();
        assertTrue(text(result, R.id.summary).contains("bad.kcz"));
        screen.findViewById(R.id.cancel).performClick();
        assertTrue(screen.isFinishing());
    }

    @Test
    public void theDoorForAdbWritesFilesAndCloses() throws Exception {
        BenchmarkActivity screen = Robolectric.buildActivity(BenchmarkActivity.class,
                new Intent().putExtra("args", "--graph=asset:digits_int8.kcz --run_id=adb" + QUICK))
                .setup().get();
        waitFor(screen::isFinishing);
        assertEquals(null, Shadows.shadowOf(screen).getNextStartedActivity());
        JSONObject result = results().read(results().result("adb"));
        JSONObject environment = result.getJSONObject("environment");
        assertEquals("Android", environment.getString("os"));
        assertTrue(environment.getJSONObject("app").has("debuggable"));
        assertTrue(environment.getJSONObject("thermal_before").has("thermal_status"));
        assertTrue(environment.has("foreground"));
        for (Intent hostile : new Intent[] {new Intent(), new Intent().putExtra("args", 7),
            new Intent().putExtra("args", "--no_such=1")}) {
            CurrentRun.forget();
            BenchmarkActivity refused = Robolectric.buildActivity(BenchmarkActivity.class, hostile)
                    .setup().get();
            waitFor(refused::isFinishing);
        }
    }

    @Test
    public void aCrashedRunIsToldOnTheNextScreen() throws Exception {
        results().tell("crash", "running", "Loading evil.tflite", 0, 9, 99999999);
        MainActivity main = Robolectric.setupActivity(MainActivity.class);
        assertTrue(text(main, R.id.message), text(main, R.id.message).contains("evil.tflite"));
        shot(main, "crashed");
    }

    @Test
    public void aPickedDocumentIsTakenForWhatItIs() throws Exception {
        android.app.Application app = RuntimeEnvironment.getApplication();
        File models = new AppFolders(app).models();
        Uri uri = Uri.parse("content://somebody/1");
        byte[] good = Files.readAllBytes(
                new File(System.getProperty("assets"), "digits_int8.kcz").toPath());
        Shadows.shadowOf(app.getContentResolver())
                .registerInputStream(uri, new ByteArrayInputStream(good));
        assertEquals("evil.kcz", DocumentImport.copy(app.getContentResolver(), uri,
                "../../../evil.tflite", models));
        assertTrue(new File(models, "evil.kcz").isFile());
        for (String content : new String[] {"", "TFL", "<html></html>"}) {
            Shadows.shadowOf(app.getContentResolver()).registerInputStream(uri,
                    new ByteArrayInputStream(content.getBytes(StandardCharsets.UTF_8)));
            org.junit.Assert.assertThrows(BenchmarkException.class,
                    () -> DocumentImport.copy(app.getContentResolver(), uri, "x.tflite", models));
        }
        assertEquals(1, models.list().length);
        assertEquals("a_b_c", DocumentImport.safeName("...a\nb\u202ec.kcz"));
    }

    @Test
    public void theProviderGivesResultsAndNothingElse() {
        ResultProvider provider = Robolectric.setupContentProvider(ResultProvider.class,
                "org.kerascompress.bench.results");
        for (String path : new String[] {"../models/a.json", "results.csv", "a/b.json", ""}) {
            Uri uri = new Uri.Builder().scheme("content")
                    .authority("org.kerascompress.bench.results").appendPath(path).build();
            org.junit.Assert.assertThrows(java.io.FileNotFoundException.class,
                    () -> provider.openFile(uri, "r"));
        }
    }
}
