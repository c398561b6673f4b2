"""Small `.tflite` files with what our exporter never writes, as converters of others do."""

from __future__ import annotations

from collections.abc import Callable

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

_T = schema.TensorType


class Foreign:
    """A model that is built tensor by tensor, through the schema."""

    def __init__(self) -> None:
        self.model = schema.ModelT()
        self.model.version, self.model.description = 3, "made by others"
        self.model.buffers, self.model.operatorCodes = [schema.BufferT()], []
        self.model.subgraphs = []
        self.behind: list[tuple[object, str, bytes]] = []
        self.subgraph("main")

    def subgraph(self, name: str) -> int:
        graph = schema.SubGraphT()
        graph.name, graph.tensors, graph.operators = name, [], []
        graph.inputs, graph.outputs = [], []
        self.model.subgraphs.append(graph)
        return len(self.model.subgraphs) - 1

    def buffer(self, data: bytes | None) -> int:
        buffer = schema.BufferT()
        if data is not None:
            buffer.data = np.frombuffer(data, np.uint8)
        self.model.buffers.append(buffer)
        return len(self.model.buffers) - 1

    def buffer_behind(self, data: bytes) -> int:
        """A buffer whose bytes stand behind the FlatBuffer."""
        number = self.buffer(None)
        self.behind.append((self.model.buffers[number], "", data))
        return number

    def tensor(
        self, name: str, kind: int, shape: tuple[int, ...], buffer: int = 0, *, graph: int = 0
    ) -> schema.TensorT:
        tensor = schema.TensorT()
        tensor.name, tensor.type, tensor.shape, tensor.buffer = name, kind, list(shape), buffer
        tensor.hasRank = True
        self.model.subgraphs[graph].tensors.append(tensor)
        return tensor

    def operator(
        self, code: int, inputs: list[int], outputs: list[int], *, graph: int = 0
    ) -> schema.OperatorT:
        entry = schema.OperatorCodeT()
        entry.builtinCode, entry.deprecatedBuiltinCode = code, min(code, 127)
        if code == schema.BuiltinOperator.CUSTOM:
            entry.customCode = "Other"
        self.model.operatorCodes.append(entry)
        operator = schema.OperatorT()
        operator.opcodeIndex = len(self.model.operatorCodes) - 1
        operator.inputs, operator.outputs = inputs, outputs
        self.model.subgraphs[graph].operators.append(operator)
        return operator

    def options_behind(self, operator: schema.OperatorT, data: bytes) -> None:
        """Custom options that stand behind the FlatBuffer."""
        self.behind.append((operator, "largeCustomOptions", data))

    def finish(self) -> bytes:
        for holder, prefix, data in self.behind:
            _place(holder, prefix, 1 << 40, len(data))  # any number: it takes as much room
        start = len(self._flatbuffer())
        placed: dict[bytes, int] = {}  # equal bytes stand there once, for all who name them
        tail = b""
        for holder, prefix, data in self.behind:
            if data not in placed:
                tail += bytes(-(start + len(tail)) % 16)
                placed[data] = start + len(tail)
                tail += data
            _place(holder, prefix, placed[data], len(data))
        whole = self._flatbuffer()
        assert len(whole) == start
        return whole + tail

    def _flatbuffer(self) -> bytes:
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def _place(holder: object, prefix: str, offset: int, size: int) -> None:
    setattr(holder, f"{prefix}Offset" if prefix else "offset", offset)
    setattr(holder, f"{prefix}Size" if prefix else "size", size)


def _normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def nibbles(values: np.ndarray, bits: int) -> bytes:
    """Values of `bits` bits, the first of a byte in its low bits, as TFLite stores them."""
    flat = values.reshape(-1).astype(np.int64) & (1 << bits) - 1
    each = 8 // bits
    flat = np.concatenate([flat, np.zeros(-len(flat) % each, np.int64)]).reshape(-1, each)
    return (flat << np.arange(0, 8, bits)).sum(axis=1).astype(np.uint8).tobytes()


def small_integers() -> dict[str, tuple[int, int, np.ndarray]]:
    """Name -> type, bits, and values of types of less than a byte; odd numbers of them."""
    values = np.clip(np.round(_normal(1, 33, 57) * 2), -8, 7)
    return {
        "int4": (_T.INT4, 4, values),
        "uint4": (_T.UINT4, 4, values + 8),
        "int2": (_T.INT2, 2, np.clip(values, -2, 1)),
    }


