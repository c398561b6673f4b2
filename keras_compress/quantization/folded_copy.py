"""Batch normalization multiplied into the kernels before it, as a converter does."""

from __future__ import annotations

import keras
import numpy as np

from keras_compress.engine.cloning import copy_model
from keras_compress.errors import KerasCompressError
from keras_compress.quantization.graph import Call, FlatGraph, flat_graph

__all__ = ["fold_batch_norms"]

_Depthwise = keras.layers.DepthwiseConv1D | keras.layers.DepthwiseConv2D
_KINDS = (
    keras.layers.Dense,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
)


def fold_batch_norms(model: keras.Model) -> keras.Model:
    """Return a copy of `model` without those batch normalizations that fold into a kernel.

    It computes what `model` computes in inference, up to rounding. A normalization folds if it
    alone reads a convolution or Dense layer that has no activation; its own axis must be the last
    one. The layer keeps its name and has a bias.

    What shares values or has few bits afterwards keeps them in a converted file, whose converter
    folds what it finds.

    Args:
        model: A built Sequential or functional model. Models in it are taken apart.

    Raises:
        KerasCompressError: If the model is unbuilt or subclassed, or a layer can't be copied.
    """
    graph = flat_graph(copy_model(model))
    consumers = graph.consumers()
    calls: dict[int, int] = {}
    for call in graph.calls:
        calls[id(call.layer)] = calls.get(id(call.layer), 0) + 1
    norms = {
        id(norm.layer): call
        for call in graph.calls
        if (norm := _norm_behind(graph, consumers, call, calls)) is not None
    }
    folded = {id(call.layer): None for call in norms.values()}
    made = {id(x): x for x in keras.tree.flatten(graph.inputs)}
    for call in graph.calls:
        args, kwargs = keras.tree.map_structure(
            lambda x: made.get(id(x), x), (call.args, call.kwargs)
        )
        if id(call.layer) in norms:
            outputs = args[0] if args else kwargs["inputs"]
        elif id(call.layer) in folded:
            norm = consumers[id(call.results[0])][0].layer
            outputs = _folded(call.layer, norm)(*args, **kwargs)
        else:
            outputs = call.layer(*args, **kwargs)
        made.update(zip(map(id, call.results), keras.tree.flatten(outputs), strict=True))
    results = keras.tree.map_structure(lambda x: made[id(x)], graph.outputs)
    return keras.Model(graph.inputs, results, name=model.name)


def _norm_behind(
    graph: FlatGraph, consumers: dict[int, list[Call]], call: Call, calls: dict[int, int]
) -> Call | None:
    """Return the call of a normalization that folds into the layer of `call`, or `None`."""
    layer = call.layer
    if type(layer) not in _KINDS or layer.activation is not keras.activations.linear:
        return None
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        return None
    result = call.results[0]
    behind = consumers.get(id(result), [])
    if len(behind) != 1 or graph.is_output(result):
        return None
    norm = behind[0].layer
    if type(norm) is not keras.layers.BatchNormalization or len(behind[0].inputs) != 1:
        return None
    axis = norm.axis if isinstance(norm.axis, int) else norm.axis[0]
    last = axis in (-1, len(result.shape) - 1)
    return behind[0] if last and calls[id(layer)] == calls[id(norm)] == 1 else None


def _folded(layer: keras.Layer, norm: keras.Layer) -> keras.Layer:
    """Return a layer that computes what `norm` makes of `layer`."""
    mean, variance = (
        keras.ops.convert_to_numpy(each).astype(np.float64)
        for each in (norm.moving_mean, norm.moving_variance)
    )
    factor = 1 / np.sqrt(variance + norm.epsilon)
    if norm.scale:
        factor = factor * keras.ops.convert_to_numpy(norm.gamma)
    bias = -mean * factor
    if norm.center:
        bias = bias + keras.ops.convert_to_numpy(norm.beta)
    if layer.use_bias:
        bias = bias + keras.ops.convert_to_numpy(layer.bias) * factor
    kernel = keras.ops.convert_to_numpy(layer.kernel).astype(np.float64)
    # A depthwise kernel ends in (channels, multiplier), which are the outputs in this order.
    outputs = kernel.shape[-2:] if isinstance(layer, _Depthwise) else kernel.shape[-1:]
    kernel = kernel * factor.reshape(outputs)
    if not (np.isfinite(kernel).all() and np.isfinite(bias).all()):
        raise KerasCompressError(
            "Weights must be finite to be folded. Received: NaN or infinity in "
            f"{layer.name!r} or {norm.name!r}."
        )
    folded = type(layer).from_config({**layer.get_config(), "use_bias": True})
    folded.build(layer.input.shape)
    folded.kernel.assign(kernel)
    folded.bias.assign(bias)
    return folded
