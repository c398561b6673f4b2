"""Which layers may be pruned, and which models are worth it."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable
from typing import Any

import keras

from keras_compress.compat.tfmot.sparsity.wrapper import PruneLowMagnitude
from keras_compress.compat.tfmot.wrapping import is_graph
from keras_compress.engine.graph import Graph, trace_graph
from keras_compress.errors import KerasCompressError

layers = keras.layers

#: Supported whatever their arguments are.
_PLAIN = (
    layers.Add,
    layers.Multiply,
    layers.ZeroPadding2D,
    layers.ReLU,
    layers.LeakyReLU,
    layers.ELU,
    layers.Dropout,
)
#: Keras 2 derives the one of these from the other, and tfmot asks for that.
_CONV2D = (layers.Conv2D, layers.Conv2DTranspose)
_ACTIVATIONS = ("relu", "relu6", "leaky_relu", "elu", "sigmoid")
#: Operations of `keras.ops` in a graph, where Keras 2 has `TFOpLambda` layers.
_OPERATIONS = ("Identity", "Add", "Subtract", "Multiply")


class PruningPolicy(abc.ABC):
    """Says of each layer of a model whether it may be pruned."""

    @abc.abstractmethod
    def allow_pruning(self, layer: keras.Layer) -> bool:
        """Return whether `layer` may be pruned."""

    @abc.abstractmethod
    def ensure_model_supports_pruning(self, model: keras.Model) -> None:
        """Raise a `ValueError` unless pruning `model` serves the policy's purpose."""


class PruneForLatencyOnXNNPack(PruningPolicy):
    """Prunes what XNNPACK runs on sparse kernels: 1x1 convolutions of a float image model.

    XNNPACK switches to them between a 3x3 convolution of stride 2 on three channels, behind a
    `ZeroPadding2D`, and a global average pooling, if it supports all layers between.
    """

    def allow_pruning(self, layer: keras.Layer) -> bool:
        return isinstance(layer, _CONV2D) and tuple(layer.kernel_size) == (1, 1)

    def ensure_model_supports_pruning(self, model: keras.Model) -> None:
        """Raise unless XNNPACK would run a part of `model` sparse.

        Raises:
            KerasCompressError: A `ValueError`, that names what is missing or what layer between
                is not supported.
        """
        if not is_graph(model):
            raise KerasCompressError(
                "Subclassed models are not supported currently. "
                f"Received: {model.name!r} of type {type(model).__name__}."
            )
        if not model.built:
            raise KerasCompressError(
                f"Unbuilt models are not supported currently. Received: {model.name!r}. Begin it "
                "with a `keras.Input`, or call its `build`."
            )
        flow = _Flow(trace_graph(model))
        starts = _lookup(flow.inputs, flow.starts_sparse, flow.consumers)
        if not starts:
            raise KerasCompressError(
                "Could not find `Conv2D 3x3` layer with stride 2x2, `input filters == 3` and "
                "`VALID` padding and preceding `ZeroPadding2D` with `padding == 1` in all input "
                "branches of the model. "
                f"Received: {model.name!r}."
            )
        ends = _lookup(flow.outputs, _ends_sparse, flow.producers)
        if not ends:
            raise KerasCompressError(
                "Could not find a `GlobalAveragePooling2D` layer in all output branches. "
                f"Received: {model.name!r}."
            )

        def visit(layer: keras.Layer) -> bool:
            if layer not in ends and not self._supports(layer, flow):
                raise KerasCompressError(
                    f"Layer {type(layer).__name__} is not supported for the "
                    f"{type(self).__name__} pruning policy. Received: {layer.name!r} in "
                    f"{model.name!r}, between the start and the end of the sparse part."
                )
            return layer in ends

        _lookup([each for start in starts for each in flow.consumers(start)], visit, flow.consumers)

    def _supports(self, layer: keras.Layer, flow: _Flow) -> bool:
        """Whether XNNPACK runs `layer` in a sparse graph (its `src/subgraph.c`)."""
        if isinstance(layer, PruneLowMagnitude):
            layer = layer.layer
        if isinstance(layer, _PLAIN):
            return True
        if isinstance(layer, layers.DepthwiseConv2D):
            return _supports_depthwise(layer, flow.padding_before(layer))
        if isinstance(layer, _CONV2D):
            ones = (layer.kernel_size, layer.strides, layer.dilation_rate)
            return getattr(layer, "groups", 1) == 1 and all(tuple(each) == (1, 1) for each in ones)
        if isinstance(layer, layers.GlobalAveragePooling2D):
            return bool(layer.keepdims)
        if isinstance(layer, layers.BatchNormalization):
            # Keras 3 leaves a negative axis as it was given.
            return layer.axis in (3, -1)
        if isinstance(layer, layers.UpSampling2D):
            return bool(layer.interpolation == "bilinear")
        if isinstance(layer, layers.Activation):
            return getattr(layer.activation, "__name__", None) in _ACTIVATIONS
        return not isinstance(layer, keras.Layer) and type(layer).__name__ in _OPERATIONS


