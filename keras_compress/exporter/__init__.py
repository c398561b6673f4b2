"""From a Keras model to a `.tflite` file that is verified, and packed.

`convert` returns the bytes with a report, `export` writes a folder. Nothing here imports
TensorFlow or Keras before a model is converted.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_compress.errors import ExportError
    from keras_compress.exporter.binary import BinaryParts
    from keras_compress.exporter.folder import export
    from keras_compress.exporter.handlers import register_export_handler
    from keras_compress.exporter.pipeline import Export, ExportWarning, convert
    from keras_compress.exporter.sparse_ready import make_sparse_ready
    from keras_compress.exporter.sparse_runtime import (
        SparseCheck,
        SparseCondition,
        check_sparse_runtime,
    )
    from keras_compress.exporter.survival import Survival, WeightSurvival
    from keras_compress.exporter.unit_order import UnitOrder, order_units
    from keras_compress.exporter.verification import Verification

__all__ = [
    "BinaryParts",
    "Export",
    "ExportError",
    "ExportWarning",
    "SparseCheck",
    "SparseCondition",
    "Survival",
    "UnitOrder",
    "Verification",
    "WeightSurvival",
    "check_sparse_runtime",
    "convert",
    "export",
    "make_sparse_ready",
    "order_units",
    "register_export_handler",
]

_HOME = {
    "BinaryParts": "binary",
    "Export": "pipeline",
    "ExportError": "pipeline",
    "ExportWarning": "pipeline",
    "SparseCheck": "sparse_runtime",
    "SparseCondition": "sparse_runtime",
    "Survival": "survival",
    "Verification": "verification",
    "UnitOrder": "unit_order",
    "WeightSurvival": "survival",
    "check_sparse_runtime": "sparse_runtime",
    "convert": "pipeline",
    "export": "folder",
    "make_sparse_ready": "sparse_ready",
    "order_units": "unit_order",
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
