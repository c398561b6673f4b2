"""Reading a `.tflite` file: its tensors, operators and signatures, as plain numbers.

The file may come from anywhere. Every count that the file states is checked against the size of
the file before something is looped over or allocated, and whatever else is wrong with it ends
in `ModelFileError`.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from keras_compress.errors import ModelFileError
from keras_compress.tflite.model_file import Operator, Signature, Tensor, TfliteFile
from keras_compress.tflite.schema import check_model_bytes, names_of, schema

__all__ = ["read_tflite"]

_MAX_RANK = 32

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
    types = schema()
    try:
        return _Reader(types, data).read()
    except ModelFileError as error:
        raise ModelFileError(f"{name} is damaged: {error}") from error
    except _DAMAGE as error:
        raise ModelFileError(
            f"{name} is damaged: its tables point outside of it or hold nonsense "
            f"({type(error).__name__}). Received: {len(data)} bytes. Fetch or convert it again."
        ) from error


class _Reader:
    """Walks one file. `budget` bounds the work by the file's size, whatever the file claims."""

    def __init__(self, types: Any, data: bytes) -> None:
        self.types = types
        self.data = data
        self.view = memoryview(data)
        self.budget = 4096 + len(data) * 2
        self.type_names = names_of(types.TensorType)
        self.operator_names = names_of(types.BuiltinOperator)

    def read(self) -> TfliteFile:
        model = self.types.Model.GetRootAsModel(self.data, 0)
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
