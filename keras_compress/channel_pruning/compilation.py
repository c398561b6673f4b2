"""Compiles a smaller model like the larger one, with the state that the optimizer has."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_compress.engine.weight_decay import carry_exclusions

__all__ = ["carry_compilation"]

#: A variable, its copy, and what was kept along which axis, by the `id` of the variable.
Variables = Mapping[int, tuple[Any, Any, list[tuple[int, np.ndarray]]]]


def carry_compilation(model: keras.Model, small: keras.Model, variables: Variables) -> None:
    """Compile `small` like `model`; momenta and the like follow their weights, by index.

    State that isn't shaped like its weight (the factors of Adafactor) begins anew.

    Args:
        model: The model that was cut.
        small: What is left of it.
        variables: What became of each variable of `model`.
    """
    if not getattr(model, "compiled", False):
        return
    try:
        small.compile_from_config(model.get_compile_config())
        if getattr(small, "optimizer", None) is not None:
            pairs = {key: (old, new) for key, (old, new, _) in variables.items()}
            carry_exclusions(model.optimizer, small.optimizer, pairs, small)
    except (TypeError, ValueError) as error:
        warnings.warn(
            f"The smaller {model.name!r} is not compiled, for its loss or metrics can't be "
            f"serialized ({error}). Call `compile()` on it.",
            stacklevel=4,
        )
        return
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None or not optimizer.built:
        return
    if not small.optimizer.built:
        small.optimizer.build(small.trainable_variables)
    _carry_state(optimizer, small.optimizer, model.trainable_variables, variables)


def _carry_state(old: Any, new: Any, trainable: object, variables: Variables) -> None:
    weights = _weights_of_state(old, trainable)
    for one, other in zip(old.variables, new.variables, strict=False):
        values = keras.ops.convert_to_numpy(one)
        weight = weights.get(one.path)
        if weight is not None and id(weight) in variables:
            for axis, kept in variables[id(weight)][2]:
                values = np.compress(kept, values, axis)
        if tuple(values.shape) == tuple(other.shape):
            other.assign(values)


def _weights_of_state(optimizer: keras.Optimizer, trainable: object) -> dict[str, Any]:
    """Return the weight that each variable of an optimizer belongs to, by the latter's path."""
    probe = type(optimizer).from_config(optimizer.get_config())
    made: list[tuple[Any, Any]] = []
    for each in (probe, getattr(probe, "inner_optimizer", None)):
        if each is not None:
            _record_references(each, made)
    probe.build(trainable)
    place_of = {id(v): i for i, v in enumerate(probe.variables)}
    return {
        optimizer.variables[place_of[id(state)]].path: weight
        for weight, state in made
        if id(state) in place_of
    }


def _record_references(optimizer: keras.Optimizer, made: list[tuple[Any, Any]]) -> None:
    """Have an optimizer write down which weight it makes each of its variables for."""
    add = optimizer.add_variable_from_reference

    def recording(reference_variable: object, *args: Any, **kwargs: Any) -> Any:
        state = add(reference_variable, *args, **kwargs)
        made.append((reference_variable, state))
        return state

    # Past Keras' tracking of attributes, on this one object.
    vars(optimizer)["add_variable_from_reference"] = recording
