"""Layers around another layer."""

from __future__ import annotations

import numpy as np
from keras import layers

from keras_compress.channel_pruning.call import LayerCall, NotUnderstoodError
from keras_compress.channel_pruning.coupling import Labels
from keras_compress.channel_pruning.registry import register_rule, rule_of

__all__ = ["time_distributed"]


@register_rule(layers.TimeDistributed)
def time_distributed(call: LayerCall) -> Labels:
    """A layer for each step: its rule tells of the steps, which no channel runs along."""
    layer = call.layer.layer
    rule = rule_of(layer)
    if rule is None:
        raise NotUnderstoodError(f"{type(layer).__name__} isn't known to the rules")
    labels = rule(call.of_steps(layer, "layer"))
    if isinstance(labels, list):
        (labels,) = labels
    return np.asarray(labels)[None]
