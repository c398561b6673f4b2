"""Layers and operations that move elements: reshape, permute, concatenate, pad, stack."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from keras import layers

from keras_compress.channel_pruning.call import LayerCall, NotUnderstoodError
from keras_compress.channel_pruning.coupling import Labels, axis_labels
from keras_compress.channel_pruning.registry import operation_rule, register_rule

__all__ = ["concatenate", "pad_layer", "permute", "reshape"]

# More labels than this in one tensor would take a gigabyte.
_MAX_LABELS = 2**27


def _spread(call: LayerCall, index: int = 0) -> Labels:
    """Return a label for each element of an input."""
    shape = call.input_shapes[index]
    if None in shape:
        raise NotUnderstoodError("the shape of what it moves isn't known")
    if math.prod(shape) > _MAX_LABELS:
        raise NotUnderstoodError("what it moves is too large to be followed")
    return np.broadcast_to(call.inputs[index], shape)


@register_rule(layers.Reshape, layers.Flatten)
@operation_rule("Reshape")
def reshape(call: LayerCall) -> Labels:
    """The same elements, in another shape."""
    made = call.output_shapes[0]
    is_layer = not isinstance(call.layer, layers.Flatten) and hasattr(call.layer, "target_shape")
    if isinstance(call.layer, layers.Flatten):
        if getattr(call.layer, "data_format", "channels_last") == "channels_first":
            axes = (*range(1, call.rank), 0)
            return _spread(call).transpose(axes).reshape(-1)
        return call.inputs[0] if call.rank == 1 else _spread(call).reshape(-1)
    labels = call.one_axis(_spread(call).reshape(made))

    def shape(keep: np.ndarray) -> Any:
        sizes = [_kept(labels, axis, size, keep) for axis, size in enumerate(made)]
        return tuple(sizes) if is_layer else (-1, *sizes)

    call.set("target_shape" if is_layer else "newshape", shape)
    return labels


def _kept(labels: Labels, axis: int, size: int, keep: np.ndarray) -> int:
    """Return how many places along an axis stay."""
    return int(keep[axis_labels(labels, axis)].sum()) if labels.shape[axis] > 1 else size


@register_rule(layers.Permute)
def permute(call: LayerCall) -> Labels:
    """The axes in another order."""
    return call.inputs[0].transpose([d - 1 for d in call.layer.dims])


@operation_rule("Transpose")
def transpose(call: LayerCall) -> Labels:
    """The axes in another order; all backwards by default."""
    axes = call.layer.axes
    if axes is None or axes[0] != 0:
        raise NotUnderstoodError("it moves the batch")
    return call.inputs[0].transpose([d % (call.rank + 1) - 1 for d in axes[1:]])


@operation_rule("Moveaxis")
def move_axis(call: LayerCall) -> Labels:
    """Some axes elsewhere."""
    moved = np.moveaxis(call.inputs[0][None], call.layer.source, call.layer.destination)
    return _without_batch(call, moved)


@operation_rule("Swapaxes")
def swap_axes(call: LayerCall) -> Labels:
    """Two axes in each other's place."""
    return _without_batch(
        call, np.swapaxes(call.inputs[0][None], call.layer.axis1, call.layer.axis2)
    )


def _without_batch(call: LayerCall, moved: Labels) -> Labels:
    # Where sizes don't tell, the shapes do: the batch is the one that isn't known.
    probe = np.empty((2, *(1 for _ in range(call.rank))))
    layer = call.layer
    if hasattr(layer, "source"):
        probe = np.moveaxis(probe, layer.source, layer.destination)
    else:
        probe = np.swapaxes(probe, layer.axis1, layer.axis2)
    if probe.shape[0] != 2:
        raise NotUnderstoodError("it moves the batch")
    return moved[0]


@operation_rule("ExpandDims")
def expand_dims(call: LayerCall) -> Labels:
    """A new axis of size 1."""
    axes = call.layer.axis if isinstance(call.layer.axis, list | tuple) else [call.layer.axis]
    places = [axis % (call.rank + 1 + len(axes)) - 1 for axis in axes]
    if -1 in places:
        raise NotUnderstoodError("it moves the batch")
    return np.expand_dims(call.inputs[0], tuple(places))


@operation_rule("Squeeze")
def squeeze(call: LayerCall) -> Labels:
    """Without axes of size 1."""
    given = call.layer.axis
    if given is None:
        places = [a for a, size in enumerate(call.input_shapes[0]) if size == 1]
    else:
        axes = given if isinstance(given, list | tuple) else [given]
        places = [axis % (call.rank + 1) - 1 for axis in axes]
    if -1 in places:
        raise NotUnderstoodError("it takes the batch away")
    return np.squeeze(call.inputs[0], tuple(places))


