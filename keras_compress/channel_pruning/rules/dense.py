"""Layers that multiply by a matrix along some axes: Dense, EinsumDense, Embedding."""

from __future__ import annotations

from keras import layers

from keras_compress.channel_pruning.call import LayerCall, NotUnderstoodError
from keras_compress.channel_pruning.coupling import Labels
from keras_compress.channel_pruning.registry import register_rule
from keras_compress.channel_pruning.rules.activations import keep_mixed

__all__ = ["dense", "einsum_dense", "embedding"]


@register_rule(layers.Dense)
def dense(call: LayerCall) -> Labels:
    """A kernel `(inputs, units)`."""
    layer = call.layer
    made = call.produce(layer.units)
    call.read(layer.kernel, 0, call.channels(-1))
    call.slice(layer.kernel, 1, made)
    call.slice(layer.bias, 0, made)
    call.count("units", made)
    keep_mixed(call, made)
    return call.along(-1, made)


@register_rule(layers.EinsumDense)
def einsum_dense(call: LayerCall) -> Labels:
    """An equation `inputs,kernel->outputs`; what it makes is cut along the longest new axis."""
    layer = call.layer
    shape = call.output_shapes[0]
    inputs, rest = layer.equation.replace(" ", "").split(",")
    kernel, outputs = rest.split("->")
    inputs, outputs = (_without_batch(terms) for terms in (inputs, outputs))
    if set(kernel) & set(inputs) & set(outputs):
        raise NotUnderstoodError(f"{layer.equation!r} has a kernel for each of several parts")
    varying = [a for a, size in enumerate(call.inputs[0].shape) if size > 1]
    for axis, term in zip(range(-len(inputs), 0), inputs, strict=True):
        if term in kernel:
            position = axis % call.rank
            if varying in ([], [position]):
                call.read(layer.kernel, kernel.index(term), call.channels(position))
            elif position in varying:
                raise NotUnderstoodError("its channels run along several axes")
        elif (axis % call.rank) in varying:
            raise NotUnderstoodError("its channels run along an axis that it leaves alone")
    new = [a for a, term in zip(range(-len(outputs), 0), outputs, strict=True) if term in kernel]
    if not new:
        raise NotUnderstoodError(f"{layer.equation!r} makes no channels")
    axis = max(new, key=lambda a: shape[a])
    made = call.produce(shape[axis])
    call.slice(layer.kernel, kernel.index(outputs[axis]), made)
    if layer.bias is not None and outputs[axis] in layer.bias_axes:
        # A bias has all axes of the output from the first of its own on.
        call.slice(layer.bias, len(layer.bias.shape) + axis, made)
    given = layer.get_config()["output_shape"]
    given = list(given) if isinstance(given, list | tuple) else [given]
    place = axis % len(given)
    call.set(
        "output_shape",
        lambda keep: [int(keep[made].sum()) if a == place else n for a, n in enumerate(given)],
    )
    keep_mixed(call, made)
    return call.along(axis, made)


def _without_batch(terms: str) -> str:
    """Return the terms of the axes after the batch and an ellipsis."""
    return terms.replace("...", "") if "..." in terms else terms[1:]


@register_rule(layers.Embedding)
def embedding(call: LayerCall) -> Labels:
    """A table `(words, output_dim)`; what it reads are numbers of words."""
    layer = call.layer
    made = call.produce(layer.output_dim)
    call.slice(layer.embeddings, 1, made)
    call.count("output_dim", made)
    return call.along(-1, made)
