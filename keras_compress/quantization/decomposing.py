"""Calling a layer of the graph again, and layers that the device runs as several operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras

from keras_compress.quantization.graph import Call

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

__all__ = ["call_again", "call_on_pair", "same", "split_separable", "unit_depthwise"]


def same(tensor: Tensor) -> Tensor:
    """Return what is given."""
    return tensor


def call_on_pair(layer: keras.Layer) -> Callable[..., Any]:
    """Return a function of two tensors that calls a layer on the list of both."""
    return lambda one, other: layer([one, other])


def call_again(call: Call) -> Callable[..., Any]:
    """Return a function that calls the layer again, with other tensors in the same places."""

    def again(*tensors: Any) -> Any:
        new = {id(old): tensor for old, tensor in zip(call.inputs, tensors, strict=True)}
        args, kwargs = keras.tree.map_structure(
            lambda x: new.get(id(x), x), (call.args, call.kwargs)
        )
        return call.layer(*args, **kwargs)

    return again


def split_separable(layer: keras.Layer, shape: object) -> tuple[keras.Layer, keras.Layer]:
    """Return the two convolutions of a separable one, with its weights."""
    depthwise = keras.layers.DepthwiseConv2D(
        layer.kernel_size,
        strides=layer.strides,
        padding=layer.padding,
        dilation_rate=layer.dilation_rate,
        depth_multiplier=layer.depth_multiplier,
        use_bias=False,
        name=f"{layer.name}_depthwise",
    )
    depthwise.build(shape)
    depthwise.kernel.assign(keras.ops.convert_to_numpy(layer.depthwise_kernel))
    pointwise = keras.layers.Conv2D(
        layer.filters, 1, use_bias=layer.use_bias, name=f"{layer.name}_pointwise"
    )
    pointwise.build(depthwise.compute_output_shape(shape))
    pointwise.kernel.assign(keras.ops.convert_to_numpy(layer.pointwise_kernel))
    if layer.use_bias:
        pointwise.bias.assign(keras.ops.convert_to_numpy(layer.bias))
    for each in (depthwise, pointwise):
        each.trainable = layer.trainable
    return depthwise, pointwise


def unit_depthwise(layer: keras.Layer, shape: object) -> keras.Layer:
    """Return a depthwise convolution by one, for the normalization `layer` to be folded into."""
    unit = keras.layers.DepthwiseConv2D(
        1, use_bias=False, name=f"{layer.name}_scale", depthwise_initializer="ones"
    )
    unit.build(shape)
    unit.trainable = False
    return unit
