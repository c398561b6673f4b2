package org.kerascompress.bench.core;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.util.Arrays;
import java.util.List;
import org.junit.Test;

/** Arguments as scripts, people and attackers write them. */
public class ArgumentsTest {
    @Test
    public void flagsOfTheOriginalAreUnderstood() throws Exception {
        BenchmarkFlags flags = BenchmarkFlags.parse("--graph=a.tflite --num_threads=4 --warmup_runs 3"
                + " --num_runs=20 --min_secs=0.5 --max_secs=9 --run_delay=-1.0 --use_gpu=false"
                + " --use_xnnpack=true --enable_op_profiling=true --use_nnapi=false"
                + " --report_peak_memory_footprint --result_file_path=r.json");
        assertEquals(Arrays.asList("a.tflite"), flags.graphs);
        assertEquals(4, flags.numThreads);
        assertEquals(3, flags.warmupRuns);
        assertEquals(20, flags.numRuns);
        assertEquals(0.5, flags.minSecs, 0);
        assertEquals("xnnpack", flags.delegate());
        assertTrue(flags.enableOpProfiling && flags.reportPeakMemory);
        assertEquals("r.json", flags.resultFilePath);
    }

    @Test
    public void defaultsAreThoseOfTheOriginal() throws Exception {
        BenchmarkFlags flags = BenchmarkFlags.parse("--graph=a");
        assertEquals(1, flags.warmupRuns);
        assertEquals(50, flags.numRuns);
        assertEquals(150.0, flags.maxSecs, 0);
        assertFalse(flags.useGpu);
    }

    @Test
    public void theLineMayBeQuotedTwice() throws Exception {
        BenchmarkFlags flags = BenchmarkFlags.parse("\"--graph=b.tflite --num_threads=2\"");
        assertEquals(2, flags.numThreads);
        assertEquals(Arrays.asList("a b.tflite"),
                BenchmarkFlags.parse("\"--graph=a b.tflite\"").graphs);
    }

    @Test
    public void quotesBlanksAndNewlinesGoRoundTrip() throws Exception {
        List<String> words = Arrays.asList("--graph=a b\"c'd\\e\nf.kcz", "", "--x=\u00e9\u4e2d");
        assertEquals(words, ArgumentLine.split(ArgumentLine.join(words)));
    }

    @Test
    public void badArgumentsAreRefusedByName() {
        String[][] cases = {
            {"--grph=a", "--grph"}, {"--graph=a --use_hexagon", "Hexagon"},
            {"--graph=a --use_nnapi=true", "NNAPI"}, {"--graph=a --num_threads=two", "--num_threads"},
            {"--graph=a --num_threads=99999999999999999999", "--num_threads"},
            {"--graph=a --num_runs=0", "--num_runs"}, {"--graph=a --max_secs=NaN", "--max_secs"},
            {"--graph=a --max_secs=1e999", "--max_secs"}, {"--graph=a --use_gpu=perhaps", "--use_gpu"},
            {"--graph=a --min_secs=3 --max_secs=2", "--min_secs"}, {"a.tflite", "two dashes"},
            {"--graph=\"a", "quote"}, {"", "--graph"}, {"--num_runs=3", "--graph"},
            {"--graph=a --use_gpu --use_binary", "One delegate"}, {"--graph", "--graph"},
            {"--graph=a --run_id=../x", "--run_id"}, {"--graph=a --\u0000x", "no flag"},
        };
        for (String[] one : cases) {
            BenchmarkException error = assertThrows(one[0], BenchmarkException.class,
                    () -> BenchmarkFlags.parse(one[0]));
            assertTrue(error.getMessage(), error.getMessage().contains(one[1]));
            assertFalse(error.getMessage().contains("\n"));
        }
        StringBuilder huge = new StringBuilder();
        for (int i = 0; i < 20000; i++) {
            huge.append('x');
        }
        assertThrows(BenchmarkException.class, () -> BenchmarkFlags.parse(huge.toString()));
    }
}
