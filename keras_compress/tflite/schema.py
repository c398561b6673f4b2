"""TFLite's schema: the generated module, names and types, and what every file begins with."""

from __future__ import annotations

import functools
import importlib
from typing import Any

import numpy as np

from keras_compress.errors import KerasCompressError, ModelFileError

__all__ = ["FILE_IDENTIFIER", "NUMPY_TYPES", "check_model_bytes", "names_of", "schema"]

FILE_IDENTIFIER = b"TFL3"
_SMALLEST_MODEL = 16

# The types that constants of a network come in, by their names in the TFLite schema.
NUMPY_TYPES: dict[str, np.dtype[Any]] = {
    "FLOAT32": np.dtype("<f4"),
    "FLOAT16": np.dtype("<f2"),
    "FLOAT64": np.dtype("<f8"),
    "INT8": np.dtype("i1"),
    "UINT8": np.dtype("u1"),
    "INT16": np.dtype("<i2"),
    "UINT16": np.dtype("<u2"),
    "INT32": np.dtype("<i4"),
    "UINT32": np.dtype("<u4"),
    "INT64": np.dtype("<i8"),
    "UINT64": np.dtype("<u8"),
    "BOOL": np.dtype("?"),
}


@functools.cache
def schema() -> Any:
    """Return the module that TFLite's schema was generated into, with its object API.

    Raises:
        KerasCompressError: If no runtime that brings it is installed.
    """
    for module in (
        "ai_edge_litert.schema_py_generated",
        "tensorflow.lite.python.schema_py_generated",
    ):
        try:
            return importlib.import_module(module)
        except ImportError:
            continue
    raise KerasCompressError(
        "Reading a TFLite model needs its schema. Install it with `pip install ai-edge-litert`."
    )


@functools.cache
def names_of(enumeration: type) -> dict[int, str]:
    """Return the names of an enumeration of the schema, such as `BuiltinOperator`, by number."""
    return {
        number: name
        for name, number in vars(enumeration).items()
        if isinstance(number, int) and not name.startswith("_")
    }


def check_model_bytes(data: bytes, *, name: str = "the model") -> None:
    """Refuse bytes that can't be a `.tflite` file, by size and by file identifier.

    This says what is wrong with the usual accidents (an empty download, a truncated copy, an
    HTML error page). It does not make a hostile file safe to run.

    Args:
        data: The bytes.
        name: What the error calls them. Defaults to `"the model"`.

    Raises:
        ModelFileError: If they are no TFLite flatbuffer.
    """
    if not data:
        raise ModelFileError(f"A TFLite model can't be empty. Received: {name} with 0 bytes.")
    if len(data) < _SMALLEST_MODEL:
        raise ModelFileError(
            f"A TFLite model has at least {_SMALLEST_MODEL} bytes. "
            f"Received: {name} with {len(data)} bytes; it was probably cut short."
        )
    if data[4:8] != FILE_IDENTIFIER:
        raise ModelFileError(
            f"A TFLite model carries the identifier {FILE_IDENTIFIER!r} at byte 4. "
            f"Received: {name} with {bytes(data[4:8])!r} there; it is some other kind of file."
        )
    root = int.from_bytes(data[:4], "little")
    if not 8 <= root <= len(data) - 4:
        raise ModelFileError(
            f"The root table of a TFLite model lies inside the file. Received: {name} with "
            f"{len(data)} bytes and its root at byte {root}; it was probably cut short."
        )
