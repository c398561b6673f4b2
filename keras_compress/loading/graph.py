"""A model of Keras 2 built anew in Keras 3, from its configuration."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import keras

from keras_compress.errors import ModelFileError
from keras_compress.loading.configurations import Rewriting, class_of, layers_of
from keras_compress.loading.replaced_layers import MERGED
from keras_compress.loading.tensorflow_ops import FUNCTIONS, OPERATION_LAYERS

__all__ = ["MODELS", "build_model", "check_layers"]

MODELS = {"Functional", "Sequential"}


def check_layers(entry: dict[str, Any], rewriting: Rewriting) -> None:
    """Rewrite all layers of a serialized model once, so that every problem is found at once.

    Args:
        entry: A model as Keras 2 serializes it: `class_name` and `config`.
        rewriting: Takes up problems and notes.
    """
    kind = class_of(entry)
    if kind not in MODELS:
        rewriting.problems.append(
            f"the model itself is a {kind!r}, a subclass whose code isn't in the file: build it "
            "by its own code and give it the weights with `load_weights`"
        )
        return
    for layer in layers_of(entry):
        name = class_of(layer)
        if name in MODELS:
            check_layers(layer, rewriting)
        elif name in OPERATION_LAYERS:
            function = (layer.get("config") or {}).get("function")
            if name == "ClassMethod" or function not in FUNCTIONS:
                rewriting.problems.append(f"tf.{function} in the graph has no counterpart here")
        elif name == "TensorFlowOpLayer":
            rewriting.problems.append(
                f"{(layer.get('config') or {}).get('name')!r} is a raw TensorFlow operation "
                "of Keras before 2.4: open and save it with TensorFlow 2.5 or later"
            )
        elif name != "InputLayer" and name not in MERGED:
            rewriting.layer(layer)


def build_model(entry: dict[str, Any], rewriting: Rewriting) -> keras.Model:
    """Return the model that a checked configuration describes, with fresh weights.

    Raises:
        ModelFileError: If the graph contradicts itself.
    """
    config = entry["config"]
    with keras.saving.custom_object_scope(rewriting.custom_objects):
        if class_of(entry) == "Sequential":
            return _build_sequential(entry, rewriting)
        return _Graph(config, rewriting).build()


def _make_layer(entry: dict[str, Any], rewriting: Rewriting) -> keras.Layer:
    if class_of(entry) in MODELS:
        return build_model(entry, rewriting)
    config = entry.get("config") or {}
    name = str(config.get("name", class_of(entry)))
    try:
        layer = keras.saving.deserialize_keras_object(
            rewriting.layer(entry),
            custom_objects=rewriting.custom_objects,
            safe_mode=rewriting.safe_mode,
        )
    except (TypeError, ValueError) as error:
        text = " ".join(str(error).split())
        raise ModelFileError(f"Keras refuses the layer {name!r}: {text[:300]}") from error
    return layer


def _input_of(config: dict[str, Any]) -> Any:
    """Return a Keras tensor for a serialized InputLayer."""
    shape = config.get("batch_input_shape", config.get("batch_shape"))
    if not isinstance(shape, list | tuple):
        raise ModelFileError(f"An input has a shape. Received: {config!r}.")
    name = str(config["name"]).replace("/", "_") if config.get("name") else None
    return keras.Input(batch_shape=tuple(shape), dtype=config.get("dtype") or "float32", name=name)


def _build_sequential(entry: dict[str, Any], rewriting: Rewriting) -> keras.Sequential:
    config = entry["config"]
    name = config.get("name") if isinstance(config, dict) else None
    model = keras.Sequential(name=name)
    shape = config.get("build_input_shape") if isinstance(config, dict) else None
    for place, layer in enumerate(layers_of(entry)):
        inside = layer.get("config") or {}
        if class_of(layer) == "InputLayer":
            model.add(_input_of(inside))
            continue
        first = inside.get("batch_input_shape") if isinstance(inside, dict) else None
        if place == 0 and first:
            # Before Keras 2.4 the first layer carried the shape of the input.
            dtype = inside.get("dtype") if class_of(layer) != "Embedding" else "float32"
            model.add(keras.Input(batch_shape=tuple(first), dtype=_plain_dtype(dtype)))
        model.add(_make_layer(layer, rewriting))
    if not model.built and shape:
        model.build(tuple(shape))
    if not model.built:
        raise ModelFileError(
            "A model can be opened when its input's shape is known. Received a Sequential that "
            f"was never built: {name!r}."
        )
    return model


def _plain_dtype(dtype: object) -> str:
    return dtype if isinstance(dtype, str) and not dtype.startswith("mixed") else "float32"


class _Graph:
    """The nodes of a functional model, called again in an order that their inputs allow."""

    def __init__(self, config: dict[str, Any], rewriting: Rewriting) -> None:
        self._config, self._rewriting = config, rewriting
        self._entries = {self._name(each): each for each in layers_of({"config": config})}
        self._made: dict[str, Any] = {}
        # Of each layer, the outputs of its calls so far, and how many it had before the first.
        self._calls: dict[str, list[Any]] = defaultdict(list)
        self._before: dict[str, int] = {}

    @staticmethod
    def _name(entry: dict[str, Any]) -> str:
        return str(entry.get("name") or (entry.get("config") or {}).get("name"))

    def build(self) -> keras.Model:
        waiting = [
            (name, node)
            for name, entry in self._entries.items()
            for node in (entry.get("inbound_nodes") or [])
        ]
        for name, entry in self._entries.items():
            if class_of(entry) == "InputLayer":
                self._calls[name].append(_input_of(entry.get("config") or {}))
                self._before[name] = 0
            else:
                self._before[name] = int(_begins_with_input(entry))
        while waiting:
            left = []
            blocked: set[str] = set()
            for name, node in waiting:
                # Calls of one layer keep their order: others refer to them by number.
                if name in blocked or not self._ready(node):
                    blocked.add(name)
                    left.append((name, node))
                    continue
                self._calls[name].append(self._call(name, node))
            if len(left) == len(waiting):
                raise ModelFileError(
                    "The layers of a functional model are computed from its inputs. Received "
                    f"some that wait for each other: {', '.join(sorted(blocked)[:10])}."
                )
            waiting = left
        model = keras.Model(
            inputs=self._structure(self._config.get("input_layers")),
            outputs=self._structure(self._config.get("output_layers")),
            name=self._config.get("name"),
        )
        model.trainable = self._config.get("trainable", True) is not False
        self._freeze_again()
        return model

    def _freeze_again(self) -> None:
        # `trainable` of a model sets that of its layers, which have their own.
        for name, layer in self._made.items():
            inside = self._entries[name].get("config") or {}
            if isinstance(inside, dict) and not isinstance(layer, keras.Model):
                layer.trainable = inside.get("trainable", True) is not False

    def _call(self, name: str, node: object) -> Any:
        entry = self._entries[name]
        args, kwargs = self._arguments(node)
        if class_of(entry) in OPERATION_LAYERS:
            function = FUNCTIONS[entry["config"]["function"]]
            kwargs.pop("name", None)
            given = {key: value for key, value in kwargs.items() if value is not None}
            try:
                return function(*args, name_of_layer=name.replace("/", "_"), **given)
            except (TypeError, NotImplementedError) as error:
                raise ModelFileError(
                    f"tf.{entry['config']['function']} of {name!r} can't be carried over with "
                    f"these arguments: {error}"
                ) from error
        kind = class_of(entry)
        if kind in MERGED and kind not in self._rewriting.custom_objects:
            own = name.replace("/", "_")
            number = len(self._calls[name])
            return MERGED[kind](args[0], entry["config"], f"{own}_{number}" if number else own)
        if name not in self._made:
            self._made[name] = _make_layer(entry, self._rewriting)
        return self._made[name](*args, **kwargs)

    def _arguments(self, node: Any) -> tuple[list[Any], dict[str, Any]]:
        if isinstance(node, dict):
            raise ModelFileError(
                "A graph of Keras 2 lists its calls. Received one in the form of Keras 3."
            )
        kwargs: dict[str, Any] = {}
        if _is_reference(node):
            # One input that isn't in a list: a function's first argument.
            if len(node) > 3:
                kwargs = node[3]
            return [self._tensor(node)], self._resolve(kwargs)
        given = [self._tensor(each) for each in node]
        for each in node:
            if len(each) > 3 and isinstance(each[3], dict):
                kwargs.update(each[3])
        return [given if len(given) > 1 else given[0]], self._resolve(kwargs)

    def _tensor(self, reference: Any) -> Any:
        name, node, index = reference[:3]
        if name == "_CONSTANT_VALUE":
            return reference[2]
        calls = self._calls[name]
        outputs = keras.tree.flatten(calls[node - self._before[name]])
        return outputs[index]

    def _ready(self, node: object) -> bool:
        for name, number, _ in _references(node):
            if name == "_CONSTANT_VALUE":
                continue
            if name not in self._entries:
                raise ModelFileError(f"A layer reads from {name!r}, which the model doesn't have.")
            if number - self._before[name] >= len(self._calls[name]):
                return False
        return True

    def _resolve(self, value: Any) -> Any:
        if _is_reference(value) and value[0] in self._entries:
            return self._tensor(value)
        if isinstance(value, list):
            return [self._resolve(each) for each in value]
        if isinstance(value, dict) and "class_name" not in value:
            return {key: self._resolve(each) for key, each in value.items()}
        return value

    def _structure(self, value: object) -> Any:
        if _is_reference(value):
            return self._tensor(value)
        if isinstance(value, dict):
            return {key: self._structure(each) for key, each in value.items()}
        if not isinstance(value, list) or not value:
            raise ModelFileError(f"A model has inputs and outputs. Received: {value!r}.")
        found = [self._structure(each) for each in value]
        return found[0] if len(found) == 1 else found


def _begins_with_input(entry: dict[str, Any]) -> bool:
    """Whether Keras 2 counted a call of its own before the first in the graph."""
    if class_of(entry) not in MODELS:
        return False
    return class_of(layers_of(entry)[0]) == "InputLayer"


def _is_reference(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) >= 3
        and isinstance(value[0], str)
        and isinstance(value[1], int)
        and (isinstance(value[2], int) or value[0] == "_CONSTANT_VALUE")
    )


def _references(value: Any) -> list[tuple[str, int, Any]]:
    if _is_reference(value):
        own = [(value[0], value[1], value[2])]
        return own + [found for each in value[3:] for found in _references(each)]
    if isinstance(value, list):
        return [found for each in value for found in _references(each)]
    if isinstance(value, dict):
        return [found for each in value.values() for found in _references(each)]
    return []
