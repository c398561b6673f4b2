package org.kerascompress.bench.core;

/** Waiting that a cancelled run ends early. */
final class Pause {
    private static final long SLICE_NS = 50_000_000L;

    private Pause() {}

    static void seconds(double seconds, ModelUnderTest.Cancelled cancelled) {
        long end = System.nanoTime() + (long) (seconds * 1e9);
        for (long left = end - System.nanoTime(); left > 0 && !cancelled.now();
                left = end - System.nanoTime()) {
            long nap = Math.min(left, SLICE_NS);
            try {
                Thread.sleep(nap / 1_000_000, (int) (nap % 1_000_000));
            } catch (InterruptedException stop) {
                Thread.currentThread().interrupt();
                return;
            }
        }
    }
}
