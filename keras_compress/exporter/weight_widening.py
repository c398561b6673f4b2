"""Integer weights under float activations, widened when the model is opened.

The converter's "dynamic" precision quantizes activations anew at every layer and run. Beside binary
layers that costs more than it saves: here the weights alone stay int8, and a DEQUANTIZE of a
constant, which runtimes compute once, stands before the float kernel.
"""

from __future__ import annotations

import numpy as np

from keras_compress.tflite.editor import Editor

__all__ = ["widen_weights"]

_LAYERS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")


def widen_weights(data: bytes) -> bytes:
    """Return a TFLite file in which layers with float inputs read int8 weights in float."""
    editor = Editor(data)
    graph, types = editor.graph, editor.types.TensorType
    widened: dict[int, int] = {}
    for operator in list(graph.operators):
        if editor.kind(operator) not in _LAYERS:
            continue
        index = int(operator.inputs[1])
        weights, result = graph.tensors[index], graph.tensors[int(operator.outputs[0])]
        if weights.type != types.INT8 or result.type != types.FLOAT32:
            continue
        if index not in widened:
            # The first version with a scale for each channel.
            code = editor.operator_code("DEQUANTIZE", version=5)
            name = f"{editor.name(index)}/widened"
            widened[index] = editor.add_tensor(name, weights.shape, "FLOAT32")
            step = editor.make_operator(code, [index], [widened[index]])
            editor.insert_before(operator, step)
        inputs = [int(t) for t in operator.inputs]
        inputs[1] = widened[index]
        operator.inputs = np.array(inputs, np.int32)
    return editor.packed() if widened else data
