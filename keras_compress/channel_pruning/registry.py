"""Which rule tells of which layer; one's own layers can have one, too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from keras_compress.channel_pruning.call import LayerCall
from keras_compress.errors import KerasCompressError

__all__ = ["operation_rule", "register_rule", "rule_of"]

#: Returns the labels of the outputs: one array, or a list of them.
Rule = Callable[[LayerCall], Any]

_BY_CLASS: dict[type, Rule] = {}
#: Layers of Keras without a public class, and operations of `keras.ops`.
_LAYERS_BY_NAME: dict[str, Rule] = {}
_OPERATIONS_BY_NAME: dict[str, Rule] = {}


def register_rule(*layers: type | str) -> Callable[[Rule], Rule]:
    """Register a function that tells which channels of a layer go together.

    Example:

    ```python
    @channel_pruning.register_rule(Gate)
    def gate(call):
        channels = call.channels(-1)
        call.slice(call.layer.weight, 0, channels)
        call.count("units", channels)
        return call.inputs[0]
    ```

    The rule counts for these very classes, not for classes derived from them, which may compute
    something else. A rule registered later takes the place of an earlier one.

    Args:
        *layers: Layer classes; or names of layers of Keras that have no public class.

    Returns:
        A decorator that returns the function as it is.

    Raises:
        KerasCompressError: If something that isn't a layer class is handed over.
    """
    for layer in layers:
        if not isinstance(layer, str) and not (
            isinstance(layer, type) and issubclass(layer, keras.Layer)
        ):
            raise KerasCompressError(
                f"A rule is registered for layer classes. Received: {layer!r}."
            )

    def register(rule: Rule) -> Rule:
        for layer in layers:
            if isinstance(layer, str):
                _LAYERS_BY_NAME[layer] = rule
            else:
                _BY_CLASS[layer] = rule
        return rule

    return register


def operation_rule(*names: str) -> Callable[[Rule], Rule]:
    """Register a rule for operations of `keras.ops`, by the names of their classes."""

    def register(rule: Rule) -> Rule:
        _OPERATIONS_BY_NAME.update(dict.fromkeys(names, rule))
        return rule

    return register


def rule_of(operation: keras.Operation) -> Rule | None:
    """Return the rule for an operation, or `None`."""
    if type(operation) in _BY_CLASS:
        return _BY_CLASS[type(operation)]
    if not type(operation).__module__.startswith("keras."):
        return None
    named = _LAYERS_BY_NAME if isinstance(operation, keras.Layer) else _OPERATIONS_BY_NAME
    return named.get(type(operation).__name__)
