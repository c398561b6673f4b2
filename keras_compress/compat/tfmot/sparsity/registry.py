"""Which of Keras' layers tfmot prunes, and which of their weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from keras_compress.compat.tfmot.sparsity.prunable import PrunableLayer
from keras_compress.errors import KerasCompressError

#: Layers without weights to prune, by name: those that Keras 3 has of tfmot's list.
_NOTHING = """
    ELU LeakyReLU ReLU Softmax Cropping1D Cropping2D Cropping3D DepthwiseConv2D UpSampling1D
    UpSampling2D UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D Activation
    ActivityRegularization Dropout Flatten Lambda Masking Permute RepeatVector Reshape
    SpatialDropout1D SpatialDropout2D SpatialDropout3D Add Average Concatenate Dot Maximum Minimum
    Multiply Subtract AlphaDropout GaussianDropout GaussianNoise BatchNormalization
    LayerNormalization AveragePooling1D AveragePooling2D AveragePooling3D GlobalAveragePooling1D
    GlobalAveragePooling2D GlobalAveragePooling3D GlobalMaxPooling1D GlobalMaxPooling2D
    GlobalMaxPooling3D MaxPooling1D MaxPooling2D MaxPooling3D Rescaling
"""
_WEIGHTS: dict[type, tuple[str, ...]] = {
    **{getattr(keras.layers, name): () for name in _NOTHING.split()},
    keras.layers.Conv1D: ("kernel",),
    keras.layers.Conv2D: ("kernel",),
    keras.layers.Conv2DTranspose: ("kernel",),
    keras.layers.Conv3D: ("kernel",),
    keras.layers.Conv3DTranspose: ("kernel",),
    keras.layers.SeparableConv1D: ("pointwise_kernel",),
    keras.layers.SeparableConv2D: ("pointwise_kernel",),
    keras.layers.Dense: ("kernel",),
    keras.layers.Embedding: ("embeddings",),
}
_RNN = (keras.layers.GRU, keras.layers.LSTM, keras.layers.RNN, keras.layers.SimpleRNN)
_CELLS = (keras.layers.GRUCell, keras.layers.LSTMCell, keras.layers.SimpleRNNCell)


def says_itself(layer: keras.Layer) -> bool:
    """Whether `layer` has `get_prunable_weights`, of its own or from an earlier wrapper."""
    return isinstance(layer, PrunableLayer) or hasattr(layer, "get_prunable_weights")


def make_prunable(layer: keras.Layer) -> keras.Layer:
    """Give `layer`, one of Keras', a `get_prunable_weights`; return it.

    Raises:
        KerasCompressError: If tfmot doesn't know the layer, or a recurrent cell of it.
    """
    kind = type(layer)
    getter: Callable[[], list[Any]]
    if kind in _RNN:
        cells = _cells_of(layer)
        for cell in cells:
            if type(cell) not in _CELLS and not isinstance(cell, PrunableLayer):
                raise _unsupported(layer, f"its cell of type {type(cell).__name__}")

        def getter() -> list[keras.Variable]:
            return [weight for cell in _cells_of(layer) for weight in _weights_of_cell(cell)]

    elif kind is keras.layers.MultiHeadAttention:

        def getter() -> list[keras.Variable]:
            parts = (layer.query_dense, layer.key_dense, layer.value_dense, layer.output_dense)
            return [part.kernel for part in parts]

    elif kind in _WEIGHTS:

        def getter() -> list[keras.Variable]:
            return [getattr(layer, name) for name in _WEIGHTS[kind]]

    else:
        raise _unsupported(layer, f"type {kind.__name__}")
    layer.get_prunable_weights = getter
    return layer


def _cells_of(layer: keras.Layer) -> list[keras.Layer]:
    stacked = isinstance(layer.cell, keras.layers.StackedRNNCells)
    return list(layer.cell.cells) if stacked else [layer.cell]


def _weights_of_cell(cell: Any) -> list[keras.Variable]:
    if type(cell) in _CELLS:
        return [cell.kernel, cell.recurrent_kernel]
    return list(cell.get_prunable_weights())


def _unsupported(layer: keras.Layer, what: str) -> KerasCompressError:
    return KerasCompressError(
        "Please initialize `Prune` with a supported layer: one that tfmot knows, or one that "
        "defines `get_prunable_weights()` (see `PrunableLayer`). Received: "
        f"{getattr(layer, 'name', layer)!r} with {what}. Give the "
        "layer or cell that method, leave it out, or prune the model by `keras_compress.pruning`."
    )
