"""Integer weights under float activations, widened when the model is opened.

The converter's "dynamic" precision quantizes activations anew at every layer and run. Beside binary
layers that costs more than it saves: here the weights alone stay int8, and a DEQUANTIZE of a
constant, which runtimes compute once, stands before the float kernel.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_compress.exporter.binary_rewrite import operator_name, packed_model, schema

__all__ = ["widen_weights"]

_LAYERS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")


def widen_weights(data: bytes) -> bytes:
    """Return a TFLite file in which layers with float inputs read int8 weights in float."""
    types = schema()
    model = types.ModelT.InitFromPackedBuf(data, 0)
    graph = model.subgraphs[0]
    int8, float32 = types.TensorType.INT8, types.TensorType.FLOAT32
    widened: dict[int, int] = {}
    operators: list[Any] = []
    code = None
    for operator in graph.operators:
        if operator_name(types, model, operator) in _LAYERS:
            index = int(operator.inputs[1])
            weights, result = graph.tensors[index], graph.tensors[int(operator.outputs[0])]
            if weights.type == int8 and result.type == float32:
                if code is None:
                    code = _add_code(types, model)
                if index not in widened:
                    widened[index] = _add_widened(types, graph, weights)
                    step = types.OperatorT()
                    step.opcodeIndex = code
                    step.inputs = np.array([index], np.int32)
                    step.outputs = np.array([widened[index]], np.int32)
                    operators.append(step)
                inputs = [int(t) for t in operator.inputs]
                inputs[1] = widened[index]
                operator.inputs = np.array(inputs, np.int32)
        operators.append(operator)
    graph.operators = operators
    return packed_model(model) if widened else data


def _add_code(types: Any, model: Any) -> int:
    entry = types.OperatorCodeT()
    entry.builtinCode = entry.deprecatedBuiltinCode = types.BuiltinOperator.DEQUANTIZE
    entry.version = 5  # the first with a scale for each channel
    model.operatorCodes.append(entry)
    return len(model.operatorCodes) - 1


def _add_widened(types: Any, graph: Any, weights: Any) -> int:
    tensor = types.TensorT()
    tensor.shape = np.array(weights.shape, np.int32)
    tensor.type = types.TensorType.FLOAT32
    tensor.buffer = 0
    name = weights.name.decode() if isinstance(weights.name, bytes) else str(weights.name)
    tensor.name = f"{name}/widened"
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1
