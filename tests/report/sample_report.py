"""A report as the demo writes it, made up, small, and whole."""

from __future__ import annotations

from typing import Any

import numpy as np


def sample_report() -> dict[str, Any]:
    """Return a new report that every test may change."""
    stages = [
        _stage("baseline", "Baseline", "float32", 0.9911, 343_520, 318_204, 0.0521, 0.0),
        _stage("pruned", "Pruned", "float32", 0.9933, 343_520, 33_410, 0.0519, 0.914),
        _stage(
            "clustered", "Pruned, shared values", "float32", 0.9889, 343_520, 9_120, 0.052, 0.914
        ),
        _stage(
            "int8", "Pruned, shared values, int8", "int8", 0.9867, 92_184, 10_540, 0.0212, 0.914
        ),
    ]
    stages[2]["shipped"] = True
    stages[1]["note"] = "Weights set to zero during fit."
    return {
        "schema_version": 1,
        "title": "digits_cnn on scikit-learn digits",
        "created": "2026-11-22 12:00:00 UTC",
        "duration_s": 61.4,
        "baseline": dict(stages[0]),
        "compressed": dict(stages[2]),
        "stages": stages,
        "layers": [
            _layer("conv1", "Conv2D", (3, 3, 1, 32), 0.3, 16),
            _bias("conv1", "Conv2D", 32),
            _layer("conv2", "Conv2D", (3, 3, 32, 64), 0.88, 12),
            _layer("hidden", "Dense", (1024, 64), 0.93, 12),
            _layer("classifier", "Dense", (64, 10), 0.5, 12),
        ],
        "channel_groups": [
            {"name": "conv2", "before": 64, "kept": 40, "reason": ""},
            {"name": "hidden", "before": 64, "kept": 64, "reason": "left out by the user"},
        ],
        "packed": {
            "original_size": 343_520,
            "packed_size": 9_120,
            "skeleton_size": 3_900,
            "skeleton_packed": 1_204,
            "header_size": 36,
            "tensors": [
                _tensor("conv1", (32, 3, 3, 1), 288, 86, 16, 180.4),
                _tensor("conv2", (64, 3, 3, 32), 18_432, 16_220, 12, 2_301.0),
                _tensor("hidden", (64, 1024), 65_536, 60_948, 12, 4_811.5),
                _tensor("classifier", (10, 64), 640, 320, 12, 322.1),
            ],
            "compared": {"gzip -9": 15_300, "zstd -19": 13_400, "xz -9e": 12_484},
            "not_compared": ["brotli"],
        },
        "bench": {
            "schema_version": 1,
            "settings": {"num_threads": 1, "rounds": 10},
            "environment": {
                "cpu": "a processor",
                "os": "Linux",
                "runtime": {"name": "ai-edge-litert", "version": "2.3.0"},
            },
            "models": [
                _timed("baseline", 0.0521, 343_520, None),
                _timed("clustered", 0.0520, 343_520, 1.0),
                _timed("model.kcz", 0.0524, 9_120, 0.99),
            ],
        },
        "verification": {
            "clustered": _verification(2.4e-07, 1.0),
            "int8": _verification(0.0312, 0.9967),
        },
        "preservation": {
            "clustered": {
                "weights": [
                    _preserved("conv1/kernel", 288, 16, 16, 86, "kept"),
                    _preserved("conv1/bias", 32, 32, 32, 0, "none"),
                    _preserved("conv2/kernel", 18_432, 12, 640, 16_220, "per_channel"),
                ]
            }
        },
        "settings": {
            "architecture": "digits_cnn",
            "batch_size": 32,
            "baseline": {"epochs": 40, "learning_rate": 0.002},
            "image_shape": [8, 8, 1],
            "seed": 0,
        },
        "environment": {"python": "3.11.7", "keras": "3.15.1", "cpu": "a processor", "cores": 2},
    }


def _stage(
    name: str,
    title: str,
    precision: str,
    accuracy: float,
    tflite_bytes: int,
    packed_bytes: int,
    latency_ms: float,
    sparsity: float,
) -> dict[str, Any]:
    return {
        "name": name,
        "title": title,
        "precision": precision,
        "accuracy": accuracy,
        "tflite_bytes": tflite_bytes,
        "packed_bytes": packed_bytes,
        "ratio": 343_520 / packed_bytes,
        "latency_ms": latency_ms,
        "sparsity": sparsity,
        "shipped": False,
        "note": "",
    }


