"""From the trained simulation to stock layers with the integers baked in."""

from __future__ import annotations

from typing import Any

import keras

from keras_compress.quantization.fake_quantize import FakeQuantize
from keras_compress.quantization.graph import Call, FlatGraph
from keras_compress.quantization.quantized import Quantized

__all__ = ["build_final"]


def build_final(graph: FlatGraph, name: str, *, keep_ranges: bool) -> keras.Model:
    """Return the model of `graph` with its `Quantized` layers made stock where that is exact."""
    made: dict[int, Any] = {id(x): x for x in keras.tree.flatten(graph.inputs)}
    steps: dict[int, float] = {}
    stock: dict[int, Any] = {}
    for call in graph.calls:
        layer = call.layer
        args, kwargs = keras.tree.map_structure(
            lambda x: made.get(id(x), x), (call.args, call.kwargs)
        )
        if isinstance(layer, FakeQuantize):
            values, step = call.results
            if layer.trained_range() is not None:
                steps[id(step)] = float(keras.ops.convert_to_numpy(layer.grid()[0]))
            outputs = layer(*args, **kwargs) if keep_ranges else (args[0], None)
            made[id(values)], made[id(step)] = outputs
        elif isinstance(layer, Quantized):
            if id(layer) not in stock:
                stock[id(layer)] = _final_layer(layer, _step_of(call, steps))
            final = stock[id(layer)]
            if isinstance(final, Quantized):
                takes = args if args[-1] is not None else args[:1]
                outputs = keras.tree.flatten(final(*takes, **kwargs))
            else:
                # A stock layer takes no step, and has none to tell.
                outputs = [final(args[0]), None]
            for old, new in zip(call.results, outputs, strict=False):
                made[id(old)] = new
        else:
            outputs = layer(*args, **kwargs)
            for old, new in zip(call.results, keras.tree.flatten(outputs), strict=True):
                made[id(old)] = new
    outputs = keras.tree.map_structure(lambda x: made[id(x)], graph.outputs)
    return keras.Model(graph.inputs, outputs, name=name)


def _step_of(call: Call, steps: dict[int, float]) -> float | None:
    return steps.get(id(call.inputs[1])) if len(call.inputs) > 1 else None


def _final_layer(layer: Quantized, input_step: float | None) -> keras.Layer:
    """Return a layer that computes with the integers of `layer`: a stock one if it can."""
    kernel, bias, _ = layer.folded(input_step)
    quantizer = layer.quantizer
    told = quantizer.bits == 8 and quantizer.range == "max" and quantizer.per_channel
    inner = layer.layer
    activation = layer.activation if told else "linear"
    config = {**inner.get_config(), "use_bias": True, "activation": activation}
    final = type(inner).from_config(config)
    final.build(inner.get_build_config()["input_shape"])
    final.kernel.assign(kernel)
    final.bias.assign(bias)
    final.trainable = inner.trainable
    return final if told else layer.on_grid(final)
