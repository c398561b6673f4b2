"""Settings as frozen dataclasses that Keras serializes like its own objects."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import keras
import numpy as np

from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

# How a layer class is told from the string of its name.
_CLASS = "layer_class"


class Frozen:
    """Base of frozen dataclasses with `get_config` and `from_config`.

    A subclass is decorated by `@keras.saving.register_keras_serializable` and by
    `@dataclass(frozen=True)`; its fields are its config. Fields may hold numbers, strings, arrays,
    other serializable objects, layer classes, registered functions, and lists and mappings of
    these.
    """

    def get_config(self) -> dict[str, object]:
        """Return the arguments to make the object anew.

        Raises:
            KerasCompressError: If a field holds a lambda, or a function or class that isn't
                registered, which no file can name.
        """
        if not dataclasses.is_dataclass(self):
            raise NotImplementedError(f"{type(self).__name__} needs a `get_config` of its own.")
        fields = [field.name for field in dataclasses.fields(self) if field.init]
        return {name: _encoded(name, getattr(self, name)) for name in fields}

    @classmethod
    def from_config(cls, config: Mapping[str, object]) -> Self:
        return cls(**{name: _decoded(value) for name, value in config.items()})


def _encoded(name: str, value: Tensor) -> Any:
    if isinstance(value, list | tuple):
        return [_encoded(name, each) for each in value]
    if isinstance(value, Mapping):
        return {key: _encoded(name, each) for key, each in value.items()}
    if isinstance(value, type) or inspect.isroutine(value):
        registered = keras.saving.get_registered_name(value)
        stock = isinstance(value, type) and getattr(keras.layers, registered, None) is value
        if keras.saving.get_registered_object(registered) is not value and not stock:
            raise KerasCompressError(
                f"`{name}` must be something that a file can name to be serialized. Received: "
                f"{value!r}. Decorate it by `@keras.saving.register_keras_serializable()`, or "
                "choose by names and by Keras' layer classes."
            )
        return {_CLASS: registered} if isinstance(value, type) else value
    return value


def _decoded(value: Tensor) -> Any:
    if isinstance(value, list | tuple):
        return [_decoded(each) for each in value]
    if isinstance(value, Mapping) and set(value) == {_CLASS}:
        registered = value[_CLASS]
        found = keras.saving.get_registered_object(registered)
        return found or getattr(keras.layers, registered)
    if isinstance(value, Mapping) and "class_name" in value:
        return keras.saving.deserialize_keras_object(value)
    if isinstance(value, Mapping):
        return {key: _decoded(each) for key, each in value.items()}
    return value if not isinstance(value, np.generic) else value.item()