def _verification(error: float, agreement: float) -> dict[str, Any]:
    return {
        "samples": 300,
        "data": "samples",
        "runtime": "ai-edge-litert 2.3.0",
        "max_abs_error": error,
        "top1_agreement": agreement,
        "outputs": [{"name": "classifier", "mean_abs_error": error / 10}],
    }


def _preserved(
    weight: str, size: int, before: int, after: int, zeros: int, sharing: str
) -> dict[str, Any]:
    return {
        "weight": weight,
        "tensor": weight,
        "dtype": "FLOAT32",
        "size": size,
        "distinct_before": before,
        "distinct_after": after,
        "zeros_before": zeros,
        "zeros_after": zeros,
        "sharing": sharing,
        "zeros": "kept" if zeros else "none",
        "reason": "a BatchNormalization was folded in" if sharing == "per_channel" else "",
    }


def _timed(name: str, median: float, size: int, ratio: float | None) -> dict[str, Any]:
    record: dict[str, Any] = {
        "name": name,
        "format": "kcz" if name.endswith("kcz") else "tflite",
        "is_baseline": ratio is None,
        "latency_metrics": {
            "p5_ms": median * 0.9,
            "median_ms": median,
            "p90_ms": median * 1.1,
            "p95_ms": median * 1.2,
            "init_ms": 0.879,
            "later_init_ms": 0.274,
            "first_inference_ms": 0.0945,
        },
        "memory_metrics": {"overall_footprint_kb": 6922},
        "misc_metrics": {"num_runs": 16_832},
        "decode": {"decode_ms": 1.23, "file_bytes": size, "model_bytes": 343_520},
        "delegate": {"asked": "xnnpack", "used": "xnnpack"},
    }
    if ratio is not None:
        record["comparison"] = {
            "baseline": "baseline",
            "latency_ratio": ratio,
            "latency_ratio_low": ratio - 0.02,
            "latency_ratio_high": ratio + 0.03,
            "verdict": "PASS_WITH_WARNING",
            "reasons": ["starting up takes 1.2 ms longer"],
        }
    return record


def _tensor(
    name: str, shape: tuple[int, ...], count: int, zeros: int, distinct: int, packed: float
) -> dict[str, Any]:
    return {
        "name": f"digits_cnn_1/{name}_1/MatMul;digits_cnn_1/{name}_1/BiasAdd",
        "dtype": "float32",
        "shape": list(shape),
        "size": 4 * count,
        "count": count,
        "zeros": zeros,
        "distinct": distinct,
        "entropy": 0.71,
        "coder": "codebook",
        "packed_bytes": packed,
        "bits_per_weight": 8 * packed / count,
        "bits_per_kept_weight": 8 * packed / (count - zeros),
        "tensors": 1,
    }


def _layer(
    name: str, kind: str, shape: tuple[int, ...], sparsity: float, values: int
) -> dict[str, Any]:
    random = np.random.default_rng(len(name))
    before = random.normal(0, 0.05, shape)
    size = before.size
    zeros = round(size * sparsity)
    kept = np.sort(np.abs(before.ravel()))[zeros:] * random.choice([-1, 1], size - zeros)
    centroids = np.linspace(kept.min(), kept.max(), values - 1)
    after = centroids[np.abs(kept[:, None] - centroids).argmin(axis=1)]
    reach = float(np.abs(before).max())
    return {
        "name": name,
        "type": kind,
        "weight": "kernel",
        "shape": list(shape),
        "weights": size,
        "zeros": zeros,
        "sparsity": zeros / size,
        "distinct_values": values,
        "before": {
            "zeros": 0,
            "distinct_values": size,
            "histogram": _histogram(before, reach),
        },
        "after": {
            "zeros": zeros,
            "distinct_values": values,
            "histogram": _histogram(after, reach),
        },
        "actions": [
            {"technique": "pruning", "action": "pruned", "reason": ""},
            {"technique": "clustering", "action": "clustered", "reason": ""},
        ],
    }


def _bias(name: str, kind: str, size: int) -> dict[str, Any]:
    return {
        "name": name,
        "type": kind,
        "weight": "bias",
        "shape": [size],
        "weights": size,
        "zeros": 0,
        "sparsity": 0.0,
        "distinct_values": size,
        "before": {"zeros": size, "distinct_values": 1},
        "after": {"zeros": 0, "distinct_values": size},
        "actions": [{"technique": "pruning", "action": "left alone", "reason": "bias"}],
    }


def _histogram(values: np.ndarray, reach: float) -> dict[str, Any]:
    counts, _ = np.histogram(values, bins=61, range=(-reach, reach))
    return {"low": -reach, "high": reach, "counts": counts.tolist()}
