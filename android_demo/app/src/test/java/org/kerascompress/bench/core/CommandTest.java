package org.kerascompress.bench.core;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNotNull;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;

import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.json.JSONArray;
import org.json.JSONObject;
import org.junit.Before;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;
import org.junit.runner.RunWith;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.annotation.Config;
import org.robolectric.annotation.GraphicsMode;

/** Whole runs with the engine of the APK and its native library, on good and on hostile input. */
@RunWith(RobolectricTestRunner.class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
@Config(sdk = 34)
public class CommandTest {
    private static final String QUICK = " --num_runs=10 --min_secs=0.01 --max_secs=2 --warmup_runs=1";

    @Rule public final TemporaryFolder temporary = new TemporaryFolder();
    private final List<String> log = new ArrayList<>();
    private final File assets = new File(System.getProperty("assets"));
    private final JvmPhone phone = new JvmPhone(assets);
    private File folder;
    private Runnable onStep = () -> {};
    private BenchmarkCommand command;

    @Before
    public void makeFolder() throws IOException {
        folder = temporary.newFolder("files");
    }

    private String run(String arguments) {
        command = phone.command(folder, arguments, new BenchmarkCommand.Output() {
            @Override
            public void step(String line, int done, int total) {
                assertTrue(done < total);
                onStep.run();
            }

            @Override
            public void log(String line, boolean isError) {
                log.add(line);
            }
        });
        return command.execute();
    }

    private JSONObject result() throws Exception {
        return new ResultFiles(new File(folder, "results")).read(
                new File(folder, "results/" + command.id() + ".json"));
    }

    private byte[] asset(String name) throws IOException {
        return Files.readAllBytes(new File(assets, name).toPath());
    }

    private void model(String name, byte[] bytes) throws IOException {
        File file = new File(folder, "models/" + name);
        file.getParentFile().mkdirs();
        try (FileOutputStream out = new FileOutputStream(file)) {
            out.write(bytes);
        }
    }

    @Test
    public void packedModelsAreTimedBesideTheirBaseline() throws Exception {
        assertNull(run("--graph=asset:digits_int8.kcz --graph=asset:digits_clustered.kcz"
                + " --baseline=asset:digits_float32.tflite --num_threads=2" + QUICK));
        JSONObject result = result();
        JSONArray models = result.getJSONArray("models");
        assertEquals(3, models.length());
        JSONObject baseline = models.getJSONObject(0);
        assertTrue(baseline.getBoolean("is_baseline"));
        assertFalse(baseline.has("comparison"));
        assertTrue(baseline.getJSONObject("accuracy").getDouble("top1") > 0.98);
        for (int i = 1; i < 3; i++) {
            JSONObject model = models.getJSONObject(i);
            assertEquals("kcz", model.getString("format"));
            assertTrue(model.getJSONObject("decode").getDouble("decode_ms") > 0);
            assertTrue(model.getJSONObject("comparison").getDouble("size_ratio") > 30);
            assertTrue(model.getJSONObject("latency_metrics").getDouble("median_ms") > 0);
            assertEquals(10, model.getJSONArray("rounds").length());
            assertTrue(model.getJSONObject("accuracy").getDouble("top1") > 0.97);
            assertTrue(model.getJSONObject("accuracy").getDouble("largest_logit_difference") > 0);
        }
        JSONObject delegate = baseline.getJSONObject("delegate");
        assertEquals("xnnpack", delegate.getString("asked"));
        assertEquals("xnnpack", delegate.getString("used"));
        assertEquals(delegate.getInt("nodes"), delegate.getInt("delegated_nodes"));
        assertEquals(1, delegate.getInt("nodes_as_run"));
        assertFalse(baseline.has("warnings"));
        assertEquals(10, result.getJSONObject("settings").getJSONArray("order").length());
        assertEquals("2.16.1",
                result.getJSONObject("environment").getJSONObject("runtime").getString("version"));
        int timings = 0;
        for (String line : log) {
            timings += line.matches("Inference timings in us: Init: \\d+, First inference: \\d+, "
                    + "Warmup \\(avg\\): [\\d.e+]+, Inference \\(avg\\): [\\d.e+]+") ? 1 : 0;
        }
        assertEquals(3, timings);
        List<String> csv = Files.readAllLines(new File(folder, "results/results.csv").toPath());
        assertEquals(4, csv.size());
        assertEquals(csv.get(0).split(",", -1).length, csv.get(3).split(",", -1).length);
    }

    @Test
    public void withoutTheDelegateNoneIsUsed() throws Exception {
        assertNull(run("--graph=asset:digits_float32.tflite --use_xnnpack=false" + QUICK));
        JSONObject delegate =
                result().getJSONArray("models").getJSONObject(0).getJSONObject("delegate");
        assertEquals("none", delegate.getString("used"));
        assertEquals(0, delegate.getInt("delegated_nodes"));
    }

    @Test
    public void theFileIsRestoredByteForByte() throws Exception {
        for (String name : new String[] {"digits_int8.kcz", "digits_clustered.kcz"}) {
            byte[] packed = asset(name);
            ByteBuffer in = ByteBuffer.allocateDirect(packed.length);
            in.put(packed);
            ByteBuffer out = KczDecoder.decode(in, name, 1 << 24);
            new TfliteFile(out, name, 1 << 28);
            BenchmarkException error = org.junit.Assert.assertThrows(BenchmarkException.class,
                    () -> KczDecoder.decode(in, name, 1000));
            assertTrue(error.getMessage(), error.getMessage().contains("1000 bytes"));
        }
    }

    @Test
    public void whatIsAskedForAndNotThereIsSaid() throws Exception {
        assertTrue(run("--graph=asset:digits_int8.kcz --use_gpu" + QUICK).contains("GPU"));
        assertNotNull(result().getString("error"));
        String said = run("--graph=asset:digits_int8.kcz --use_binary" + QUICK);
        if (KczDecoder.hasBinaryDelegate()) {
            // It has nothing to take here, and that is what must be said.
            assertNull(said);
            JSONObject model = result().getJSONArray("models").getJSONObject(0);
            assertEquals("none", model.getJSONObject("delegate").getString("used"));
            assertTrue(model.getJSONArray("warnings").getString(0).contains("binary"));
        } else {
            assertTrue(said.contains("binary"));
        }
        assertNull(run("--graph=asset:digits_int8.kcz --enable_op_profiling --accuracy=false"
                + QUICK));
        assertTrue(result().getJSONArray("warnings").getString(0).contains("profil"));
    }

    @Test
    public void aCancelledRunLeavesNoResult() throws Exception {
        onStep = () -> command.cancel();
        assertTrue(run("--graph=asset:digits_int8.kcz --run_id=c").contains("cancelled"));
        assertFalse(new File(folder, "results/c.json").exists());
        assertEquals("cancelled", new ResultFiles(new File(folder, "results")).read(
                new File(folder, "results/c.status")).getString("state"));
    }

    @Test
    public void filesOutsideTheAppAreRefused() throws Exception {
        File outside = temporary.newFile("outside.tflite");
        Files.write(outside.toPath(), asset("digits_float32.tflite"));
        Files.createSymbolicLink(new File(folder, "link.tflite").toPath(), outside.toPath());
        new File(folder, "models").mkdirs();
        for (String path : new String[] {outside.getPath(), "../../outside.tflite",
            "../link.tflite", "/proc/self/mem", "asset:../digits.bin", "asset:digits.bin"}) {
            String said = run("--graph=\"" + path + "\"");
            assertTrue(said, said.contains("own folders") || said.contains("came with the app"));
        }
        String target = new File(temporary.getRoot(), "out.json").getPath();
        assertTrue(run("--graph=asset:digits_int8.kcz --result_file_path=" + target)
                .contains("own folders"));
        assertFalse(new File(target).exists());
    }

    /** The number of damaged files whose run ended in an error; none may end the process. */
    private int damaged(String name, byte[] good, int tries) throws Exception {
        Random random = new Random(1);
        int refused = 0;
        for (int i = 0; i < tries; i++) {
            byte[] bad = good.clone();
            int kind = i % 4;
            if (kind == 0) {
                bad = Arrays.copyOf(good, random.nextInt(good.length));
            } else if (kind == 1) {
                bad = Arrays.copyOf(good, good.length + 1 + random.nextInt(50));
            } else {
                for (int n = 0; n < (kind == 2 ? 1 : 20); n++) {
                    bad[random.nextInt(good.length)] = (byte) random.nextInt(256);
                }
            }
            model(name, bad);
            refused += run("--graph=" + name + " --accuracy=false --rounds=1 --num_runs=1 --min_secs=0"
                    + " --max_secs=1 --warmup_runs=0") == null ? 0 : 1;
        }
        return refused;
    }

    @Test
    public void damagedPackedFilesEndInAnError() throws Exception {
        // A byte replaced by itself is the only change that may pass.
        assertTrue(damaged("bad.kcz", asset("digits_int8.kcz"), 24) >= 23);
        assertTrue(result().getString("error"), result().getString("error").contains("bad.kcz"));
    }

    @Test
    public void noFileNameAndNoKindOfFileStopsTheApp() throws Exception {
        model("empty.tflite", new byte[0]);
        model("text.tflite", "<html>404</html>         ".getBytes(StandardCharsets.UTF_8));
        model("short.tflite", Arrays.copyOf(asset("digits_float32.tflite"), 5000));
        String[][] cases = {{"empty.tflite", "at least"}, {"text.tflite", "TFL3"},
            {"short.tflite", "short.tflite"}, {"missing.tflite", "none"}};
        for (String[] one : cases) {
            String said = run("--graph=" + one[0]);
            assertTrue(said, said.contains(one[1]));
            assertEquals(said, result().getString("error"));
        }
        assertTrue(run("--graph=\"a\nb\u0007.tflite\"").contains("a b"));
    }

    @Test
    public void offsetsOutOfTheFileAreFoundBeforeTheRuntimeSeesThem() throws Exception {
        byte[] good = asset("digits_float32.tflite");
        Random random = new Random(2);
        int refused = 0;
        ByteBuffer buffer = ByteBuffer.allocateDirect(good.length);
        buffer.put(good);
        for (int i = 0; i < 4000; i++) {
            // The tables lie at both ends; the middle is weights.
            int at = random.nextBoolean() ? random.nextInt(2000)
                    : good.length - 1 - random.nextInt(6000);
            buffer.put(at, (byte) random.nextInt(256));
            try {
                new TfliteFile(buffer, "x", 1L << 30);
            } catch (BenchmarkException expected) {
                refused++;
            }
            buffer.put(at, good[at]);
        }
        // Nothing but BenchmarkException came, or this line would not be reached.
        assertTrue("refused " + refused, refused > 200);
    }

    @Test
    public void tensorsThatDontFitAreRefusedBeforeTheyAreAllocated() throws Exception {
        byte[] bytes = asset("digits_float32.tflite");
        ByteBuffer file = ByteBuffer.allocateDirect(bytes.length);
        file.put(bytes);
        TfliteFile model = new TfliteFile(file, "digits", 1L << 30);
        assertTrue(model.leastMemory > 0 && model.operators > 3 && !model.dynamic);
        BenchmarkException error = org.junit.Assert.assertThrows(BenchmarkException.class,
                () -> new TfliteFile(file, "digits", model.leastMemory - 1));
        assertTrue(error.getMessage().contains("largest takes"));
    }

    @Test
    public void aTableThatCantBeWrittenLeavesTheResult() throws Exception {
        new File(folder, "results/table").mkdirs();
        assertNull(run("--graph=asset:digits_int8.kcz --csv_file_path=table --run_id=kept" + QUICK));
        assertEquals(1, result().getJSONArray("models").length());
        assertTrue(log.toString(), log.toString().contains("not its row"));
    }

    @Test
    public void aCrashBecomesTheResultOfItsRun() throws Exception {
        ResultFiles results = new ResultFiles(new File(folder, "results"));
        results.tell("dead", "running", "Loading x.tflite", 1, 9, 123);
        results.tell("alive", "running", "Loading y.tflite", 1, 9, 7);
        assertEquals(Arrays.asList("dead"), results.closeAbandoned(pid -> pid == 7));
        assertTrue(results.read(results.result("dead")).getString("error").contains("x.tflite"));
        assertTrue(results.closeAbandoned(pid -> pid == 7).isEmpty());
    }
}