@register_rule(layers.Concatenate)
@operation_rule("Concatenate")
def concatenate(call: LayerCall) -> Labels:
    """One behind the other along an axis."""
    axis = call.layer.axis
    axis = (axis if axis >= 0 else axis + call.rank + 1) - 1
    if axis < 0:
        raise NotUnderstoodError("it joins samples")
    rank = range(call.rank)
    if any(labels.shape[a] > 1 for labels in call.inputs for a in rank if a != axis):
        # Along an axis without channels: these are the same channels, in each of them.
        if any(labels.shape[axis] > 1 for labels in call.inputs):
            raise NotUnderstoodError("its channels run along several axes")
        first = call.inputs[0]
        for labels in call.inputs[1:]:
            call.tie(first, labels)
        return np.broadcast_to(
            first, np.broadcast_shapes(*(labels.shape for labels in call.inputs))
        )
    return np.concatenate([call.channels(axis, i) for i in range(len(call.inputs))]).reshape(
        [-1 if a == axis else 1 for a in rank]
    )


@operation_rule("Stack")
def stack(call: LayerCall) -> Labels:
    """One behind the other along a new axis."""
    axis = call.layer.axis
    axis = (axis if axis >= 0 else axis + call.rank + 2) - 1
    if axis < 0:
        raise NotUnderstoodError("it moves the batch")
    first = call.inputs[0]
    for labels in call.inputs[1:]:
        call.tie(first, labels)
    widest = np.broadcast_shapes(*(labels.shape for labels in call.inputs))
    return np.expand_dims(np.broadcast_to(first, widest), axis)


@register_rule(layers.RepeatVector)
def repeat_vector(call: LayerCall) -> Labels:
    """The same vector at each step."""
    return call.inputs[0][None]


@operation_rule("Flip")
def flip(call: LayerCall) -> Labels:
    """Backwards along some axes."""
    axes = call.layer.axis
    if axes is None:
        raise NotUnderstoodError("it moves samples")
    places = [a % (call.rank + 1) - 1 for a in (axes if isinstance(axes, list | tuple) else [axes])]
    if -1 in places:
        raise NotUnderstoodError("it moves samples")
    return np.flip(call.inputs[0], tuple(places))


@register_rule(layers.ZeroPadding1D, layers.ZeroPadding2D, layers.ZeroPadding3D)
def pad_layer(call: LayerCall) -> Labels:
    """Zeros around an image; around channels, where it is told that these are an image's side."""
    padding = call.layer.padding
    pairs = [tuple(p) if isinstance(p, list | tuple) else (p, p) for p in padding]
    if isinstance(call.layer, layers.ZeroPadding1D):
        pairs = [tuple(padding)]
    first = getattr(call.layer, "data_format", "channels_last") == "channels_first"
    at = 1 if first else 0
    labels = call.inputs[0]
    for axis, (before, after) in enumerate(pairs, at):
        if labels.shape[axis] == 1 or not (before or after):
            continue
        labels, front, back = _padded(call, labels, axis, before, after)
        index = axis - at

        def value(keep: np.ndarray, index: int = index, parts: Any = (front, back)) -> Any:
            sides = [int(keep[part].sum()) for part in parts]
            return [sides if i == index else list(pair) for i, pair in enumerate(pairs)]

        if isinstance(call.layer, layers.ZeroPadding1D):
            call.set("padding", lambda keep, value=value: value(keep)[0])  # type: ignore[misc]
        else:
            call.set("padding", value)
    return labels


@operation_rule("Pad")
def pad_operation(call: LayerCall) -> Labels:
    """Zeros along any axes."""
    pairs = [tuple(int(side) for side in pair) for pair in call.layer.pad_width]
    if len(pairs) == 1:
        pairs = pairs * (call.rank + 1)
    if call.layer.mode != "constant" or pairs[0] != (0, 0):
        raise NotUnderstoodError("it pads samples, or by other things than a constant")
    labels = call.inputs[0]
    for axis, (before, after) in enumerate(pairs[1:]):
        if labels.shape[axis] == 1 or not (before or after):
            continue
        labels, front, back = _padded(call, labels, axis, before, after)

        def value(keep: np.ndarray, place: int = axis + 1, parts: Any = (front, back)) -> Any:
            sides = [int(keep[part].sum()) for part in parts]
            return [sides if i == place else list(pair) for i, pair in enumerate(pairs)]

        call.set("pad_width", value)
    return labels


def _padded(
    call: LayerCall, labels: Labels, axis: int, before: int, after: int
) -> tuple[Labels, Labels, Labels]:
    """Return labels with new ones before and after, and these two."""
    call.only_along(axis)
    front, back = call.fresh(before), call.fresh(after)
    flat = np.concatenate([front, labels.reshape(-1), back])
    return flat.reshape([-1 if a == axis else 1 for a in range(labels.ndim)]), front, back
