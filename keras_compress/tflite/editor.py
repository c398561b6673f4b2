"""Editing a converted `.tflite`: operators and constants added, replaced and left out.

The file is taken apart whole and put together anew. That takes its tables at their word: edit
what a converter made, or what `read_tflite` took from a source that you trust. Edits that need no
other bytes moved are in `in_place`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_compress.tflite.reader import read_tflite
from keras_compress.tflite.schema import FILE_IDENTIFIER, names_of, schema

__all__ = ["Editor"]


class Editor:
    """A model file's main subgraph, to be changed and written again.

    Operators and tensors are those of the schema's object API: `graph.operators`,
    `graph.tensors`.

    Args:
        data: The bytes of a `.tflite` file. They stay as they are.

    Raises:
        ModelFileError: If they are no TFLite model.

    Attributes:
        types: The module of the schema.
        file: What `read_tflite` says of the file as it was.
        model: The whole model.
        graph: Its main subgraph.
    """

    def __init__(self, data: bytes) -> None:
        self.file = read_tflite(data)
        self.types = schema()
        self.model = self.types.ModelT.InitFromPackedBuf(data, 0)
        self.graph = self.model.subgraphs[0]
        self._codes: dict[tuple[int, str | None], int] = {}

    def kind(self, operator: Any) -> str:
        """Return the name of an operator's kind, such as `"CONV_2D"`."""
        code = self.model.operatorCodes[operator.opcodeIndex]
        number = max(code.builtinCode, code.deprecatedBuiltinCode)
        return names_of(self.types.BuiltinOperator).get(number, "")

    def name(self, tensor: int) -> str:
        """Return the name of the tensor at index `tensor`."""
        name = self.graph.tensors[tensor].name
        return name.decode() if isinstance(name, bytes) else str(name)

    def producers(self) -> dict[int, Any]:
        """Return, by the index of a tensor, the operator that computes it."""
        return {int(t): op for op in self.graph.operators for t in op.outputs if int(t) >= 0}

    def readers(self) -> dict[int, list[Any]]:
        """Return, by the index of a tensor, the operators that read it."""
        found: dict[int, list[Any]] = {}
        for operator in self.graph.operators:
            for tensor in operator.inputs:
                found.setdefault(int(tensor), []).append(operator)
        return found

    def add_tensor(self, name: str, shape: object, dtype: str, buffer: int = 0) -> int:
        """Add a tensor and return its index.

        Args:
            name: Its name.
            shape: Its shape.
            dtype: Its type by its name in the schema, such as `"FLOAT32"`.
            buffer: Index of the buffer with its values. Defaults to `0`: it is computed.
        """
        tensor = self.types.TensorT()
        tensor.shape = np.array(shape, np.int32)
        tensor.type = getattr(self.types.TensorType, dtype)
        tensor.buffer = buffer
        tensor.name = name
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def add_constant(self, name: str, values: np.ndarray) -> int:
        """Add a constant and return its index; `values` are of a type that TFLite has, too."""
        buffer = self.types.BufferT()
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        place = len(self.model.buffers) - 1
        return self.add_tensor(name, values.shape, values.dtype.name.upper(), place)

    def operator_code(self, kind: str, *, version: int = 1, custom: str | None = None) -> int:
        """Return the index of an operator's code, which is added if need be.

        Args:
            kind: Its name in the schema, such as `"DEQUANTIZE"`, or `"CUSTOM"`.
            version: Its version. Defaults to `1`.
            custom: Name of a custom operator. Defaults to `None`.
        """
        number = getattr(self.types.BuiltinOperator, kind)
        if (number, custom) not in self._codes:
            entry = self.types.OperatorCodeT()
            entry.builtinCode = entry.deprecatedBuiltinCode = number
            entry.customCode = custom
            entry.version = version
            self.model.operatorCodes.append(entry)
            self._codes[number, custom] = len(self.model.operatorCodes) - 1
        return self._codes[number, custom]

    def make_operator(self, code: int, inputs: list[int], outputs: list[int]) -> Any:
        """Return a new operator without options, which stands in no list yet."""
        operator = self.types.OperatorT()
        operator.opcodeIndex = code
        operator.inputs = np.array(inputs, np.int32)
        operator.outputs = np.array(outputs, np.int32)
        return operator

    def make_custom(
        self, operator: Any, custom: str, attributes: list[int], inputs: list[int]
    ) -> None:
        """Turn an operator into a custom one.

        Args:
            operator: The operator.
            custom: Name of the custom operator.
            attributes: Its options, 32-bit integers.
            inputs: Indices of the tensors that it reads.
        """
        operator.opcodeIndex = self.operator_code("CUSTOM", custom=custom)
        operator.builtinOptionsType = self.types.BuiltinOptions.NONE
        operator.builtinOptions = None
        operator.customOptions = np.frombuffer(np.array(attributes, "<i4").tobytes(), np.uint8)
        operator.inputs = np.array(inputs, np.int32)

    def insert_before(self, operator: object, new: object) -> None:
        """Put the operator `new` before `operator` in the order of the graph."""
        operators = self.graph.operators
        operators.insert(next(i for i, other in enumerate(operators) if other is operator), new)

    def insert_reshape(self, operator: object, tensor: int, shape: tuple[int, ...]) -> int:
        """Put a RESHAPE of `tensor` before `operator`; return the index of what it makes."""
        old = self.graph.tensors[tensor]
        sizes = np.array(shape, np.int32)
        name = f"{self.name(tensor)}/{'x'.join(map(str, shape))}"
        target = self.add_constant(f"{name}/shape", sizes)
        made = self.add_tensor(name, sizes, "FLOAT32")
        entry = self.graph.tensors[made]
        entry.type, entry.quantization = old.type, old.quantization
        new = self.make_operator(self.operator_code("RESHAPE"), [tensor, target], [made])
        new.builtinOptionsType = self.types.BuiltinOptions.ReshapeOptions
        new.builtinOptions = self.types.ReshapeOptionsT()
        new.builtinOptions.newShape = sizes
        self.insert_before(operator, new)
        return made

    def read_instead(self, operator: Any, old: int, new: int) -> None:
        """Let `operator` read tensor `new` wherever it reads `old`."""
        inputs = [new if int(t) == old else int(t) for t in operator.inputs]
        operator.inputs = np.array(inputs, np.int32)

    def drop_unused_operators(self) -> None:
        """Leave out operators of which nobody reads a result."""
        results = {int(t) for t in self.graph.outputs}
        while True:
            read = {int(t) for op in self.graph.operators for t in op.inputs} | results
            alive = [op for op in self.graph.operators if any(int(t) in read for t in op.outputs)]
            if len(alive) == len(self.graph.operators):
                return
            self.graph.operators = alive

    def drop_unused_tensors(self) -> None:
        """Leave out tensors and constants that nothing refers to any more."""
        graph = self.graph
        maps = [
            entry
            for signature in self.model.signatureDefs or []
            for entry in [*(signature.inputs or []), *(signature.outputs or [])]
        ]
        used = {int(t) for op in graph.operators for t in [*op.inputs, *op.outputs]}
        used |= {int(t) for t in [*graph.inputs, *graph.outputs]}
        used |= {int(entry.tensorIndex) for entry in maps}
        kept = sorted(index for index in used if index >= 0)
        place = {old: new for new, old in enumerate(kept)} | {-1: -1}
        graph.tensors = [graph.tensors[index] for index in kept]
        for operator in graph.operators:
            operator.inputs = np.array([place[int(t)] for t in operator.inputs], np.int32)
            operator.outputs = np.array([place[int(t)] for t in operator.outputs], np.int32)
        graph.inputs = np.array([place[int(t)] for t in graph.inputs], np.int32)
        graph.outputs = np.array([place[int(t)] for t in graph.outputs], np.int32)
        for entry in maps:
            entry.tensorIndex = place[int(entry.tensorIndex)]
        owners = [t for g in self.model.subgraphs for t in g.tensors] + list(
            self.model.metadata or []
        )
        buffers = sorted({0} | {int(owner.buffer) for owner in owners})
        moved = {old: new for new, old in enumerate(buffers)}
        self.model.buffers = [self.model.buffers[index] for index in buffers]
        for owner in owners:
            owner.buffer = moved[int(owner.buffer)]

    def packed(self) -> bytes:
        """Return the bytes of the file as it stands."""
        import flatbuffers

        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self.model.Pack(builder), FILE_IDENTIFIER)
        return bytes(builder.Output())
