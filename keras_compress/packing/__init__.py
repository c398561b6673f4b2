"""The packed file (`.kcz`): lossless over any `.tflite`, and no TensorFlow needed."""

from __future__ import annotations

from keras_compress.packing.inspection import Inspection, TensorReport, inspect
from keras_compress.packing.pack import (
    FileSizes,
    pack,
    pack_file,
    unpack,
    unpack_file,
    unpack_into,
    verify,
)

__all__ = [
    "FileSizes",
    "Inspection",
    "TensorReport",
    "inspect",
    "pack",
    "pack_file",
    "unpack",
    "unpack_file",
    "unpack_into",
    "verify",
]
