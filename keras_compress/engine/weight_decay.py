"""Which weights an optimizer leaves out of its weight decay, carried over to another optimizer.

`Optimizer.exclude_from_weight_decay` isn't part of an optimizer's configuration, so that a new one
made from this would decay all weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import keras

from keras_compress.engine.inner_optimizers import updating_optimizers
from keras_compress.engine.wrapper import SubstitutedLayer
from keras_compress.layers import iter_layers


def carry_exclusions(
    source: object, target: object, copies: Mapping[int, tuple[Any, Any]], model: keras.Model
) -> None:
    """Leave out of the weight decay of `target` what `source` leaves out.

    Args:
        source: The optimizer of a model, wrapped or not.
        target: The optimizer of the model's copy, of the same kind.
        copies: The model's variables and those that stand for them in the copy, as pairs, by the
            `id` of the former.
        model: The copy.
    """
    pairs = zip(updating_optimizers(source), updating_optimizers(target), strict=True)
    for ours, theirs in pairs:
        keys, patterns = _told(ours, theirs)
        if not (keys or patterns):
            continue
        own = [copy for variable, copy in copies.values() if _key_of(variable) in keys]
        theirs.exclude_from_weight_decay(
            var_list=[*own, *_stand_ins(own, model)], var_names=patterns
        )


def _told(source: object, fresh: object) -> tuple[set[Any], list[str]]:
    """Return the keys of the variables, and the patterns of names, that `source` was told."""
    keys: set[Any] = set()
    patterns = []
    for name, value in vars(source).items():
        if name in vars(fresh):
            continue
        if isinstance(value, set):
            keys |= value
        elif isinstance(value, re.Pattern):
            patterns.append(value.pattern)
    return keys, patterns


def _key_of(variable: keras.Variable) -> Any:
    """Return what an optimizer remembers of a variable that it is told to leave out."""
    probe = keras.optimizers.SGD()
    before = set(vars(probe))
    probe.exclude_from_weight_decay(var_list=[variable])
    (keys,) = (v for name, v in vars(probe).items() if name not in before and isinstance(v, set))
    return next(iter(keys))


def _stand_ins(variables: Iterable[keras.Variable], model: keras.Model) -> list[Any]:
    """Return what wrappers in `model` train in the place of `variables`, such as centroids."""
    wanted = {id(variable) for variable in variables}
    found: list[Any] = []
    for _, layer in iter_layers(model):
        if not isinstance(layer, SubstitutedLayer):
            continue
        within = {id(v) for v in layer.layer.variables}
        names = tuple(f"{v.name}_" for v in layer.substituted_weights() if id(v) in wanted)
        own = [v for v in layer.trainable_variables if id(v) not in within]
        found.extend(v for v in own if names and v.name.startswith(names))
    return found
