"""Heads of attention, and the channels that one head carries."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers

from keras_compress.channel_pruning.call import LayerCall, NotUnderstoodError
from keras_compress.channel_pruning.coupling import Labels
from keras_compress.channel_pruning.registry import register_rule

__all__ = ["grouped_query_attention", "multi_head_attention"]

_ARGUMENTS = ("query", "value", "key")


@register_rule(layers.MultiHeadAttention)
def multi_head_attention(call: LayerCall) -> Labels:
    """Kernels `(inputs, heads, size)` for query, key and value, `(heads, size, outputs)` behind.

    Whole heads go, and channels of the values in all heads where they are not as many as those of
    query and key. These stay, since the scores are divided by the root of their number.
    """
    layer = call.layer
    config = layer.get_config()
    read = _channels_read(call, config)
    heads = call.produce(config["num_heads"], "heads", whole=True)
    values = call.produce(config["value_dim"], "values")
    if config["value_dim"] == config["key_dim"]:
        # JAX computes attention for heads of one size alone.
        call.freeze(values, "its values stay as many as its keys")
    for name, dense in (
        ("query", layer.query_dense), ("key", layer.key_dense), ("value", layer.value_dense),
    ):  # fmt: skip
        call.read(dense.kernel, 0, read[name])
        call.slice(dense.kernel, 1, heads)
        call.slice(dense.bias, 0, heads)
    call.slice(layer.value_dense.kernel, 2, values)
    call.slice(layer.value_dense.bias, 1, values)
    call.count("num_heads", heads)
    call.count("value_dim", values)
    behind = layer.output_dense
    if len(behind.kernel.shape) != 3:
        raise NotUnderstoodError("its output has several axes")
    made = call.produce(behind.kernel.shape[2], "outputs")
    call.read(behind.kernel, 0, heads)
    call.read(behind.kernel, 1, values)
    call.slice(behind.kernel, 2, made)
    call.slice(behind.bias, 0, made)
    call.count("output_shape", made)
    return call.along(-1, made)


@register_rule(layers.GroupQueryAttention)
def grouped_query_attention(call: LayerCall) -> Labels:
    """As many heads of the query as a head of key and value serves go with it.

    What it returns has the channels of the query, and Keras wants those of the values to be as
    many. The size of a head stays, since the scores are divided by its root.
    """
    config = call.layer.get_config()
    read = _channels_read(call, config)
    heads = call.produce(config["num_key_value_heads"], "heads", whole=True)
    served = np.repeat(heads, config["num_query_heads"] // len(heads))
    # The layers that it is made of aren't public; the order of their weights is.
    weights = iter(v for v in call.layer.weights if "seed_generator" not in v.path)
    for name, labels in (("query", served), ("key", heads), ("value", heads)):
        kernel = next(weights)
        call.read(kernel, 0, read[name])
        call.slice(kernel, 1, labels)
        if config["use_bias"]:
            call.slice(next(weights), 0, labels)
    made = call.produce(len(read["query"]), "outputs")
    call.tie(made, read["query"])
    call.tie(read["value"], read["query"])
    kernel = next(weights)
    call.read(kernel, 0, served)
    call.slice(kernel, 2, made)
    if config["use_bias"]:
        call.slice(next(weights), 0, made)
    call.count("num_key_value_heads", heads)
    call.count("num_query_heads", served)
    return call.along(-1, made)


def _channels_read(call: LayerCall, config: dict[str, Any]) -> dict[str, Labels]:
    """Return the labels that query, value and key bring along their last axis."""
    if config.get("use_gate") or call.kwargs.get("return_attention_scores"):
        raise NotUnderstoodError("its heads have a gate, or its scores are read")
    if len(call.output_shapes) > 1:
        raise NotUnderstoodError("its scores are read")
    given = dict(zip(_ARGUMENTS, call.args, strict=False))
    given.update({name: call.kwargs[name] for name in _ARGUMENTS if name in call.kwargs})
    if given.get("key") is None:
        given["key"] = given["value"]
    return {name: call.channels(-1, _place_of(call, given[name])) for name in _ARGUMENTS}


def _place_of(call: LayerCall, tensor: object) -> int:
    """Return which of the inputs a tensor is."""
    flat = keras.tree.flatten((call.args, call.kwargs))
    symbolic = [x for x in flat if isinstance(x, keras.KerasTensor)]
    return next(i for i, x in enumerate(symbolic) if x is tensor)