def _every_type() -> bytes:
    f = Foreign()
    for name, (kind, bits, values) in small_integers().items():
        f.tensor(name, kind, values.shape, f.buffer(nibbles(values, bits)))
    words = _normal(2, 40, 30).astype(np.float32)
    plain = {
        _T.BFLOAT16: (words.view(np.uint32) >> 16).astype(np.uint16),
        _T.FLOAT64: words.astype(np.float64),
        _T.INT64: np.arange(1200) * 7,
        _T.UINT64: np.arange(1200).astype(np.uint64) << np.uint64(33),
        _T.UINT32: np.arange(1200).astype(np.uint32),
        _T.UINT16: (np.arange(1200) % 40).astype(np.uint16),
        _T.BOOL: words > 0,
        _T.COMPLEX64: words.astype(np.complex64),
        _T.COMPLEX128: words.astype(np.complex128),
        _T.FLOAT8_E4M3FN: (words.view(np.uint32) >> 24).astype(np.uint8),
        _T.FLOAT8_E5M2: (words.view(np.uint32) >> 24).astype(np.uint8),
        _T.RESOURCE: np.arange(1200).astype(np.uint8),
        _T.VARIANT: np.arange(1200).astype(np.uint8),
        77: words,  # a type of tomorrow
    }
    for kind, values in plain.items():
        f.tensor(f"type {kind}", kind, (40, 30), f.buffer(values.tobytes()))
    texts = [b"cat", b"", b"a dog that is longer"] * 20
    ends = np.cumsum([4 * (len(texts) + 2), *map(len, texts)]).astype("<i4")
    strings = len(texts).to_bytes(4, "little") + ends.tobytes() + b"".join(texts)
    f.tensor("labels", _T.STRING, (len(texts),), f.buffer(strings))
    return f.finish()


def _metadata() -> bytes:
    f = Foreign()
    f.tensor("x", _T.FLOAT32, (1, 4))
    f.tensor("w", _T.FLOAT32, (20, 30), f.buffer(_normal(3, 20, 30).astype(np.float32).tobytes()))
    for name in ("min_runtime_version", "TFLITE_METADATA"):
        entry = schema.MetadataT()
        text = f"{name}: 1.14.0".ljust(16, "\0") + "M001 associated file" * 40
        entry.name, entry.buffer = name, f.buffer(text.encode())
        f.model.metadata = [*(f.model.metadata or []), entry]
    f.model.metadataBuffer = [len(f.model.buffers) - 1]
    for key in ("serving_default", "train"):
        signature, mapped = schema.SignatureDefT(), schema.TensorMapT()
        mapped.name, mapped.tensorIndex = "input_1", 0
        signature.signatureKey, signature.subgraphIndex = key, 0
        signature.inputs, signature.outputs = [mapped], [mapped]
        f.model.signatureDefs = [*(f.model.signatureDefs or []), signature]
    return f.finish()


def sparse_values() -> np.ndarray:
    """A matrix of which three quarters are zero."""
    dense = _normal(4, 24, 32).astype(np.float32)
    dense[np.abs(dense) < 1.15] = 0
    return dense


def _sparse() -> bytes:
    # Rows dense, columns compressed, as TFLite's converter writes them.
    f, dense = Foreign(), sparse_values()
    tensor = f.tensor("kept", _T.FLOAT32, dense.shape, f.buffer(dense[dense != 0].tobytes()))
    sparsity, rows, columns = (
        schema.SparsityParametersT(),
        schema.DimensionMetadataT(),
        schema.DimensionMetadataT(),
    )
    rows.format, rows.denseSize = schema.DimensionType.DENSE, len(dense)
    columns.format = schema.DimensionType.SPARSE_CSR
    ends = np.concatenate([[0], np.cumsum((dense != 0).sum(axis=1))])
    columns.arraySegmentsType = schema.SparseIndexVector.Uint16Vector
    columns.arraySegments = schema.Uint16VectorT()
    columns.arraySegments.values = ends.astype(np.uint16)
    columns.arrayIndicesType = schema.SparseIndexVector.Uint8Vector
    columns.arrayIndices = schema.Uint8VectorT()
    columns.arrayIndices.values = np.nonzero(dense)[1].astype(np.uint8)
    sparsity.traversalOrder, sparsity.blockMap = [0, 1], []
    sparsity.dimMetadata = [rows, columns]
    tensor.sparsity = sparsity
    return f.finish()