class _Flow:
    """Which layers read what which others return, in a model and in those nested in it."""

    def __init__(self, graph: Graph) -> None:
        self._producers: dict[int, list[Any]] = {}
        self._consumers: dict[int, list[Any]] = {}
        makers: dict[int, Any] = {}
        for each in graph.graphs():
            makers.update((id(tensor), _Input()) for tensor in keras.tree.flatten(each.inputs))
            for node in each.nodes:
                for tensor in node.inputs:
                    maker = makers[id(tensor)]
                    self._producers.setdefault(id(node.operation), []).append(maker)
                    self._consumers.setdefault(id(maker), []).append(_unpacked(node.operation))
                makers.update((id(tensor), node.operation) for tensor in node.outputs)
        self.inputs = [makers[id(tensor)] for tensor in keras.tree.flatten(graph.inputs)]
        self.outputs = [makers[id(tensor)] for tensor in keras.tree.flatten(graph.outputs)]

    def consumers(self, layer: keras.Layer) -> list[keras.Layer]:
        """Return the layers that read what `layer` returns."""
        return self._consumers.get(id(layer), [])

    def producers(self, layer: keras.Layer) -> list[keras.Layer]:
        """Return the layers that `layer` reads from."""
        return self._producers.get(id(layer), [])

    def padding_before(self, layer: keras.Layer) -> int | None:
        """Return by how much the `ZeroPadding2D` pads that is all that `layer` reads from."""
        producers = {id(each): each for each in self.producers(layer)}
        before = next(iter(producers.values()), None)
        if len(producers) != 1 or not isinstance(before, layers.ZeroPadding2D):
            return None
        sides = {side for pair in before.padding for side in pair}
        return int(sides.pop()) if len(sides) == 1 else None

    def starts_sparse(self, layer: keras.Layer) -> bool:
        """Whether XNNPACK begins to run sparse with `layer`."""
        return (
            isinstance(layer, layers.Conv2D)
            and layer.built
            and tuple(layer.kernel.shape)[:3] == (3, 3, 3)
            and tuple(layer.strides) == (2, 2)
            and layer.padding == "valid"
            and self.padding_before(layer) == 1
        )


class _Input:
    """Stands for an input of a model."""


def _unpacked(layer: keras.Layer) -> keras.Layer:
    """Return `layer`, or of a Sequential model its first layer."""
    return _unpacked(layer.layers[0]) if isinstance(layer, keras.Sequential) else layer


def _ends_sparse(layer: keras.Layer) -> bool:
    return isinstance(layer, layers.GlobalAveragePooling2D)


def _supports_depthwise(layer: keras.Layer, padded: int | None) -> bool:
    """3x3 and 5x5 filters of stride 1 on their own padding, or of 1 or 2 behind a layer's."""
    size, strides = tuple(layer.kernel_size), tuple(layer.strides)
    if layer.depth_multiplier != 1 or tuple(layer.dilation_rate) != (1, 1):
        return False
    if size not in ((3, 3), (5, 5)):
        return False
    if layer.padding == "same":
        return strides == (1, 1)
    return strides in ((1, 1), (2, 2)) and padded == size[0] // 2


def _lookup(
    sources: Iterable[object], stops: Callable[[Any], bool], following: Callable[[Any], list[Any]]
) -> set[Any]:
    """Return the first layer that `stops` is true of on every way from `sources`.

    The empty set if a way ends before.
    """
    found, seen, waiting = set(), set(sources), list(sources)
    while waiting:
        layer = waiting.pop()
        if stops(layer):
            found.add(layer)
            continue
        nexts = following(layer)
        if not nexts:
            return set()
        for each in nexts:
            if each not in seen:
                seen.add(each)
                waiting.append(each)
    return found
