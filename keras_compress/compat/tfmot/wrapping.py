"""Putting wrappers around layers, lists and models, and taking them off, for both techniques."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import keras

from keras_compress.copying.graph_copy import is_clonable
from keras_compress.copying.layer_copy import copy_layer
from keras_compress.engine.cloning import clone_layers, unwrap_layers
from keras_compress.engine.wrapper import SubstitutedLayer
from keras_compress.errors import KerasCompressError
from keras_compress.layers import iter_layers


def declared_input(layer: Any) -> dict[str, Any]:
    """Return `{"input_shape": ...}` if `layer` was given one as it was made, else `{}`.

    As in tfmot the wrapper then stands for the layer: a Sequential model that begins with it is
    built at once.
    """
    if not isinstance(layer, keras.Layer) or isinstance(layer, keras.Model) or layer.built:
        return {}
    # A layer keeps the shape to itself; a Sequential model that begins with it tells.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        probe = keras.Sequential([layer])
    return {"input_shape": tuple(probe.input_shape[1:])} if probe.built else {}


def wrap(
    call: str,
    target: Any,
    kind: type,
    around: Callable[[Any], Any],
    allowed: Callable[[Any], bool] = lambda _: True,
    fill: Callable[[Any], None] = lambda _: None,
) -> Any:
    """Return `target` with `around(layer)` in the place of each of its layers.

    Args:
        call: Name of the public function, for errors.
        target: A layer, a list of layers or a model.
        kind: Class of the wrappers; in lists and models, layers of it stay as they are.
        around: Makes the wrapper of a layer.
        allowed: Which layers of a model to wrap. Defaults to all.
        fill: Called with each wrapper once a copied model has its weights. Defaults to nothing.
    """
    if isinstance(target, keras.Model) and (is_clonable(target) or not target.built):
        return _wrap_model(call, target, kind, around, allowed, fill)
    if isinstance(target, list):
        return [layer if isinstance(layer, kind) else around(layer) for layer in target]
    if isinstance(target, keras.Layer) and not isinstance(target, keras.Model):
        return around(target)
    raise KerasCompressError(
        f"`{call}` takes a Sequential or functional model, a layer or a list of layers. "
        f"Received: {target!r} of type {type(target).__name__}. For a subclassed model use the "
        "callbacks of `keras_compress.pruning` and `keras_compress.clustering`."
    )


def _wrap_model(
    call: str,
    model: Any,
    kind: type,
    around: Callable[[Any], Any],
    allowed: Callable[[Any], bool],
    fill: Callable[[Any], None],
) -> Any:
    made: list[Any] = []

    def replace(copy: Any) -> Any:
        stays = isinstance(copy, kind | keras.layers.InputLayer) or not isinstance(
            copy, keras.Layer
        )
        if stays or not allowed(copy):
            return copy
        made.append(around(copy))
        return made[-1]

    if not model.built:
        if not isinstance(model, keras.Sequential):
            raise KerasCompressError(
                f"`{call}` takes a Sequential or functional model. Received: {model.name!r}, a "
                f"subclassed {type(model).__name__}. Use the technique's callback."
            )
        layers = [replace(copy_layer(layer)) for layer in model.layers]
        return keras.Sequential(layers, name=model.name)

    def fill_all() -> None:
        for wrapper in made:
            fill(wrapper)

    return clone_layers(model, replace, fill_all)


def strip(call: str, model: Any) -> Any:
    """Return a copy of `model` without wrappers."""
    if not isinstance(model, keras.Model):
        raise KerasCompressError(
            f"`{call}` takes a `keras.Model`. Received: {model!r} of type {type(model).__name__}."
        )
    wrapped = [layer for _, layer in iter_layers(model) if isinstance(layer, SubstitutedLayer)]
    if wrapped and not is_clonable(model):
        raise KerasCompressError(
            f"`{call}` copies Sequential and functional models. Received: {model.name!r}, a "
            f"subclassed {type(model).__name__} with wrapped layers. Leave its layers unwrapped "
            "and train it with `keras_compress.pruning.PruningCallback` or "
            "`keras_compress.clustering.ClusteringCallback`."
        )
    return unwrap_layers(model)
