"""Biases that are all zero, kept through TensorFlow's converter.

The converter drops the addition of zeros, so that a net whose training emptied a bias would have
another graph than the net it came from: a patch could no longer build on it, and the packer, which
knows the usual graphs, would have to spell it out. While the converter runs, such biases hold a
number too small to change any sum, and become zero again in its file.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_compress.tflite.in_place import replace_constants
from keras_compress.tflite.model_file import Tensor

if TYPE_CHECKING:
    import keras

__all__ = ["cleared_marks", "marked_zero_biases"]

# A normal float32, lost in every sum with a number above 1e-29. What folding a normalization
# makes of it is told from a weight by the second bound.
_MARK = np.float32(2.0**-120)
_LARGEST_MARK = np.float32(2.0**-100)


@contextlib.contextmanager
def marked_zero_biases(model: keras.Model) -> Iterator[bool]:
    """Give the biases of `model` that are all zero a mark while the context is open.

    Yields:
        Whether there are any. There are none in a model with weights as small as marks.
    """
    marked: list[Any] = []
    for variable in model.variables:
        if variable.dtype == "float32":
            values = np.asarray(variable.value)
            if _has_marks(values):
                marked = []
                break
            if variable.name == "bias" and not values.any():
                marked.append(variable)
    try:
        for variable in marked:
            variable.assign(np.full(variable.shape, _MARK))
        yield bool(marked)
    finally:
        for variable in marked:
            variable.assign(np.zeros(variable.shape, np.float32))


def cleared_marks(data: bytes) -> bytes:
    """Return the TFLite file `data` with 0 for every mark."""

    def cleared(tensor: Tensor) -> np.ndarray | None:
        values = tensor.array() if tensor.dtype == "FLOAT32" else np.zeros(0, np.float32)
        if not _has_marks(values):
            return None
        return np.where(np.abs(values) <= _LARGEST_MARK, np.float32(0), values)

    return replace_constants(data, cleared)


def _has_marks(values: np.ndarray) -> bool:
    return bool(((values != 0) & (np.abs(values) <= _LARGEST_MARK)).any())
