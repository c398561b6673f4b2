"""Teachers' outputs kept beside the data they belong to."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

DTYPES = ("float16", "float32")

# Keys of the inputs that carry cached outputs through `fit`.
_INPUTS = "__inputs__"
_TEACHER_OUTPUTS = "__teacher_outputs__"


@dataclass(frozen=True)
class TeacherCache:
    """What one or several teachers say to each sample of a fixed data set.

    Attributes:
        outputs: For each teacher its outputs, arrays `(samples, ...)` in the teacher's structure.
        heads: For each teacher what its outputs are, flattened: `"softmax"`, `"sigmoid"`,
            `"linear"` or `"unknown"`.
        fingerprint: Of the teachers and the data, hexadecimal.
        data: Of the data alone.
    """

    outputs: tuple[Tensor, ...]
    heads: tuple[tuple[str, ...], ...]
    fingerprint: str
    data: str

    def __len__(self) -> int:
        return len(keras.tree.flatten(self.outputs)[0])

    def inputs(self, x: Tensor, *, heard: object = None) -> dict[str, Any]:
        """Return `x` with the outputs beside it, to be passed to `fit` in the place of `x`.

        Shuffling, batching, splitting and weighting keep them together. With random augmentation
        a teacher has to run on what the student sees.

        Args:
            x: The student's inputs as arrays, samples along the first axis.
            heard: What the teachers heard, where it isn't what the student does (another range,
                say), sample for sample in the same order. Defaults to `None` (`x`).

        Raises:
            KerasCompressError: If the outputs were made from other data, or in another order.
        """
        if data_fingerprint(x if heard is None else heard) != self.data:
            raise KerasCompressError(
                "Cached outputs belong to the data that the teachers heard, in that order. "
                "Received: other data. Pass the arrays that `cache_teacher` was given, and "
                "shuffle in `fit`; where the student takes the same samples in another form, "
                "pass those arrays as `heard`."
            )
        for array in keras.tree.flatten(x):
            if len(array) != len(self):
                raise KerasCompressError(
                    "Inputs and cached outputs must belong to the same samples. Received: "
                    f"{len(array)} inputs and outputs for {len(self)} samples."
                )
        return {_INPUTS: x, _TEACHER_OUTPUTS: tuple(self.outputs)}


def split_inputs(x: Tensor) -> tuple[Any, Any]:
    """Return inputs, and the cached outputs beside them or `None`."""
    if isinstance(x, dict) and _TEACHER_OUTPUTS in x:
        return x[_INPUTS], x[_TEACHER_OUTPUTS]
    return x, None


def data_fingerprint(x: Tensor) -> str:
    """Return a checksum of arrays and their structure, hexadecimal.

    Raises:
        KerasCompressError: If `x` holds anything but arrays of numbers.
    """
    arrays = keras.tree.flatten(x)
    for array in arrays:
        if not isinstance(array, np.ndarray) or not array.ndim or array.dtype.hasobject:
            raise KerasCompressError(
                "Only fixed data can be cached: `x` must be arrays of numbers with samples along "
                f"the first axis. Received: {type(array).__name__}. Collect a data set into "
                "arrays first, or distil with the teacher running."
            )
    digest = hashlib.blake2b(digest_size=16)
    for path, array in keras.tree.flatten_with_path(x):
        digest.update(f"{path}{array.shape}{array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return digest.hexdigest()
