"""Which of Keras' layers tfmot clusters, and which of their weights."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import keras

from keras_compress.compat.tfmot.clustering.clusterable_layer import ClusterableLayer
from keras_compress.errors import KerasCompressError

layers = keras.layers


class UnknownLayerError(KerasCompressError, KeyError):
    """A layer that passed unbuilt turns out to have weights, of which tfmot knows nothing.

    There it is a `KeyError`; here it is a `ValueError` as well, like all other refusals.
    """

    # That of `KeyError` shows the message in quotes.
    __str__ = ValueError.__str__


_WEIGHTS: dict[type, tuple[str, ...]] = {
    layers.Conv1D: ("kernel",),
    layers.Conv1DTranspose: ("kernel",),
    layers.Conv2D: ("kernel",),
    layers.Conv2DTranspose: ("kernel",),
    layers.Conv3D: ("kernel",),
    layers.Conv3DTranspose: ("kernel",),
    # Clustered depthwise filters cost more accuracy than training brings back.
    layers.DepthwiseConv2D: (),
    layers.SeparableConv1D: ("pointwise_kernel",),
    layers.SeparableConv2D: ("pointwise_kernel",),
    layers.Dense: ("kernel",),
    layers.Embedding: ("embeddings",),
    layers.BatchNormalization: (),
    layers.LayerNormalization: (),
}
_RNN = (layers.GRU, layers.LSTM, layers.SimpleRNN, layers.RNN)
_CELLS = (layers.GRUCell, layers.LSTMCell, layers.SimpleRNNCell)
#: Keras 2 derives the one of these from the other, and tfmot asks for that.
CONV2D = (layers.Conv2D, layers.Conv2DTranspose)


def is_recurrent(layer: keras.Layer) -> bool:
    """Whether the weights of `layer` are those of its cells, numbered in their names."""
    return isinstance(layer, layers.RNN | layers.Bidirectional)


def make_clusterable(layer: keras.Layer) -> keras.Layer:
    """Give `layer`, unless it is a `ClusterableLayer`, a `get_clusterable_weights`; return it.

    As in tfmot, every layer without trainable weights passes, unbuilt ones too: what these are
    shows when they are built.

    Raises:
        KerasCompressError: If tfmot doesn't cluster such a layer.
    """
    if isinstance(layer, ClusterableLayer):
        return layer
    if not _supports(layer):
        raise _unsupported(layer)

    def getter() -> list[tuple[str, Any]]:
        if not layer.trainable_weights:
            return []
        if type(layer) not in _WEIGHTS:
            raise _unsupported(layer, UnknownLayerError)
        return [(name, getattr(layer, name)) for name in _WEIGHTS[type(layer)]]

    def getter_of_cells() -> list[tuple[str, Any]]:
        found = []
        for i, cell in enumerate(cells_of(layer)):
            if type(cell) not in _CELLS:
                raise _unsupported(layer)
            found += [
                (f"kernel/{i}", cell.kernel),
                (f"recurrent_kernel/{i}", cell.recurrent_kernel),
            ]
        return found

    def getter_of_attention() -> list[tuple[str, Any]]:
        return [
            ("_query_dense.kernel", layer.query_dense.kernel),
            ("_key_dense.kernel", layer.key_dense.kernel),
            ("_value_dense.kernel", layer.value_dense.kernel),
            ("_output_dense.kernel", layer.output_dense.kernel),
        ]

    chosen: Callable[[], list[tuple[str, Any]]] = getter
    if type(layer) in (*_RNN, layers.Bidirectional):
        chosen = getter_of_cells
    elif type(layer) is layers.MultiHeadAttention:
        chosen = getter_of_attention
    layer.get_clusterable_weights = chosen
    return layer


def cells_of(layer: keras.Layer) -> list[keras.Layer]:
    """Return the cells of a recurrent layer; of `Bidirectional` those of both directions."""
    if isinstance(layer, layers.Bidirectional):
        return [layer.forward_layer.cell, layer.backward_layer.cell]
    if isinstance(layer.cell, layers.StackedRNNCells):
        return list(layer.cell.cells)
    return [layer.cell]


def has_enough_weights(layer: keras.Layer, number_of_clusters: int, by_channel: bool) -> bool:
    """Whether a convolution has more weights than clusters; warns if not.

    Raises:
        KerasCompressError: If it isn't built.
    """
    if not layer.trainable_weights:
        raise KerasCompressError(
            f"Layer {layer.name} has no weights to cluster. Received: a {type(layer).__name__} "
            "that isn't built, or frozen. Build its model first, and unfreeze it."
        )
    size = 1
    for side in layer.kernel.shape:
        size *= int(side)
    if by_channel:
        axis = 1 if layer.data_format == "channels_first" else -1
        size //= int(layer.kernel.shape[axis])
    if size > number_of_clusters:
        return True
    warnings.warn(
        f"Layer {layer.name} does not have enough weights to implement "
        f"{'per-channel ' if by_channel else ''}clustering. No clustering was implemented for this "
        "layer.",
        stacklevel=4,
    )
    return False


def _supports(layer: keras.Layer) -> bool:
    if isinstance(layer, layers.RNN):
        return type(layer) in _RNN and all(type(cell) in _CELLS for cell in cells_of(layer))
    kinds = (*_WEIGHTS, layers.Bidirectional, layers.MultiHeadAttention)
    return not layer.trainable_weights or type(layer) in kinds


def _unsupported(
    layer: keras.Layer, kind: type[KerasCompressError] = KerasCompressError
) -> KerasCompressError:
    return kind(
        "Please initialize `Cluster` with a supported layer: one that tfmot clusters, or a "
        "`ClusterableLayer` with "
        f"`get_clusterable_weights()`. Received: {getattr(layer, 'name', layer)!r} of type "
        f"{type(layer).__name__}. Make it a `ClusterableLayer`, leave it out, or cluster the model "
        "by `keras_compress.clustering`."
    )
