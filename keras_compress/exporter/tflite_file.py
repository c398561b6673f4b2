"""Reading a `.tflite` file: its tensors, operators and signatures, as plain numbers.

The file may come from anywhere. Every count that the file states is checked against the size of
the file before something is looped over or allocated, and whatever else is wrong with it ends
in `ModelFileError`.
"""

from __future__ import annotations

import importlib
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_compress.errors import ModelFileError
from keras_compress.runtime import check_model_bytes

__all__ = ["Operator", "Signature", "Tensor", "TfliteFile", "read_tflite"]

_MAX_RANK = 32

# The types that constants of a network come in, by their names in the TFLite schema.
_NUMPY_TYPES: dict[str, np.dtype[Any]] = {
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

# What walking a damaged flatbuffer raises, depending on where the damage lies.
_DAMAGE = (
    struct.error,
    IndexError,
    KeyError,
    OverflowError,
    TypeError,
    UnicodeDecodeError,
    ValueError,
)


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
        return self.data is not None and not self.is_sparse and self.dtype in _NUMPY_TYPES

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
        dtype = _NUMPY_TYPES[self.dtype]
        count = _product(self.shape)
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


def read_tflite(data: bytes, *, name: str = "the model") -> TfliteFile:
    """Return the tensors, operators and signatures of a `.tflite` file.

    Constants are views into `data`; nothing is copied.

    Args:
        data: The bytes of the file.
        name: What errors call it. Defaults to `"the model"`.

    Raises:
        ModelFileError: If the bytes are not a TFLite model or are damaged.
    """
    check_model_bytes(data, name=name)
    schema = _schema()
    try:
        return _Reader(schema, data).read()
    except ModelFileError as error:
        raise ModelFileError(f"{name} is damaged: {error}") from error
    except _DAMAGE as error:
        raise ModelFileError(
            f"{name} is damaged: its tables point outside of it or hold nonsense "
            f"({type(error).__name__}). Received: {len(data)} bytes. Fetch or convert it again."
        ) from error


def _schema() -> Any:
    for module in (
        "ai_edge_litert.schema_py_generated",
        "tensorflow.lite.python.schema_py_generated",
    ):
        try:
            return importlib.import_module(module)
        except ImportError:
            continue
    raise ModelFileError(
        "Reading a TFLite model needs its schema. Install it with `pip install ai-edge-litert`."
    )


class _Reader:
    """Walks one file. `budget` bounds the work by the file's size, whatever the file claims."""

    def __init__(self, schema: Any, data: bytes) -> None:
        self.schema = schema
        self.data = data
        self.view = memoryview(data)
        self.budget = 4096 + len(data) * 2
        self.type_names = _names(schema.TensorType)
        self.operator_names = _names(schema.BuiltinOperator)

    def read(self) -> TfliteFile:
        model = self.schema.Model.GetRootAsModel(self.data, 0)
        buffers = [
            self._buffer(model.Buffers(i)) for i in range(self._count(model.BuffersLength()))
        ]
        codes = [
            self._code(model.OperatorCodes(i))
            for i in range(self._count(model.OperatorCodesLength()))
        ]
        graphs = [model.Subgraphs(i) for i in range(self._count(model.SubgraphsLength()))]
        if not graphs:
            raise ModelFileError("It has no subgraph.")
        tensors = []
        for number, graph in enumerate(graphs):
            for i in range(self._count(graph.TensorsLength())):
                tensors.append(self._tensor(graph.Tensors(i), i, number, buffers))
        main = graphs[0]
        operators = tuple(
            self._operator(main.Operators(i), codes)
            for i in range(self._count(main.OperatorsLength()))
        )
        signatures = tuple(
            self._signature(model.SignatureDefs(i))
            for i in range(self._count(model.SignatureDefsLength()))
        )
        return TfliteFile(
            tensors=tuple(tensors),
            operators=operators,
            operator_names=tuple(sorted({name for name, _ in codes})),
            custom_operators=tuple(sorted({custom for _, custom in codes if custom})),
            inputs=self._indices(main, "Inputs"),
            outputs=self._indices(main, "Outputs"),
            signatures=signatures,
            size=len(self.data),
        )

    def _count(self, count: int) -> int:
        self.budget -= count
        if count < 0 or self.budget < 0:
            raise ModelFileError("It claims more entries than its bytes can hold.")
        return count

    def _indices(self, table: Any, field: str) -> tuple[int, ...]:
        self._count(getattr(table, f"{field}Length")())
        values = getattr(table, f"{field}AsNumpy")()
        return () if isinstance(values, int) else tuple(int(v) for v in values)

    def _numbers(self, table: Any, field: str, dtype: Any) -> np.ndarray:
        self._count(getattr(table, f"{field}Length")())
        values = getattr(table, f"{field}AsNumpy")()
        return np.zeros(0, dtype) if isinstance(values, int) else values.astype(dtype)

    def _text(self, value: bytes | None) -> str:
        if value is None:
            return ""
        self._count(len(value))
        return value.decode("utf-8", errors="replace")

    def _buffer(self, buffer: Any) -> memoryview | None:
        offset, size = buffer.Offset(), buffer.Size()
        if offset > 1:  # A file over 2 GiB keeps its constants behind the flatbuffer.
            if offset + size > len(self.view):
                raise ModelFileError("A constant lies outside the file.")
            return self.view[offset : offset + size]
        length = buffer.DataLength()
        if length == 0:
            return None
        if length > len(self.view):
            raise ModelFileError("A constant claims more bytes than the file has.")
        return memoryview(buffer.DataAsNumpy()).cast("B")

    def _code(self, code: Any) -> tuple[str, str | None]:
        # The wide field came later; old files fill the narrow one only.
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        name = self.operator_names.get(number, f"UNKNOWN_{number}")
        custom = code.CustomCode()
        return name, self._text(custom) if custom is not None else None

    def _tensor(
        self, tensor: Any, index: int, subgraph: int, buffers: list[memoryview | None]
    ) -> Tensor:
        if tensor.ShapeLength() > _MAX_RANK:
            raise ModelFileError(f"A tensor has {tensor.ShapeLength()} dimensions.")
        shape = self._indices(tensor, "Shape")
        if any(size < 0 for size in shape):
            raise ModelFileError(f"A tensor has the shape {shape}.")
        if tensor.Buffer() >= max(len(buffers), 1):
            raise ModelFileError("A tensor refers to a constant that isn't there.")
        quantization = tensor.Quantization()
        if quantization is None:
            scales, zero_points, axis = np.zeros(0, np.float32), np.zeros(0, np.int64), 0
        else:
            scales = self._numbers(quantization, "Scale", np.float32)
            zero_points = self._numbers(quantization, "ZeroPoint", np.int64)
            axis = quantization.QuantizedDimension()
        return Tensor(
            index=index,
            subgraph=subgraph,
            name=self._text(tensor.Name()),
            shape=shape,
            dtype=self.type_names.get(tensor.Type(), f"UNKNOWN_{tensor.Type()}"),
            data=buffers[tensor.Buffer()] if buffers else None,
            scales=scales,
            zero_points=zero_points,
            quantized_axis=axis,
            is_sparse=tensor.Sparsity() is not None,
        )

    def _operator(self, operator: Any, codes: list[tuple[str, str | None]]) -> Operator:
        name, custom = codes[operator.OpcodeIndex()]
        return Operator(
            name, custom, self._indices(operator, "Inputs"), self._indices(operator, "Outputs")
        )

    def _signature(self, signature: Any) -> Signature:
        return Signature(
            key=self._text(signature.SignatureKey()),
            inputs=self._tensor_map(signature.Inputs, signature.InputsLength()),
            outputs=self._tensor_map(signature.Outputs, signature.OutputsLength()),
        )

    def _tensor_map(self, entry: Any, length: int) -> dict[str, int]:
        entries = [entry(i) for i in range(self._count(length))]
        return {self._text(e.Name()): int(e.TensorIndex()) for e in entries}


def _names(enumeration: type) -> dict[int, str]:
    return {
        number: name
        for name, number in vars(enumeration).items()
        if isinstance(number, int) and not name.startswith("_")
    }


def _product(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count
