"""What a layer has learned or been told beside its configuration and its variables."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor


def carry_saved(source: Any, target: Any) -> None:
    """Carry what a layer writes into a file beside or instead of its variables."""
    if type(source).load_own_variables is not keras.Layer.load_own_variables:
        store: dict[str, Any] = {}
        source.save_own_variables(store)
        tensors = {key: keras.ops.convert_to_numpy(value) for key, value in store.items()}
        target.load_own_variables(tensors)
    if hasattr(source, "set_vocabulary"):
        # Not by way of a file, in which a line's end within a word would end it.
        if list(target.get_vocabulary()) != list(source.get_vocabulary()):
            _set_vocabulary(source, target)
    elif hasattr(source, "save_assets") and hasattr(target, "load_assets"):
        with tempfile.TemporaryDirectory() as folder:
            source.save_assets(folder)
            target.load_assets(folder)


def _set_vocabulary(source: Any, target: Any) -> None:
    store: dict[str, Any] = {}
    source.save_own_variables(store)
    weights = store.get("idf_weights")
    arguments = {} if weights is None else {"idf_weights": np.asarray(weights)}
    target.set_vocabulary(source.get_vocabulary(), **arguments)


def carry_attributes(source: Any, target: Any) -> None:
    """Carry plain attributes that were changed after the layer was made."""
    if target.supports_masking != source.supports_masking:
        target.supports_masking = source.supports_masking
    keras_own = is_of_keras(type(source))
    bare = vars(keras.Layer())
    for name, value in list(vars(source).items()):
        if name in bare or (keras_own and name.startswith("_")) or not _is_plain(value):
            continue
        if name not in vars(target) or not _is_same(vars(target)[name], value):
            setattr(target, name, value)


def _is_plain(value: Tensor) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_plain(item) for item in value)
    if isinstance(value, dict):
        return all(_is_plain(item) for item in value.values())
    plain = (bool, int, float, str, bytes, np.ndarray, np.generic)
    return value is None or isinstance(value, plain)


def _is_same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return np.array_equal(one, other)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        pairs = zip(one, other, strict=False)
        return len(one) == len(other) and all(_is_same(*pair) for pair in pairs)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_is_same(one[key], other[key]) for key in one)
    return type(one) is type(other) and bool(one == other)


def is_of_keras(thing: object) -> bool:
    module = getattr(thing, "__module__", None) or type(thing).__module__
    return str(module).split(".")[0] in ("keras", "keras_compress", "builtins")