def _behind() -> bytes:
    """Buffers and custom options that stand behind the FlatBuffer, one of them named twice."""
    f = Foreign()
    weights = _normal(5, 30, 40).astype(np.float32).tobytes()
    quantized = np.clip(_normal(6, 50, 60) * 30, -127, 127).astype(np.int8).tobytes()
    f.tensor("w", _T.FLOAT32, (30, 40), f.buffer_behind(weights))
    f.tensor("q", _T.INT8, (50, 60), f.buffer_behind(quantized))
    f.tensor("w again", _T.FLOAT32, (30, 40), f.buffer_behind(weights))
    f.tensor("inside", _T.INT8, (50, 60), f.buffer(quantized[::-1]))
    f.options_behind(f.operator(schema.BuiltinOperator.CUSTOM, [0], [1]), b"own options " * 30)
    return f.finish()


def _elsewhere() -> bytes:
    """Tensors whose data lie in files beside the model."""
    f = Foreign()
    group = schema.ExternalBufferGroupT()
    group.name = "weights.bin"
    f.model.externalBufferGroups, f.model.externalBuffers = [group], []
    for i in range(3):
        entry = schema.ExternalBufferT()
        entry.id, entry.group, entry.offset, entry.length = i + 1, 0, i << 31, 1 << 31
        f.model.externalBuffers.append(entry)
        f.tensor(f"far {i}", _T.FLOAT32, (1 << 14, 1 << 15)).externalBuffer = i + 1
    f.tensor("near", _T.FLOAT32, (9, 9), f.buffer(_normal(7, 9, 9).astype("<f4").tobytes()))
    return f.finish()


def _tied() -> bytes:
    """One buffer for three tensors, equal buffers, and a vector of no bytes."""
    f = Foreign()
    weights = _normal(8, 30, 20).astype(np.float32).tobytes()
    shared = f.buffer(weights)
    for i in range(3):
        f.tensor(f"tied {i}", _T.FLOAT32, (30, 20), shared)
    for i in range(4):
        f.tensor(f"equal {i}", _T.FLOAT32, (30, 20), f.buffer(weights))
    f.tensor("no rows", _T.FLOAT32, (0, 20), f.buffer(b""))
    f.tensor("no bytes", _T.INT8, (5,), f.buffer(None))
    f.tensor("one", _T.INT8, (), f.buffer(b"\7"))
    f.buffer(weights)  # that nobody uses
    return f.finish()


def _control_flow() -> bytes:
    """A loop and a branch, each with subgraphs of their own, and weights in all of them."""
    f = Foreign()
    code = schema.BuiltinOperator
    graphs = [f.subgraph(name) for name in ("while_cond", "while_body", "then", "else")]
    for graph in (0, *graphs):
        f.tensor("counter", _T.INT32, (), graph=graph)
        f.tensor("state", _T.FLOAT32, (1, 24), graph=graph)
        weights = _normal(graph, 24, 24).astype(np.float32)
        number = f.buffer(weights.tobytes())
        f.tensor(f"kernel {graph}", _T.FLOAT32, (24, 24), number, graph=graph)
        f.operator(code.FULLY_CONNECTED, [1, 2, -1], [1], graph=graph)
    loop = f.operator(code.WHILE, [0, 1], [0, 1])
    loop.builtinOptionsType = schema.BuiltinOptions.WhileOptions
    loop.builtinOptions = schema.WhileOptionsT()
    loop.builtinOptions.condSubgraphIndex, loop.builtinOptions.bodySubgraphIndex = graphs[:2]
    branch = f.operator(code.IF, [0, 1], [1])
    branch.builtinOptionsType = schema.BuiltinOptions.IfOptions
    branch.builtinOptions = schema.IfOptionsT()
    branch.builtinOptions.thenSubgraphIndex = graphs[2]
    branch.builtinOptions.elseSubgraphIndex = graphs[3]
    return f.finish()


MODELS: dict[str, Callable[[], bytes]] = {
    "every type": _every_type,
    "metadata and signatures": _metadata,
    "sparse": _sparse,
    "behind the FlatBuffer": _behind,
    "in other files": _elsewhere,
    "tied": _tied,
    "control flow": _control_flow,
    "nothing": lambda: Foreign().finish(),
}
