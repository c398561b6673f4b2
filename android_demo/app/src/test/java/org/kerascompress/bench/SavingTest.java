package org.kerascompress.bench;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import android.app.Activity;
import android.content.ContentProvider;
import android.content.ContentValues;
import android.content.Intent;
import android.database.Cursor;
import android.net.Uri;
import android.os.Bundle;
import android.view.View;
import android.widget.TextView;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import org.json.JSONArray;
import org.json.JSONObject;
import org.junit.Before;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.kerascompress.bench.core.ResultFiles;
import org.robolectric.Robolectric;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.Shadows;
import org.robolectric.annotation.Config;
import org.robolectric.annotation.GraphicsMode;

/** "Save as", and the result that a crashed run gets although no screen is open. */
@RunWith(RobolectricTestRunner.class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
@Config(sdk = 34, qualifiers = "w360dp-h720dp-xhdpi")
public class SavingTest {
    private static final Uri TARGET = Uri.parse("content://somebody.documents/document/1");

    /** The app that keeps documents: it only notes what it is asked to delete. */
    public static final class Documents extends ContentProvider {
        private static int deleted;

        @Override
        public Bundle call(String method, String argument, Bundle extras) {
            deleted += method.equals("android:deleteDocument") ? 1 : 0;
            return new Bundle();
        }

        @Override
        public boolean onCreate() {
            return true;
        }

        @Override
        public Cursor query(Uri uri, String[] columns, String where, String[] values, String order) {
            return null;
        }

        @Override
        public String getType(Uri uri) {
            return null;
        }

        @Override
        public Uri insert(Uri uri, ContentValues values) {
            return null;
        }

        @Override
        public int delete(Uri uri, String where, String[] values) {
            return 0;
        }

        @Override
        public int update(Uri uri, ContentValues values, String where, String[] arguments) {
            return 0;
        }
    }

    private ResultFiles results;
    private ResultActivity screen;
    private Intent asked;

    @Before
    public void openAResultAndAskForAPlace() throws Exception {
        Documents.deleted = 0;
        Robolectric.setupContentProvider(Documents.class, TARGET.getAuthority());
        results = new AppFolders(RuntimeEnvironment.getApplication()).results();
        JSONObject phone = new JSONObject().put("runtime",
                new JSONObject().put("name", "TensorFlow Lite").put("version", "2.16.1"));
        StringBuilder long64k = new StringBuilder();
        for (int i = 0; i < 200_000; i++) {
            long64k.append((char) ('a' + i % 26));
        }
        ResultFiles.write(results.result("saved"), new JSONObject().put("environment", phone)
                .put("models", new JSONArray()).put("note", long64k.toString()).toString());
        screen = Robolectric.buildActivity(ResultActivity.class,
                ResultActivity.intent(RuntimeEnvironment.getApplication(), "saved")).setup().get();
        screen.findViewById(R.id.export).performClick();
        asked = Shadows.shadowOf(screen).getNextStartedActivityForResult().intent;
    }

    private String told() {
        TextView message = (TextView) screen.findViewById(R.id.message);
        return message.getVisibility() == View.VISIBLE ? message.getText().toString() : "";
    }

    private void answer(int code, Intent data) {
        Shadows.shadowOf(screen).receiveResult(asked, code, data);
    }

    @Test
    public void theWholeResultIsSavedWhereTheUserChooses() throws Exception {
        assertEquals(Intent.ACTION_CREATE_DOCUMENT, asked.getAction());
        assertEquals("saved.json", asked.getStringExtra(Intent.EXTRA_TITLE));
        ByteArrayOutputStream document = new ByteArrayOutputStream();
        Shadows.shadowOf(screen.getContentResolver()).registerOutputStream(TARGET, document);
        answer(Activity.RESULT_OK, new Intent().setData(TARGET));
        assertArrayEquals(Files.readAllBytes(results.result("saved").toPath()),
                document.toByteArray());
        assertEquals(screen.getString(R.string.saved), told());
        assertEquals(0, Documents.deleted);
    }

    @Test
    public void aFullStorageIsSaidAndNoHalfDocumentStays() {
        Shadows.shadowOf(screen.getContentResolver()).registerOutputStream(TARGET,
                new OutputStream() {
                    private int room = 100_000;

                    @Override
                    public void write(int b) throws IOException {
                        if (room-- <= 0) {
                            throw new IOException("No space left on device");
                        }
                    }
                });
        answer(Activity.RESULT_OK, new Intent().setData(TARGET));
        assertTrue(told(), told().contains("No space left on device"));
        assertEquals(1, Documents.deleted);
        // The run itself did not fail, and the screen must not say so.
        assertFalse(((TextView) screen.findViewById(R.id.summary)).getText().toString()
                .contains(screen.getString(R.string.failed)));
    }

    @Test
    public void aChangedMindAndAnEmptyAnswerChangeNothing() {
        answer(Activity.RESULT_CANCELED, null);
        assertEquals("", told());
        screen.findViewById(R.id.export).performClick();
        answer(Activity.RESULT_OK, new Intent());
        assertEquals("", told());
    }

    @Test
    public void aCrashWithoutAScreenBecomesAResultAndALiveRunIsLeftAlone() throws Exception {
        results.tell("dead", "running", "Loading evil.tflite", 1, 9, 99999999);
        int own = Integer.parseInt(new File("/proc/self").getCanonicalFile().getName());
        results.tell("alive", "running", "Round 1 of 10", 1, 9, own);
        CrashWatch watch = Robolectric.setupService(CrashWatch.class);
        watch.onBind(new Intent());
        assertFalse(results.result("dead").exists());
        watch.onUnbind(new Intent());
        for (int i = 0; i < 500 && !results.result("dead").exists(); i++) {
            Thread.sleep(20);
        }
        assertTrue(results.read(results.result("dead")).getString("error").contains("evil.tflite"));
        assertFalse(results.result("alive").exists());
    }

    @Test
    public void everyRunIsWatched() {
        CurrentRun.forget();
        CurrentRun.start(RuntimeEnvironment.getApplication(), "--no_such");
        assertEquals(CrashWatch.class.getName(), Shadows.shadowOf(RuntimeEnvironment.getApplication())
                .getNextStartedService().getComponent().getClassName());
        CurrentRun.forget();
    }
}
