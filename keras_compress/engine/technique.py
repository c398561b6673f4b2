"""What a technique is to the rest: the kind of its settings, how it prepares and reports.

A technique registers itself as its package is imported. Whoever holds its settings has imported
it, so the settings alone say which technique is meant, and nothing here knows of any.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from keras_compress.engine.frozen import Frozen
from keras_compress.engine.weights import Selection, Selectors, select_weights
from keras_compress.errors import KerasCompressError


class TechniqueConfig(Frozen):
    """Base of the settings of a technique; a subclass is a frozen, registered dataclass.

    Attributes:
        layers: Which layers: name, path, wildcard, class or predicate, a list of these, or
            `None` for every layer with a kernel.
    """

    layers: Selectors

    def select(self, model: keras.Model) -> Selection:
        """Return the weights of `model` to work on, and why each other one is left alone.

        Raises:
            KerasCompressError: If the model is unbuilt, or `layers` matches nothing.
        """
        return select_weights(model, self.layers)


@dataclass(frozen=True)
class Technique:
    """What a technique registers.

    Attributes:
        name: Its subpackage, such as `"pruning"`.
        prepare: Called with a model and settings; returns a copy that is ready to be trained.
        report: Called with a model and settings, or `None` for the defaults; returns what was
            done to each weight.
        finalize: Called with a model that `holds` is true of; returns it in stock layers.
            Defaults to `None`: taking off the wrappers is enough.
        holds: Called with a model; returns whether only this technique can finalize and report
            it. Defaults to `None`: of no model.
    """

    name: str
    prepare: Callable[[keras.Model, Any], keras.Model]
    report: Callable[[keras.Model, Any], Any]
    finalize: Callable[[keras.Model], keras.Model] | None = None
    holds: Callable[[keras.Model], bool] | None = None


_registered: dict[str, Technique] = {}


@functools.singledispatch
def technique_of(config: object) -> Technique:
    """Return the technique whose settings `config` are.

    Raises:
        KerasCompressError: If it is of no kind that a technique has registered.
    """
    known = f" Known here: {', '.join(_registered)}." if _registered else ""
    raise KerasCompressError(
        "`config` must be the settings of a technique, such as `pruning.PruningConfig(...)`. "
        f"Received: config={config!r} of type {type(config).__name__}.{known}"
    )


def technique_that_holds(model: keras.Model) -> Technique | None:
    """Return the technique that alone can finalize and report `model`, or `None`."""
    for technique in _registered.values():
        if technique.holds is not None and technique.holds(model):
            return technique
    return None


def register_technique(kind: type, technique: Technique) -> None:
    """Let `prepare` and `compression_report` know a technique by the kind of its settings.

    Args:
        kind: The class of the settings.
        technique: The technique.
    """
    technique_of.register(kind, lambda _: technique)
    _registered[kind.__name__] = technique
