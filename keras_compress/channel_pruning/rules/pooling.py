"""Layers that change an image and leave its channels alone."""

from __future__ import annotations

from typing import Any

from keras import layers

from keras_compress.channel_pruning.call import LayerCall, NotUnderstoodError
from keras_compress.channel_pruning.coupling import Labels
from keras_compress.channel_pruning.registry import operation_rule, register_rule

__all__ = ["global_pooling", "pooling", "reduction"]


def _of_layers(*names: str) -> list[Any]:
    """Return the layer classes of these names that this Keras has."""
    return [getattr(layers, name) for name in names if hasattr(layers, name)]


@register_rule(
    *_of_layers(
        *(f"{kind}Pooling{d}D" for kind in ("Max", "Average") for d in (1, 2, 3)),
        *(f"Adaptive{kind}Pooling{d}D" for kind in ("Max", "Average") for d in (1, 2, 3)),
        *(f"UpSampling{d}D" for d in (1, 2, 3)),
        *(f"Cropping{d}D" for d in (1, 2, 3)),
        "Resizing", "CenterCrop", "RandomCrop", "RandomFlip", "RandomTranslation",
        "RandomRotation", "RandomZoom",
    )
)  # fmt: skip
@operation_rule("MaxPool", "AveragePool", "Resize")
def pooling(call: LayerCall) -> Labels:
    """Each channel by itself; places are mixed."""
    return call.only_along(call.channel_axis())


@register_rule(
    *_of_layers(*(f"Global{kind}Pooling{d}D" for kind in ("Max", "Average") for d in (1, 2, 3)))
)
def global_pooling(call: LayerCall) -> Labels:
    """One value a channel."""
    axis = call.channel_axis()
    labels = call.only_along(axis)
    return labels if call.layer.keepdims else labels.reshape(-1)


@operation_rule("Mean", "Max", "Min", "Sum", "Amax", "Amin", "Var", "Std", "Prod")
def reduction(call: LayerCall) -> Labels:
    """Over axes that aren't the channels'."""
    given, rank = call.layer.axis, call.rank + 1
    axes = range(rank) if given is None else given if isinstance(given, list | tuple) else [given]
    places = [axis % rank - 1 for axis in axes]
    if -1 in places:
        raise NotUnderstoodError("it mixes samples")
    labels = call.constant_along(places)
    if call.layer.keepdims:
        return labels
    return labels.reshape([size for a, size in enumerate(labels.shape) if a not in places])
