"""Operations that take a part of a tensor: indexing, split, take, repeat."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_compress.channel_pruning.call import LayerCall, NotUnderstoodError
from keras_compress.channel_pruning.coupling import Labels
from keras_compress.channel_pruning.registry import operation_rule

__all__ = ["get_item", "split", "take"]


@operation_rule("GetItem")
def get_item(call: LayerCall) -> Labels:
    """`x[key]`, the key made of slices, numbers, an ellipsis and new axes."""
    place: int | str = 1 if len(call.args) > 1 else "key"
    given = call.args[1] if len(call.args) > 1 else call.kwargs["key"]
    key = list(given) if isinstance(given, list | tuple) else [given]
    if any(not (k is None or k is Ellipsis or isinstance(k, slice | int)) for k in key):
        raise NotUnderstoodError("it takes elements by something else than slices and numbers")
    key = _spelled_out(key, call.rank + 1)
    if key[0] != slice(None):
        raise NotUnderstoodError("it takes some samples")
    labels = call.inputs[0]
    own: list[Any] = []
    new_key = list(key)
    edits: list[tuple[int, Labels, slice]] = []
    axis = 0
    for position, part in enumerate(key[1:], 1):
        if part is None:
            own.append(None)
            continue
        size = labels.shape[axis]
        if isinstance(part, int):
            if size > 1:
                raise NotUnderstoodError("it takes a single channel")
            own.append(0)
        elif size == 1 or part == slice(None):
            own.append(slice(None))
        elif part.step in (None, 1):
            own.append(part)
            edits.append((position, call.channels(axis), part))
        else:
            raise NotUnderstoodError("it takes channels at a stride")
        axis += 1
    if edits:

        def value(keep: np.ndarray) -> Any:
            for position, channels, part in edits:
                start, stop, _ = part.indices(len(channels))
                new_key[position] = slice(
                    int(keep[channels[:start]].sum()), int(keep[channels[:stop]].sum())
                )
            return tuple(new_key)

        call.argument(place, value)
    return labels[tuple(own)]


def _spelled_out(key: list[Any], rank: int) -> list[Any]:
    """Return a key with an entry for each axis."""
    taken = sum(part is not None and part is not Ellipsis for part in key)
    rest = [slice(None)] * (rank - taken)
    if any(part is Ellipsis for part in key):
        place = next(i for i, part in enumerate(key) if part is Ellipsis)
        return [*key[:place], *rest, *key[place + 1 :]]
    return [*key, *rest]


@operation_rule("Split")
def split(call: LayerCall) -> list[Labels]:
    """In parts along an axis."""
    axis = call.layer.axis % (call.rank + 1) - 1
    if axis < 0:
        raise NotUnderstoodError("it parts samples")
    labels = call.inputs[0]
    if labels.shape[axis] == 1:
        return [labels] * len(call.output_shapes)
    call.only_along(axis)
    given = call.layer.indices_or_sections
    parts = np.split(labels, given if isinstance(given, int) else list(given), axis)

    def value(keep: np.ndarray) -> list[int]:
        return [int(n) for n in np.cumsum([keep[part].sum() for part in parts])[:-1]]

    call.set("indices_or_sections", value)
    return parts


@operation_rule("Take")
def take(call: LayerCall) -> Labels:
    """Elements by their numbers along an axis, such as channels in another order."""
    place: int | str = 1 if len(call.args) > 1 else "indices"
    given = call.args[1] if len(call.args) > 1 else call.kwargs["indices"]
    if isinstance(given, keras.KerasTensor) or call.layer.axis is None:
        raise NotUnderstoodError("what it takes isn't known before it runs")
    axis = call.layer.axis % (call.rank + 1) - 1
    indices = np.asarray(keras.ops.convert_to_numpy(given))
    labels = call.inputs[0]
    if axis < 0 or indices.ndim != 1:
        raise NotUnderstoodError("it takes samples, or in several axes")
    if labels.shape[axis] == 1:
        return labels
    channels = call.channels(axis)
    indices = indices % len(channels)

    def value(keep: np.ndarray) -> list[int]:
        place_of = np.cumsum(keep[channels]) - 1
        return [int(place_of[i]) for i in indices if keep[channels[i]]]

    call.argument(place, value)
    return call.along(axis, channels[indices])


@operation_rule("Repeat")
def repeat(call: LayerCall) -> Labels:
    """Each element several times along an axis."""
    if call.layer.axis is None or not isinstance(call.layer.repeats, int):
        raise NotUnderstoodError("it repeats by numbers of its own for each element")
    axis = call.layer.axis % (call.rank + 1) - 1
    labels = call.inputs[0]
    if axis < 0:
        raise NotUnderstoodError("it repeats samples")
    return labels if labels.shape[axis] == 1 else np.repeat(labels, call.layer.repeats, axis)
