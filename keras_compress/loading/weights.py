"""Weights of a Keras 2 file given to a model of Keras 3."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np

from keras_compress.errors import ModelFileError
from keras_compress.loading.archives import Archive
from keras_compress.loading.configurations import layer_name, layers_of, names_by_file

__all__ = ["assign_weights"]

_Named = Sequence[tuple[str, np.ndarray]]


def assign_weights(model: keras.Model, archive: Archive, in_order: bool = False) -> list[str]:
    """Give `model` the weights of a file; return the names of its layers that got none.

    Of Keras 2's `.h5` and SavedModel files layers are found by name, of TF-Keras' `.keras` files
    by their place. With `in_order` the n-th layer with weights in the file is the n-th of those in
    the model, whatever their names.

    Raises:
        ModelFileError: If shapes or numbers of weights differ, or the file has weights for layers
            that the model doesn't have. Nothing is assigned then.
    """
    find = _in_order if in_order else _by_place if archive.kind == "keras" else _by_name
    pairs = find(model, archive)
    assigned: list[tuple[Any, np.ndarray]] = []
    for layer, weights in pairs:
        assigned += _matched(layer, weights)
    got = {id(variable) for variable, _ in assigned}
    for variable, value in assigned:
        variable.assign(value)
    for layer in _flat_layers(model):
        if isinstance(layer, keras.layers.Normalization) and layer.built:
            # What it computes with is derived from its weights.
            layer.finalize_state()
    return [
        layer.name
        for layer in model.layers
        if layer.weights and not any(id(v) in got for v in layer.weights)
    ]


def _flat_layers(model: keras.Model) -> Iterable[Any]:
    for layer in model.layers:
        yield from _flat_layers(layer) if isinstance(layer, keras.Model) else (layer,)


def _by_name(model: keras.Model, archive: Archive) -> list[tuple[Any, _Named]]:
    by_name = {layer.name: layer for layer in model.layers}
    names = {} if archive.model is None else names_by_file(archive.model)
    stored = {names.get(name, name): weights for name, weights in archive.weights.items()}
    with_weights = {name: weights for name, weights in stored.items() if weights}
    strange = [name for name in with_weights if name not in by_name]
    if strange:
        raise ModelFileError(
            "Weights are given to the layer of their name. Received weights of "
            f"{', '.join(map(repr, strange[:5]))}, which {model.name!r} doesn't have."
        )
    return [(by_name[name], weights) for name, weights in with_weights.items()]


def _in_order(model: keras.Model, archive: Archive) -> list[tuple[Any, _Named]]:
    stored = [weights for weights in archive.weights.values() if weights]
    layers = [layer for layer in _flat_layers(model) if layer.weights]
    if len(stored) > len(layers):
        raise ModelFileError(
            "Weights are given to the layers in their order. Received: those of "
            f"{len(stored)} layers for {model.name!r}, which has {len(layers)} with weights."
        )
    return list(zip(layers, stored, strict=False))


def _by_place(model: keras.Model, archive: Archive) -> list[tuple[Any, _Named]]:
    if archive.model is None:
        raise ModelFileError("A .keras file holds a model's configuration. Received one without.")
    stored = archive.weights
    leaves = dict(_leaves(archive.model, model))
    strange = [path for path in stored if path not in leaves]
    if strange:
        raise ModelFileError(
            "Weights are given to the layer in their place. Received weights of "
            f"{', '.join(map(repr, strange[:5]))}, where {model.name!r} has no layer."
        )
    return [(leaves[path], weights) for path, weights in stored.items()]


def _leaves(entry: dict[str, Any], model: keras.Model, prefix: str = "") -> Iterable[Any]:
    """Yield each leaf layer with its path in TF-Keras' files: class names, numbered."""
    counts: dict[str, int] = {}
    by_name = {layer.name: layer for layer in model.layers}
    for each in layers_of(entry):
        kind = _snake_case(str(each.get("class_name")).rpartition(">")[2])
        number = counts.get(kind, 0)
        counts[kind] = number + 1
        path = f"{prefix}{kind}_{number}" if number else f"{prefix}{kind}"
        layer = by_name.get(layer_name(each))
        if isinstance(layer, keras.Model):
            yield from _leaves(each, layer, path + "/")
        elif layer is not None:
            yield path, layer


def _snake_case(name: str) -> str:
    # As TF-Keras writes its files (tf_keras/saving/saving_lib.py, `_name_key`).
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def _matched(layer: keras.Layer, weights: _Named) -> list[tuple[Any, np.ndarray]]:
    variables = list(layer.trainable_weights) + list(layer.non_trainable_weights)
    if len(variables) < len(weights) and _of_pruning(weights):
        weights = weights[: len(variables)]
    if len(variables) != len(weights):
        raise ModelFileError(
            f"{layer.name!r} has {len(variables)} weights. Received: {len(weights)} in the file."
        )
    pairs = []
    for variable, (name, value) in zip(variables, weights, strict=True):
        if tuple(variable.shape) != value.shape:
            raise ModelFileError(
                f"{variable.path} has the shape {tuple(variable.shape)}. Received: "
                f"{value.shape} of {name!r} in the file."
            )
        pairs.append((variable, value))
    return pairs


def _of_pruning(weights: _Named) -> bool:
    """Whether mask, threshold and step of tfmot's wrapper follow the layer's own weights."""
    return any(name.split(":")[0].endswith("/pruning_step") for name, _ in weights)
