"""A model beside its baseline: ratios, and a verdict with its reasons."""

from __future__ import annotations

from typing import Any

from keras_compress.bench.samples import ratio_interval

__all__ = ["compare"]

# Below this share of difference nobody notices, and machines repeat themselves no better.
_TOLERATED = 0.05
_TOLERATED_STARTUP_MS = 1.0


def compare(model: dict[str, Any], baseline: dict[str, Any]) -> dict[str, Any]:
    """Return the `comparison` entry of `model`.

    As in TensorFlow's delegate performance benchmark, two things count: the time of an
    inference, and the overhead of starting up (decoding + initialization + mean warm-up - mean
    inference). `FAIL` means that inferences are slower by over 5 per cent and not by chance;
    `PASS_WITH_WARNING` that they may be, that starting up takes over 5 per cent and a
    millisecond longer, or that the file is over 5 per cent larger.
    """
    own, other = model["latency_metrics"], baseline["latency_metrics"]
    low, high = ratio_interval(
        [r["median_ms"] for r in baseline["rounds"]], [r["median_ms"] for r in model["rounds"]]
    )
    size_ratio = _file_bytes(baseline) / _file_bytes(model)
    startup, baseline_startup = _startup(model), _startup(baseline)
    slow = 1 / (1 + _TOLERATED)
    reasons = []
    failed = high < slow
    if failed:
        reasons.append(f"an inference takes {1 / high:.2f} to {1 / low:.2f} times as long")
    elif low < slow:
        reasons.append(f"an inference may take up to {1 / low:.2f} times as long")
    if startup > baseline_startup * (1 + _TOLERATED) + _TOLERATED_STARTUP_MS:
        reasons.append(f"starting up takes {startup - baseline_startup:.1f} ms longer")
    if size_ratio < slow:
        reasons.append(f"the file is {1 / size_ratio:.2f} times as large")
    return {
        "baseline": baseline["name"],
        "latency_ratio": other["median_ms"] / own["median_ms"],
        "latency_ratio_low": low,
        "latency_ratio_high": high,
        "size_ratio": size_ratio,
        "startup_overhead_ms": startup,
        "baseline_startup_overhead_ms": baseline_startup,
        "verdict": "FAIL" if failed else "PASS_WITH_WARNING" if reasons else "PASS",
        "reasons": reasons,
    }


def _file_bytes(model: dict[str, Any]) -> int:
    return int(model["decode"]["file_bytes"])


def _startup(model: dict[str, Any]) -> float:
    latency = model["latency_metrics"]
    return float(
        model["decode"]["decode_ms"]
        + latency["init_ms"]
        + latency["average_warm_up_ms"]
        - latency["avg_ms"]
    )
