"""What a `.tflite` file holds, as plain numbers: tensors, operators, signatures."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from keras_compress.errors import ModelFileError
from keras_compress.tflite.schema import NUMPY_TYPES

__all__ = ["Operator", "Signature", "Tensor", "TfliteFile"]


@dataclass(frozen=True)
class Tensor:
    """A tensor of a model file.

    Attributes:
        index: Position in its subgraph.
        subgraph: Position of its subgraph in the file; 0 is the main one.
        name: The converter's name for it, made of the names of fused TensorFlow operations.
        shape: Static shape; `-1` never occurs here, a dynamic dimension shows as 1.
        dtype: Type by its name in the TFLite schema, such as `"FLOAT32"`.
        data: The bytes of a constant, `None` for an activation.
        scales: Quantization scales: none, one, or one a channel.
        zero_points: As many as `scales`.
        quantized_axis: The axis that `scales` run along, where there is one a channel.
        is_sparse: Whether `data` holds the kept values only (TFLite's sparse format).
    """

    index: int
    subgraph: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    data: memoryview | None
    scales: np.ndarray
    zero_points: np.ndarray
    quantized_axis: int
    is_sparse: bool

    @property
    def is_constant(self) -> bool:
        return self.data is not None

    @property
    def is_readable(self) -> bool:
        """Whether `array()` can return the values."""
        return self.data is not None and not self.is_sparse and self.dtype in NUMPY_TYPES

    def array(self) -> np.ndarray:
        """Return the stored values, unscaled, with the tensor's shape.

        Raises:
            ModelFileError: If the tensor is no constant, is stored sparse, has a type with no
                NumPy equivalent, or if its bytes don't fill its shape.
        """
        if self.data is None or not self.is_readable:
            raise ModelFileError(
                f"Only dense constants can be read. Received: tensor {self.name!r}, "
                f"type {self.dtype}, {'sparse' if self.is_sparse else 'no dense constant'}."
            )
        dtype = NUMPY_TYPES[self.dtype]
        count = math.prod(self.shape)
        if count * dtype.itemsize != len(self.data):
            raise ModelFileError(
                f"A constant's bytes fill its shape. Received: tensor {self.name!r} of shape "
                f"{self.shape} and type {self.dtype} with {len(self.data)} bytes."
            )
        return np.frombuffer(self.data, dtype=dtype).reshape(self.shape)

    def quantization(self) -> tuple[np.ndarray, np.ndarray]:
        """Return scales and zero points, shaped so that they broadcast over `array()`.

        Raises:
            ModelFileError: If their number fits neither the tensor nor its quantized axis.
        """
        if not self.scales.size:
            return np.ones((), np.float32), np.zeros((), np.int64)
        zero_points = self.zero_points
        if not zero_points.size:
            zero_points = np.zeros(self.scales.shape, np.int64)
        if self.scales.size == 1 and zero_points.size == 1:
            return self.scales.reshape(()), zero_points.reshape(())
        axis = self.quantized_axis
        if (
            not 0 <= axis < len(self.shape)
            or self.scales.size != self.shape[axis]
            or zero_points.size != self.scales.size
        ):
            raise ModelFileError(
                "Quantization has one scale and zero point, or one a channel. Received: tensor "
                f"{self.name!r} of shape {self.shape} with {self.scales.size} scales and "
                f"{zero_points.size} zero points along axis {axis}."
            )
        shape = [1] * len(self.shape)
        shape[axis] = self.scales.size
        return self.scales.reshape(shape), zero_points.reshape(shape)

    def dequantized(self) -> np.ndarray:
        """Return the values as float32: `scale * (stored - zero point)` where quantized."""
        stored = self.array()
        if not self.scales.size:
            return stored.astype(np.float32)
        scales, zero_points = self.quantization()
        return ((stored.astype(np.float64) - zero_points) * scales).astype(np.float32)


@dataclass(frozen=True)
class Operator:
    """A node: its built-in name (or `"CUSTOM"`), custom name, and tensor indices."""

    name: str
    custom_name: str | None
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Signature:
    """A named way to call the model: argument and result names with their tensor indices."""

    key: str
    inputs: dict[str, int]
    outputs: dict[str, int]


@dataclass(frozen=True)
class TfliteFile:
    """What `read_tflite` found. `operators`, `inputs`, `outputs` are the main subgraph's."""

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    operator_names: tuple[str, ...]
    custom_operators: tuple[str, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    signatures: tuple[Signature, ...]
    size: int

    def tensor(self, index: int) -> Tensor:
        """Return tensor `index` of the main subgraph."""
        found = self._main().get(index)
        if found is None:
            raise ModelFileError(f"The model has no tensor {index} in its main subgraph.")
        return found

    def _main(self) -> dict[int, Tensor]:
        return {tensor.index: tensor for tensor in self.tensors if tensor.subgraph == 0}
