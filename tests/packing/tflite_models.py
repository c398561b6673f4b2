"""Small `.tflite` files made by hand, without a converter."""

from __future__ import annotations

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

TYPES = {"float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int64": 4, "int16": 7, "int8": 9}


def build_model(tensors: dict[str, np.ndarray], *, per_channel_scales: int = 0) -> bytes:
    """Return a model with one constant tensor, and buffer, for each entry of `tensors`."""
    model = schema.ModelT()
    model.version = 3
    model.description = "made by hand"
    code = schema.OperatorCodeT()
    code.builtinCode = schema.BuiltinOperator.CONV_2D
    model.operatorCodes = [code]
    graph = schema.SubGraphT()
    graph.name, graph.inputs, graph.outputs, graph.operators = "main", [], [], []
    graph.tensors = []
    model.buffers = [schema.BufferT()]
    for name, values in tensors.items():
        tensor = schema.TensorT()
        tensor.name, tensor.shape = name, list(values.shape)
        tensor.type, tensor.buffer = TYPES[str(values.dtype)], len(model.buffers)
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        model.buffers.append(buffer)
        graph.tensors.append(tensor)
    if per_channel_scales:
        _add_scales(graph, per_channel_scales)
    model.subgraphs = [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _add_scales(graph: schema.SubGraphT, channels: int) -> None:
    # An int8 convolution: the bias' scales are the products of the input's and the weights'.
    rng = np.random.default_rng(5)
    weights = rng.uniform(1e-3, 1e-2, channels).astype(np.float32)
    step = np.float32(0.0235)
    for name, scales in (("x", [step]), ("w", weights), ("b", weights * step)):
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.buffer = name, [1, channels], 0
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale = np.asarray(scales, np.float32)
        graph.tensors.append(tensor)
    operator = schema.OperatorT()
    last = len(graph.tensors)
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, [last - 3, last - 2, last - 1], []
    graph.operators = [operator]


def clustered(shape: tuple[int, ...], values: int, zeros: float, seed: int = 0) -> np.ndarray:
    """Float32 weights with `values` shared values, of which a share `zeros` is zero."""
    rng = np.random.default_rng(seed)
    codebook = np.sort(rng.normal(size=values)).astype(np.float32)
    codebook[values // 2] = 0
    weights = codebook[rng.integers(0, values, shape)]
    return np.where(rng.uniform(size=shape) < zeros, np.float32(0), weights)


def every_kind() -> dict[str, np.ndarray]:
    """Tensors that between them use every method of the format."""
    rng = np.random.default_rng(3)
    normal = rng.normal(size=(16, 3, 3, 8)).astype(np.float32) / 8
    return {
        "clustered": clustered((40, 60), 17, 0.8),
        "dense codebook": clustered((30, 5, 5, 4), 64, 0.0, seed=1),
        "half codebook": clustered((64, 40), 9, 0.5).astype(np.float16),
        "float": normal,
        "half": normal.astype(np.float16),
        "depthwise": rng.normal(size=(1, 3, 3, 64)).astype(np.float32),
        "int8": np.clip(rng.normal(size=(24, 3, 3, 8)) * 30, -127, 127).astype(np.int8),
        "sparse int8": (rng.integers(-9, 9, (50, 50)) * (rng.uniform(size=(50, 50)) < 0.2)).astype(
            np.int8
        ),
        "uint8": np.clip(rng.normal(size=(64, 64)) * 12 + 131, 0, 255).astype(np.uint8),
        "zeros": np.zeros((7, 9), np.float32),
        "one value": np.full((7, 9), 1.5, np.float32),
        "tied": normal,
        "few": np.arange(5, dtype=np.float32),
        "bias": rng.integers(-4000, 4000, 64).astype(np.int32),
        "table": (np.arange(40000, dtype=np.int32) * 3).astype(np.int32),
        "words": (rng.integers(0, 40, 3000) * 7).astype(np.int16),
        "wide words": rng.integers(-30000, 30000, 40000).astype(np.int16),
    }
