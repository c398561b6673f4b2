"""Timing models on the host, and the one form that results of host and phone have.

`bench` times `.tflite` and `.kcz` files with a TFLite runtime; it neither needs nor imports
TensorFlow. `load_result` reads a result back, wherever it was measured.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_compress.bench.result import BenchmarkResult, ModelResult, load_result
    from keras_compress.bench.run import bench

__all__ = ["BenchmarkResult", "ModelResult", "bench", "load_result"]

_HOME = {
    "BenchmarkResult": "result",
    "ModelResult": "result",
    "bench": "run",
    "load_result": "result",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
