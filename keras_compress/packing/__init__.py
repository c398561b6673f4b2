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
from keras_compress.packing.packed_file import PackedFile, PackedTensor, open_packed

__all__ = [
    "FileSizes",
    "Inspection",
    "PackedFile",
    "PackedTensor",
    "TensorReport",
    "inspect",
    "open_packed",
    "pack",
    "pack_file",
    "unpack",
    "unpack_file",
    "unpack_into",
    "verify",
]
