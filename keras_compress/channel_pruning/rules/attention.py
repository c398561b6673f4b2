"""Heads of attention, and the channels that one head carries."""

from __future__ import annotations

import keras
from keras import layers

from keras_compress.channel_pruning.call import LayerCall, NotUnderstoodError
from keras_compress.channel_pruning.coupling import Labels
from keras_compress.channel_pruning.registry import register_rule

__all__ = ["multi_head_attention"]

_ARGUMENTS = ("query", "value", "key")


@register_rule(layers.MultiHeadAttention)
def multi_head_attention(call: LayerCall) -> Labels:
    """Kernels `(inputs, heads, size)` for query, key and value, `(heads, size, outputs)` behind.

    Whole heads go, and channels of the values in all heads where they are not as many as those of
    query and key. These stay, since the scores are divided by the root of their number.
    """
    layer = call.layer
    config = layer.get_config()
    if config.get("use_gate") or call.kwargs.get("return_attention_scores"):
        raise NotUnderstoodError("its heads have a gate, or its scores are read")
    if len(call.output_shapes) > 1:
        raise NotUnderstoodError("its scores are read")
    given = dict(zip(_ARGUMENTS, call.args, strict=False))
    given.update({name: call.kwargs[name] for name in _ARGUMENTS if name in call.kwargs})
    if given.get("key") is None:
        given["key"] = given["value"]
    heads = call.produce(config["num_heads"], "heads", whole=True)
    values = call.produce(config["value_dim"], "values")
    if config["value_dim"] == config["key_dim"]:
        # JAX computes attention for heads of one size alone.
        call.freeze(values, "its values stay as many as its keys")
    for name, dense in (
        ("query", layer.query_dense), ("key", layer.key_dense), ("value", layer.value_dense),
    ):  # fmt: skip
        call.read(dense.kernel, 0, call.channels(-1, _place_of(call, given[name])))
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


def _place_of(call: LayerCall, tensor: object) -> int:
    """Return which of the inputs a tensor is."""
    flat = keras.tree.flatten((call.args, call.kwargs))
    symbolic = [x for x in flat if isinstance(x, keras.KerasTensor)]
    return next(i for i, x in enumerate(symbolic) if x is tensor)
