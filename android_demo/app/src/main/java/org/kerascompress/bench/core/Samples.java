package org.kerascompress.bench.core;

import java.util.Arrays;

/** Numbers that describe a series of timings, the same as those of the command on the host. */
public final class Samples {
    public final double avg;
    public final double min;
    public final double max;
    public final double stddev;
    public final double median;
    public final double p5;
    public final double p90;
    public final double p95;
    public final int count;

    /** @param nanoseconds at least one */
    public Samples(long[] nanoseconds) {
        double[] times = new double[nanoseconds.length];
        double sum = 0;
        for (int i = 0; i < times.length; i++) {
            times[i] = nanoseconds[i] / 1e6;
            sum += times[i];
        }
        Arrays.sort(times);
        count = times.length;
        avg = sum / count;
        double squares = 0;
        for (double time : times) {
            squares += (time - avg) * (time - avg);
        }
        stddev = Math.sqrt(squares / count);
        min = times[0];
        max = times[count - 1];
        median = rank(times, 50);
        p5 = rank(times, 5);
        p90 = rank(times, 90);
        p95 = rank(times, 95);
    }

    /** The nearest rank: a time that was measured. */
    private static double rank(double[] ordered, double percent) {
        int rank = Math.max((int) Math.ceil(percent / 100 * ordered.length), 1);
        return ordered[rank - 1];
    }

    /** As `statistics.median`: of an even number, the mean of the two in the middle. */
    public static double median(double[] values) {
        double[] ordered = values.clone();
        Arrays.sort(ordered);
        int half = ordered.length / 2;
        return ordered.length % 2 == 1 ? ordered[half] : (ordered[half - 1] + ordered[half]) / 2;
    }

    /**
     * An interval for the median of paired ratios: second smallest to second largest, which with ten
     * rounds holds the true one with 98 per cent; under six rounds the whole range.
     */
    public static double[] ratioInterval(double[] numerators, double[] denominators) {
        double[] ratios = new double[numerators.length];
        for (int i = 0; i < ratios.length; i++) {
            ratios[i] = numerators[i] / denominators[i];
        }
        Arrays.sort(ratios);
        int cut = ratios.length >= 6 ? 1 : 0;
        return new double[] {ratios[cut], ratios[ratios.length - 1 - cut]};
    }
}
