"""One short text that stands for what is searched: models, arrays and settings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras

__all__ = ["fingerprint"]


def fingerprint(*parts: Any) -> str:
    """Return a text that is the same for the same parts, in any process, and else another.

    Example:

    ```python
    len(search.fingerprint({"epochs": 3}, np.zeros(4)))  # 32
    ```

    Args:
        parts: Keras models (their configuration and weights; names that Keras numbers don't
            matter), arrays, and values that `json.dumps` takes.

    Returns:
        32 hexadecimal digits.
    """
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        if hasattr(part, "get_config") and hasattr(part, "variables"):
            digest.update(_config_text(part).encode())
            for variable in part.variables:
                _add_array(digest, _host_array(variable))
        elif hasattr(part, "dtype") and hasattr(part, "shape"):
            _add_array(digest, np.asarray(part))
        else:
            digest.update(json.dumps(part, sort_keys=True).encode())
        digest.update(b"\n")
    return digest.hexdigest()


def _add_array(digest: Any, values: np.ndarray) -> None:
    values = np.ascontiguousarray(values)
    digest.update(f"{values.shape} {values.dtype}".encode())
    digest.update(values.reshape(-1).view(np.uint8).data)


def _host_array(variable: keras.Variable) -> np.ndarray:
    import keras

    return np.asarray(keras.ops.convert_to_numpy(variable.value))


def _config_text(model: keras.Model) -> str:
    try:
        # A class or function may have no other text than one with its address in it.
        text = json.dumps(model.get_config(), sort_keys=True, default=lambda o: type(o).__name__)
    except Exception:  # of a user's class, which need not have a configuration
        return " ".join(type(layer).__name__ for layer in _layers(model))
    # A net built twice in one process has layers called dense and dense_1.
    for place, name in enumerate(dict.fromkeys(_layer_names(json.loads(text)))):
        text = text.replace(f'"{name}"', f'"layer {place}"')
    return text


def _layer_names(config: object) -> Iterator[str]:
    if isinstance(config, list):
        for entry in config:
            yield from _layer_names(entry)
    # The name of a policy is what it computes in.
    elif isinstance(config, dict) and not str(config.get("class_name", "")).endswith("Policy"):
        if isinstance(config.get("name"), str):
            yield config["name"]
        for value in config.values():
            yield from _layer_names(value)


def _layers(model: keras.Model) -> Iterator[keras.Layer]:
    yield model
    for layer in getattr(model, "layers", ()):
        yield from _layers(layer)
