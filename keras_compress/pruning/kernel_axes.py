"""Which axes of a kernel count its inputs and which its outputs, by the kind of layer."""

from __future__ import annotations

import keras

from keras_compress.engine.weights import WeightRef

_DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)

# Their kernels end in (outputs, inputs) instead of (inputs, outputs).
_TRANSPOSED = (
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
)


def filter_axes(ref: WeightRef) -> tuple[int, ...] | None:
    """Return the axes of a weight that count its filters, or `None` if it has none.

    A filter is the slice of a kernel that makes one output channel. Embeddings, recurrent
    kernels (whose columns are gates, not channels) and kernels of attention and `EinsumDense`
    with several output axes have none.

    Args:
        ref: The weight.
    """
    owner = _owner(ref)
    last = len(ref.shape) - 1
    if ref.name not in ("kernel", "depthwise_kernel", "pointwise_kernel"):
        return None
    if ref.name == "depthwise_kernel" or isinstance(owner, _DEPTHWISE):
        return (last - 1, last)
    if ref.name == "pointwise_kernel":
        return (last,)
    if isinstance(owner, _TRANSPOSED):
        return (last - 1,)
    if isinstance(owner, keras.layers.EinsumDense):
        outputs = _einsum_axes(owner)[1]
        return outputs if len(outputs) == 1 else None
    if any(isinstance(each, keras.layers.RNN) for each in ref.owners):
        return None
    if type(owner).__name__.endswith("Cell"):
        return None
    return (last,)


def input_axis(ref: WeightRef) -> int | None:
    """Return the axis of a weight along which its products are summed up, or `None`.

    Depthwise kernels (a filter of which reads one channel) and embeddings have none, nor have
    kernels of `EinsumDense` that sum over several axes.

    Args:
        ref: The weight.
    """
    owner = _owner(ref)
    last = len(ref.shape) - 1
    if ref.name not in ("kernel", "pointwise_kernel", "recurrent_kernel"):
        return None
    if isinstance(owner, _DEPTHWISE):
        return None
    if isinstance(owner, _TRANSPOSED):
        return last
    if isinstance(owner, keras.layers.EinsumDense):
        inputs = _einsum_axes(owner)[0]
        return inputs[0] if len(inputs) == 1 else None
    return last - 1


def _owner(ref: WeightRef) -> keras.Layer | None:
    owner = ref.owners[-1] if ref.owners else None
    # A wrapper of ours stands for the layer within.
    return getattr(owner, "layer", owner) if getattr(owner, "requires_finalize", False) else owner


def _einsum_axes(layer: keras.layers.EinsumDense) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the axes of the kernel that are summed over, and those that stay."""
    operands, result = layer.equation.replace(" ", "").split("->")
    letters = operands.split(",")[1].replace(".", "")
    stays = tuple(axis for axis, letter in enumerate(letters) if letter in result)
    return tuple(axis for axis in range(len(letters)) if axis not in stays), stays
