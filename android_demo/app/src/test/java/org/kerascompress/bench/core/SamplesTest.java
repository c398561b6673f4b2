package org.kerascompress.bench.core;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;

import org.json.JSONObject;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.annotation.Config;
import org.robolectric.annotation.GraphicsMode;

/** The numbers of a series, and what the runtime tells of its delegates. */
@RunWith(RobolectricTestRunner.class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
@Config(sdk = 34)
public class SamplesTest {
    @Test
    public void percentilesAreNearestRanks() {
        long[] times = new long[100];
        for (int i = 0; i < 100; i++) {
            times[i] = (100 - i) * 1_000_000L;
        }
        Samples samples = new Samples(times);
        assertEquals(5, samples.p5, 0);
        assertEquals(50, samples.median, 0);
        assertEquals(90, samples.p90, 0);
        assertEquals(95, samples.p95, 0);
        assertEquals(50.5, samples.avg, 1e-9);
        assertEquals(Math.sqrt(9999 / 12.0), samples.stddev, 1e-9);
    }

    @Test
    public void theIntervalDropsOneRatioOnEachSide() {
        double[] ones = {1, 1, 1, 1, 1, 1};
        assertArrayEquals(new double[] {2, 5},
                Samples.ratioInterval(new double[] {1, 2, 3, 4, 5, 6}, ones), 0);
        assertArrayEquals(new double[] {1, 3},
                Samples.ratioInterval(new double[] {1, 2, 3}, new double[] {1, 1, 1}), 0);
    }

    @Test
    public void delegationIsReadFromTheLogOrThePlanOrNotToldAtAll() throws Exception {
        String log = "I tflite: Replacing 5 out of 9 node(s) with delegate (TfLiteXNNPackDelegate) "
                + "node, yielding 3 partitions for the whole graph.";
        JSONObject told = Delegation.describe("xnnpack", 9, 6, log, log + log);
        assertEquals("xnnpack", told.getString("used"));
        assertEquals(5, told.getInt("delegated_nodes"));
        assertEquals(2, told.getInt("partitions"));
        assertEquals("gpu", Delegation.describe("gpu", 9, 1, null, null).getString("used"));
        assertEquals("none", Delegation.describe("none", 9, 9, null, null).getString("used"));
        assertEquals("unknown", Delegation.describe("xnnpack", 9, 9, null, null).getString("used"));
        assertEquals("none", Delegation.describe("xnnpack", 9, 9, "", "tflite: x").getString("used"));
        assertEquals("unknown", Delegation.describe("xnnpack", 9, 9, "",
                "Created TensorFlow Lite XNNPACK delegate for CPU.").getString("used"));
        assertEquals("unknown", Delegation.describe("xnnpack", 9, -1, null, null).getString("used"));
    }
}
