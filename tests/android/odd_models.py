"""Small `.tflite` files that are whole and still no good, or good and unusual, made by hand."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

_BUILTIN = schema.BuiltinOperator
_TYPE = schema.TensorType
_OPTIONS = schema.BuiltinOptions


def tensor(
    shape: list[int],
    kind: int = _TYPE.FLOAT32,
    *,
    signature: list[int] | None = None,
    values: np.ndarray | None = None,
) -> tuple[schema.TensorT, np.ndarray | None]:
    """Return a tensor, and the values of it that lie in the file."""
    made = schema.TensorT()
    made.name, made.shape, made.type, made.shapeSignature = "t", shape, kind, signature
    return made, values


def model(
    tensors: list[tuple[schema.TensorT, np.ndarray | None]],
    operators: list[dict[str, Any]],
    inputs: list[int],
    outputs: list[int],
) -> bytes:
    """Return a file with one graph.

    Args:
        tensors: Of `tensor`.
        operators: For each `code`, `inputs` and `outputs`, and where wanted `custom` (a name),
            `version`, `kind` and `options`.
        inputs: Of the graph.
        outputs: Of the graph.
    """
    made = schema.ModelT()
    made.version, made.buffers = 3, [schema.BufferT()]
    graph = schema.SubGraphT()
    graph.name, graph.inputs, graph.outputs, graph.tensors = "main", inputs, outputs, []
    for item, values in tensors:
        item.buffer = 0
        if values is not None:
            item.buffer = len(made.buffers)
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(values.tobytes(), np.uint8)
            made.buffers.append(buffer)
        graph.tensors.append(item)
    graph.operators, made.operatorCodes = [], []
    for number, given in enumerate(operators):
        code = schema.OperatorCodeT()
        code.builtinCode, code.version = given["code"], given.get("version", 1)
        code.deprecatedBuiltinCode = min(given["code"], 127)
        code.customCode = given.get("custom")
        made.operatorCodes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = given.get("index", number)
        operator.inputs, operator.outputs = given["inputs"], given["outputs"]
        if "options" in given:
            operator.builtinOptionsType, operator.builtinOptions = given["kind"], given["options"]
        graph.operators.append(operator)
    made.subgraphs = [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(made.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def addition(shape: list[int], signature: list[int] | None = None, **changes: Any) -> bytes:
    """Return a model that adds its input to itself; `changes` are to its one operator."""
    operator = {"code": _BUILTIN.ADD, "inputs": [0, 0], "outputs": [1], **changes}
    both = [tensor(shape, signature=signature), tensor(shape, signature=signature)]
    return model(both, [operator], [0], [1])


def answers_of_unknown_number() -> bytes:
    """Return a model whose output's size depends on the values of its input."""
    tensors = [tensor([8], _TYPE.BOOL), tensor([0, 1], _TYPE.INT64, signature=[-1, 1])]
    return model(tensors, [{"code": _BUILTIN.WHERE, "inputs": [0], "outputs": [1]}], [0], [1])


def reshaped_at_run_time() -> bytes:
    """Return a model that is told by an input which shape to make; zeros do not fit."""
    tensors = [tensor([8]), tensor([2], _TYPE.INT32), tensor([1, 1], signature=[-1, -1])]
    return model(
        tensors, [{"code": _BUILTIN.RESHAPE, "inputs": [0, 1], "outputs": [2]}], [0, 1], [2]
    )


def convolution(*, weights: list[int], channels: int = 1) -> bytes:
    """Return a convolution of an input with so many channels.

    Weights that have fewer channels make groups, and more groups than filters leave none of them
    for a group: the runtime divides by that.
    """
    values = np.ones(int(np.prod(weights)), np.float32)
    tensors = [tensor([1, 4, 4, channels]), tensor(weights, values=values)]
    tensors += [tensor([1], values=np.zeros(1, np.float32)), tensor([1, 4, 4, 1])]
    options = schema.Conv2DOptionsT()
    options.strideW = options.strideH = 1
    options.dilationWFactor = options.dilationHFactor = 1
    operator = {"code": _BUILTIN.CONV_2D, "inputs": [0, 1, 2], "outputs": [3]}
    operator |= {"kind": _OPTIONS.Conv2DOptions, "options": options}
    return model(tensors, [operator], [0], [3])


def large_inside(elements: int) -> bytes:
    """Return a model that makes of one number a tensor of so many, and takes their largest."""
    tensors = [tensor([1]), tensor([1], _TYPE.INT32, values=np.array([elements], np.int32))]
    tensors += [tensor([elements]), tensor([1], _TYPE.INT32, values=np.zeros(1, np.int32))]
    tensors += [tensor([1])]
    reducing = schema.ReducerOptionsT()
    reducing.keepDims = True
    operators = [
        {"code": _BUILTIN.BROADCAST_TO, "inputs": [0, 1], "outputs": [2], "version": 2},
        {
            "code": _BUILTIN.REDUCE_MAX,
            "inputs": [2, 3],
            "outputs": [4],
            "kind": _OPTIONS.ReducerOptions,
            "options": reducing,
        },
    ]
    return model(tensors, operators, [0], [4])


def pooling(*, stride: int, window: int) -> bytes:
    """Return a pooling over windows of that size and stride."""
    options = schema.Pool2DOptionsT()
    options.strideW = options.strideH = stride
    options.filterWidth = options.filterHeight = window
    operator = {"code": _BUILTIN.MAX_POOL_2D, "inputs": [0], "outputs": [1]}
    operator |= {"kind": _OPTIONS.Pool2DOptions, "options": options}
    return model([tensor([1, 4, 4, 1]), tensor([1, 4, 4, 1])], [operator], [0], [1])


def lookup(index: int) -> bytes:
    """Return a model that takes row `index` of a table of two."""
    tensors = [tensor([2, 4]), tensor([1], _TYPE.INT32, values=np.array([index], np.int32))]
    tensors += [tensor([1, 4])]
    operator = {"code": _BUILTIN.GATHER, "inputs": [0, 1], "outputs": [2]}
    operator |= {"kind": _OPTIONS.GatherOptions, "options": schema.GatherOptionsT()}
    return model(tensors, [operator], [0], [2])


def in_place() -> bytes:
    """Return an addition whose result is its own input."""
    operator = {"code": _BUILTIN.ADD, "inputs": [0, 0], "outputs": [0]}
    return model([tensor([1, 4])], [operator], [0], [0])


def without_inputs() -> bytes:
    """Return a graph that says it has no input."""
    operator = {"code": _BUILTIN.ADD, "inputs": [0, 0], "outputs": [1]}
    return model([tensor([1, 4]), tensor([1, 4])], [operator], [], [1])


def of_text() -> bytes:
    """Return a model whose input is text."""
    tensors = [tensor([1], _TYPE.STRING), tensor([1], _TYPE.STRING)]
    return model(tensors, [{"code": _BUILTIN.RESHAPE, "inputs": [0], "outputs": [1]}], [0], [1])
