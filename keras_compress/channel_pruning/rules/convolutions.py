"""Convolutions: plain, grouped, transposed, depthwise and separable, in one to three dimensions."""

from __future__ import annotations

import numpy as np
from keras import layers

from keras_compress.channel_pruning.call import LayerCall
from keras_compress.channel_pruning.coupling import Labels
from keras_compress.channel_pruning.registry import register_rule
from keras_compress.channel_pruning.rules.activations import keep_mixed

__all__ = ["convolution", "depthwise_convolution", "separable_convolution"]


@register_rule(layers.Conv1D, layers.Conv2D, layers.Conv3D)
def convolution(call: LayerCall) -> Labels:
    """A kernel `(..., inputs / groups, filters)`."""
    layer = call.layer
    axis = call.channel_axis()
    read = call.channels(axis)
    made = call.produce(layer.filters)
    if layer.groups == 1:
        call.read(layer.kernel, -2, read)
    elif layer.groups == len(read):
        # Each group reads one channel and stays with it.
        call.tie(made.reshape(layer.groups, -1), read[:, None])
        call.count("groups", read)
    else:
        # All groups must keep as many: what stands at one place in each goes together.
        read, in_group = read.reshape(layer.groups, -1), made.reshape(layer.groups, -1)
        call.tie(read, read[:1])
        call.tie(in_group, in_group[:1])
        call.read(layer.kernel, -2, read[0])
    call.slice(layer.kernel, -1, made)
    call.slice(layer.bias, 0, made)
    call.count("filters", made)
    keep_mixed(call, made)
    return call.along(axis, made)


@register_rule(layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
def transposed_convolution(call: LayerCall) -> Labels:
    """A kernel `(..., filters, inputs)`."""
    layer = call.layer
    axis = call.channel_axis()
    made = call.produce(layer.filters)
    call.read(layer.kernel, -1, call.channels(axis))
    call.slice(layer.kernel, -2, made)
    call.slice(layer.bias, 0, made)
    call.count("filters", made)
    keep_mixed(call, made)
    return call.along(axis, made)


@register_rule(layers.DepthwiseConv1D, layers.DepthwiseConv2D)
def depthwise_convolution(call: LayerCall) -> Labels:
    """A kernel `(..., inputs, depth_multiplier)`: what a channel becomes stays with it."""
    layer = call.layer
    axis = call.channel_axis()
    read = call.channels(axis)
    made = np.repeat(read, layer.depth_multiplier)
    call.slice(layer.kernel, -2, read)
    call.slice(layer.bias, 0, made)
    keep_mixed(call, made)
    return call.along(axis, made)


@register_rule(layers.SeparableConv1D, layers.SeparableConv2D)
def separable_convolution(call: LayerCall) -> Labels:
    """A depthwise kernel, then a plain one of size 1."""
    layer = call.layer
    axis = call.channel_axis()
    read = call.channels(axis)
    made = call.produce(layer.filters)
    call.slice(layer.depthwise_kernel, -2, read)
    call.read(layer.pointwise_kernel, -2, np.repeat(read, layer.depth_multiplier))
    call.slice(layer.pointwise_kernel, -1, made)
    call.slice(layer.bias, 0, made)
    call.count("filters", made)
    keep_mixed(call, made)
    return call.along(axis, made)
