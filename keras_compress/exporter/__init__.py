"""From a Keras model to a `.tflite` file that is verified, and packed.

`convert` returns the bytes with a report, `export` writes a folder. Nothing here imports
TensorFlow or Keras before a model is converted.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_compress.errors import ExportError
    from keras_compress.exporter.channel_permutation import ChannelPermutation, permute_channels
    from keras_compress.exporter.export_result import BinaryParts, Export, ExportWarning
    from keras_compress.exporter.folder import export
    from keras_compress.exporter.handlers import register_export_handler
    from keras_compress.exporter.pipeline import convert
    from keras_compress.exporter.preservation import Preservation, WeightPreservation
    from keras_compress.exporter.sparse_padding import pad_for_sparse_kernels
    from keras_compress.exporter.sparse_runtime import (
        SparseCheck,
        SparseCondition,
        check_sparse_runtime,
    )
    from keras_compress.exporter.verification import Verification

__all__ = [
    "BinaryParts",
    "ChannelPermutation",
    "Export",
    "ExportError",
    "ExportWarning",
    "Preservation",
    "SparseCheck",
    "SparseCondition",
    "Verification",
    "WeightPreservation",
    "check_sparse_runtime",
    "convert",
    "export",
    "pad_for_sparse_kernels",
    "permute_channels",
    "register_export_handler",
]

_HOME = {
    "BinaryParts": "export_result",
    "Export": "export_result",
    "ExportError": "pipeline",
    "ExportWarning": "export_result",
    "SparseCheck": "sparse_runtime",
    "SparseCondition": "sparse_runtime",
    "Preservation": "preservation",
    "Verification": "verification",
    "ChannelPermutation": "channel_permutation",
    "WeightPreservation": "preservation",
    "check_sparse_runtime": "sparse_runtime",
    "convert": "pipeline",
    "export": "folder",
    "pad_for_sparse_kernels": "sparse_padding",
    "permute_channels": "channel_permutation",
    "register_export_handler": "handlers",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
