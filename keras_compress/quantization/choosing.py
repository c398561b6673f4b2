"""Which layers stay in float."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable
from typing import Any

import keras

from keras_compress.engine.weights import Selectors
from keras_compress.errors import KerasCompressError
from keras_compress.quantization.config import QuantizationConfig
from keras_compress.quantization.graph import FlatGraph
from keras_compress.quantization.kernel_operators import operator_of

__all__ = ["float_layers"]


def float_layers(graph: FlatGraph, config: QuantizationConfig) -> list[keras.Layer]:
    """Return the layers of `graph` that stay in float.

    Raises:
        KerasCompressError: If a name or class in `config.float_layers` matches no layer.
    """
    layers = list({id(call.layer): call.layer for call in graph.calls}.values())
    found = []
    for selector in _listed(config.float_layers):
        chosen = [layer for layer in layers if _matcher(selector)(layer)]
        if not chosen and isinstance(selector, str | type):
            raise KerasCompressError(
                "`float_layers` must match layers of the model. "
                f"Received: {selector!r}, which matches none of "
                f"{', '.join(layer.name for layer in layers[:20])}."
            )
        found.extend(chosen)
    kernels = [layer for layer in layers if has_kernel(layer)]
    for place, value in ((0, config.first), (-1, config.last)):
        if value == "float" and kernels:
            found.append(kernels[place])
    return found


def has_kernel(layer: keras.Layer) -> bool:
    """Whether `layer` is one whose weights become integers."""
    return operator_of(layer) is not None or type(layer) is keras.layers.SeparableConv2D


def _listed(selectors: Selectors) -> list[Any]:
    if selectors is None:
        return []
    if isinstance(selectors, str | type) or callable(selectors):
        return [selectors]
    return list(selectors) if isinstance(selectors, Iterable) else [selectors]


def _matcher(selector: object) -> Callable[[Any], bool]:
    if isinstance(selector, str):
        return lambda layer: fnmatch.fnmatchcase(layer.name, selector)
    if isinstance(selector, type):
        return lambda layer: isinstance(layer, selector)
    if callable(selector):
        return lambda layer: bool(selector(layer))
    raise KerasCompressError(
        "`float_layers` takes layer names, layer classes and predicates of a layer. "
        f"Received: {selector!r}."
    )
