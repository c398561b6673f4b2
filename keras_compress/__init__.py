"""keras_compress: from `model.fit` to a packed, timed model on the device.

Names are loaded when first used, so that `pack`, `unpack`, `inspect` and `bench` neither need
nor import TensorFlow.
"""

from __future__ import annotations

import importlib
from typing import Any

from keras_compress.version import __version__

# Public name -> module that defines it. A submodule maps to itself.
_PUBLIC = {
    "KerasCompressError": "keras_compress.errors",
    "architectures": "keras_compress.architectures",
    "bench": "keras_compress.bench",
    "binary": "keras_compress.binary",
    "channel_pruning": "keras_compress.channel_pruning",
    "clustering": "keras_compress.clustering",
    "compat": "keras_compress.compat",
    "compression_report": "keras_compress.engine.lifecycle",
    "distillation": "keras_compress.distillation",
    "exporter": "keras_compress.exporter",
    "finalize": "keras_compress.engine.lifecycle",
    "inspect": "keras_compress.packing",
    "load_interpreter": "keras_compress.packing.interpreter",
    "load_model": "keras_compress.loading",
    "load_weights": "keras_compress.loading",
    "loading": "keras_compress.loading",
    "open_packed": "keras_compress.packing",
    "pack": "keras_compress.packing",
    "packing": "keras_compress.packing",
    "prepare": "keras_compress.engine.lifecycle",
    "pruning": "keras_compress.pruning",
    "quantization": "keras_compress.quantization",
    "rate": "keras_compress.rate",
    "recipes": "keras_compress.recipes",
    "report": "keras_compress.report",
    "search": "keras_compress.search",
    "tflite": "keras_compress.tflite",
    "unpack": "keras_compress.packing",
}

__all__ = [
    "KerasCompressError",
    "__version__",
    "architectures",
    "bench",
    "binary",
    "channel_pruning",
    "clustering",
    "compat",
    "compression_report",
    "distillation",
    "exporter",
    "finalize",
    "inspect",
    "load_interpreter",
    "load_model",
    "load_weights",
    "loading",
    "open_packed",
    "pack",
    "packing",
    "prepare",
    "pruning",
    "quantization",
    "rate",
    "recipes",
    "report",
    "search",
    "tflite",
    "unpack",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'keras_compress' has no attribute {name!r}")
    module = importlib.import_module(_PUBLIC[name])
    value = module if module.__name__ == f"keras_compress.{name}" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
