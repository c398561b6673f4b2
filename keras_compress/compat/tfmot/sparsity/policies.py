"""Which layers may be pruned, and which models are worth it."""

from __future__ import annotations

import abc
from typing import Any

import keras

from keras_compress.errors import KerasCompressError
from keras_compress.layers import iter_layers


class PruningPolicy(abc.ABC):
    """Says of each layer of a model whether it may be pruned."""

    @abc.abstractmethod
    def allow_pruning(self, layer: Any) -> bool:
        """Return whether `layer` may be pruned."""

    @abc.abstractmethod
    def ensure_model_supports_pruning(self, model: Any) -> None:
        """Raise a `ValueError` unless pruning `model` serves the policy's purpose."""


class PruneForLatencyOnXNNPack(PruningPolicy):
    """Prunes what XNNPACK runs on sparse kernels: 1x1 convolutions of a float image model.

    XNNPACK switches to them between a 3x3 convolution of stride 2 on three channels and a
    global average pooling that keeps its dimensions.
    """

    def allow_pruning(self, layer: Any) -> bool:
        return type(layer) is keras.layers.Conv2D and tuple(layer.kernel_size) == (1, 1)

    def ensure_model_supports_pruning(self, model: Any) -> None:
        """Raise unless `model` has the start and the end that XNNPACK asks for.

        Raises:
            KerasCompressError: A `ValueError`, that names what is missing.
        """
        if not model.built:
            raise KerasCompressError(
                f"The model must be built to be checked. Received: {model.name!r} unbuilt."
            )
        layers = [layer for _, layer in iter_layers(model)]
        starts = [layer for layer in layers if _starts_sparse_graph(layer)]
        if not starts:
            raise KerasCompressError(
                "XNNPACK runs sparse behind a Conv2D of kernel 3x3, stride 2 and three input "
                f"channels. Received: {model.name!r}, which has none."
            )
        ends = [
            layer
            for layer in layers
            if isinstance(layer, keras.layers.GlobalAveragePooling2D) and layer.keepdims
        ]
        if not ends:
            raise KerasCompressError(
                "XNNPACK runs sparse up to a GlobalAveragePooling2D with keepdims=True. "
                f"Received: {model.name!r}, which has none."
            )
        if not any(self.allow_pruning(layer) for layer in layers):
            raise KerasCompressError(
                "XNNPACK runs 1x1 convolutions sparse. "
                f"Received: {model.name!r}, which has none to prune."
            )


def _starts_sparse_graph(layer: Any) -> bool:
    return (
        type(layer) is keras.layers.Conv2D
        and tuple(layer.kernel_size) == (3, 3)
        and tuple(layer.strides) == (2, 2)
        and layer.kernel.shape[-2] == 3
    )
