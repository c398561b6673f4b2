"""Layers that scale and shift channels."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import layers

from keras_compress.channel_pruning.call import LayerCall, NotUnderstoodError
from keras_compress.channel_pruning.coupling import Labels
from keras_compress.channel_pruning.registry import register_rule

__all__ = ["batch_normalization", "group_normalization", "layer_normalization"]


@register_rule(layers.BatchNormalization)
def batch_normalization(call: LayerCall) -> Labels:
    """Each channel has its own mean and scale."""
    layer = call.layer
    channels = call.channels(_axis(layer.axis, call.rank))
    for name in ("gamma", "beta", "moving_mean", "moving_variance"):
        call.slice(getattr(layer, name, None), 0, channels)
    return call.inputs[0]


@register_rule(layers.GroupNormalization)
def group_normalization(call: LayerCall) -> Labels:
    """A mean goes over the channels of a group: they go together, as a whole."""
    layer = call.layer
    channels = call.channels(_axis(layer.axis, call.rank))
    groups = len(channels) if layer.groups == -1 else layer.groups
    in_group = channels.reshape(groups, -1)
    call.tie(in_group, in_group[:, :1])
    call.slice(layer.gamma, 0, channels)
    call.slice(layer.beta, 0, channels)
    if layer.groups != -1:
        call.count("groups", in_group[:, 0])
    return call.inputs[0]


@register_rule(layers.LayerNormalization, layers.RMSNormalization, layers.UnitNormalization)
def layer_normalization(call: LayerCall) -> Labels:
    """A mean over channels would change with them."""
    axis = call.layer.axis
    axes = [_axis(a, call.rank) for a in (axis if isinstance(axis, list | tuple) else [axis])]
    if any(call.inputs[0].shape[a] > 1 for a in axes):
        raise NotUnderstoodError(f"{type(call.layer).__name__} goes over all channels")
    return call.inputs[0]


@register_rule(layers.SpectralNormalization)
def spectral_normalization(call: LayerCall) -> Labels:
    """The norm is that of the whole kernel."""
    raise NotUnderstoodError("its kernel is divided by a norm of all of it")


@register_rule("LayerScale")
def layer_scale(call: LayerCall) -> Labels:
    """ConvNeXt's scale for each channel."""
    channels = call.channels(-1)
    call.slice(call.layer.gamma, 0, channels)
    call.count("projection_dim", channels)
    return call.inputs[0]


@register_rule(layers.Rescaling)
def rescaling(call: LayerCall) -> Labels:
    """A factor and an offset, one for all or one for each channel."""
    for name in ("scale", "offset"):
        values = np.asarray(getattr(call.layer, name))
        if values.ndim > 1:
            raise NotUnderstoodError(f"its {name} has more than one axis")
        if values.size > 1:
            call.set(name, _kept_values(values, call.channels(-1)))
    return call.inputs[0]


def _kept_values(values: np.ndarray, labels: Labels) -> Any:
    return lambda keep: values[keep[labels]].tolist()


def _axis(axis: int, rank: int) -> int:
    """Return an axis counted with the batch as one counted without it."""
    return (axis if axis >= 0 else axis + rank + 1) - 1
