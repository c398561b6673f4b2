"""Numbers that describe a series of timings, and what two series say about each other."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

__all__ = ["describe", "ratio_interval"]


def describe(times_ns: Sequence[int]) -> dict[str, float]:
    """Return the latency metrics of a series of nanoseconds, in milliseconds.

    Percentiles are nearest ranks: numbers that were measured, not interpolated between two.
    The standard deviation is the population's, as TensorFlow's benchmark tool states it.
    """
    times = np.sort(np.asarray(times_ns, np.float64)) / 1e6
    return {
        "avg_ms": float(times.mean()),
        "min_ms": float(times[0]),
        "max_ms": float(times[-1]),
        "stddev_ms": float(times.std()),
        "median_ms": _nearest_rank(times, 50),
        "p5_ms": _nearest_rank(times, 5),
        "p90_ms": _nearest_rank(times, 90),
        "p95_ms": _nearest_rank(times, 95),
    }


def ratio_interval(
    numerators: Sequence[float], denominators: Sequence[float]
) -> tuple[float, float]:
    """Return an interval for the median of the ratios of two series of equal length.

    The rounds are paired, so that a slow minute of the machine hits both sides of a ratio. The
    interval runs from the second smallest to the second largest ratio: with ten rounds it holds
    the true median with 98 per cent, whatever the distribution (it misses only when nine or more
    of ten fall on one side). Under six rounds it is the whole range.
    """
    ratios = sorted(n / d for n, d in zip(numerators, denominators, strict=True))
    cut = 1 if len(ratios) >= 6 else 0
    return ratios[cut], ratios[len(ratios) - 1 - cut]


def _nearest_rank(ordered: np.ndarray, percent: float) -> float:
    rank = max(math.ceil(percent / 100 * len(ordered)), 1)
    return float(ordered[rank - 1])
