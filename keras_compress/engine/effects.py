"""What the techniques have done to a model, by its wrappers, its optimizer and its values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_compress.engine.optimizer import ProjectedOptimizer
from keras_compress.engine.report import LEFT_ALONE, Report, values_of, weight_report
from keras_compress.engine.weights import Selection, WeightRef, iter_weights
from keras_compress.engine.wrapper import SubstitutedLayer
from keras_compress.layers import iter_layers


class Effects:
    """The values that a model computes with, and what was done to them.

    Args:
        model: A model before, during or after a training with any techniques.
    """

    def __init__(self, model: keras.Model) -> None:
        self._substitutes: dict[int, Any] = {}
        self._actions: dict[int, list[str]] = {}
        self._idle: dict[int, str] = {}
        for _, layer in iter_layers(model):
            if isinstance(layer, SubstitutedLayer) and layer.built:
                idle = layer.why_idle()
                for variable, value in layer.substitutes():
                    self._substitutes[id(variable)] = value
                    if idle is None:
                        self._actions.setdefault(id(variable), []).append(layer.action)
                    else:
                        self._idle[id(variable)] = idle
        optimizer = getattr(model, "optimizer", None)
        if isinstance(optimizer, ProjectedOptimizer):
            for projection in optimizer.projections:
                # Weights that were loaded since have not passed it.
                if projection.action and projection.holds():
                    actions = self._actions.setdefault(id(projection.variable), [])
                    actions.append(projection.action)

    def values(self, ref: WeightRef) -> np.ndarray:
        """Return the values that the model computes with."""
        return values_of(self._substitutes.get(id(ref.variable), ref.variable))

    def actions(self, ref: WeightRef) -> list[str]:
        """Return what wrappers and the optimizer do to the weight, in the order of training."""
        return list(dict.fromkeys(self._actions.get(id(ref.variable), [])))

    def why_idle(self, ref: WeightRef) -> str | None:
        """Return why the wrapper of the weight has done nothing to it so far, if that is so."""
        return self._idle.get(id(ref.variable))


def technique_report(
    technique: str,
    action: str,
    model: keras.Model,
    selection: Selection,
    why_not: Callable[[np.ndarray], str | None],
) -> Report:
    """Return per weight what a technique did, or why the weight was left alone.

    Args:
        technique: Its name.
        action: What it does to a weight, as its wrappers and projections call it.
        model: A model during or after the training, finalized or not.
        selection: The weights that were chosen.
        why_not: Called with the values of a chosen weight that nothing in force works on;
            returns why they aren't the technique's, or `None` if they are.
    """
    effects = Effects(model)
    reasons = {id(ref.variable): reason for ref, reason in selection.left_alone}
    rows = []
    for ref in _weights_of(model):
        values = effects.values(ref)
        reason = reasons.get(id(ref.variable))
        if action in effects.actions(ref) and (reason is None or not ref.variable.trainable):
            # A kernel in the place of which centroids are trained is no longer trained itself.
            reason = None
        elif reason is None:
            reason = effects.why_idle(ref) or why_not(values)
        rows.append(weight_report(ref, values, LEFT_ALONE if reason else action, reason or ""))
    return Report(technique, tuple(rows))


def overall_report(model: keras.Model, selection: Selection) -> Report:
    """Return per weight what was done to it by any technique.

    Args:
        model: A model during or after the training, finalized or not.
        selection: Its weights, as `select_weights` chose them.
    """
    effects = Effects(model)
    reasons = {id(ref.variable): reason for ref, reason in selection.left_alone}
    rows = []
    for ref in _weights_of(model):
        values = effects.values(ref)
        actions = effects.actions(ref)
        if id(ref.variable) not in reasons or (actions and not ref.variable.trainable):
            # Kernels have no zeros by chance, and no two values alike; biases begin with zeros.
            if "pruned" not in actions and not np.all(values):
                actions.insert(0, "pruned")
            if actions in ([], ["pruned"]) and _are_shared(values):
                actions.append("values shared")
        reason = reasons.get(
            id(ref.variable), effects.why_idle(ref) or "no zeros and no shared values"
        )
        action = ", ".join(actions) or LEFT_ALONE
        rows.append(weight_report(ref, values, action, "" if actions else reason))
    return Report("compression", tuple(rows))


def _are_shared(values: np.ndarray) -> bool:
    """Whether the values other than zero are at most half as many as there are places."""
    kept = values[values != 0]
    return kept.size > 0 and np.unique(kept).size <= kept.size // 2


def _weights_of(model: keras.Model) -> list[WeightRef]:
    """Return the weights of a model, but for those that wrappers have added."""
    return [
        ref
        for ref in iter_weights(model)
        if not (ref.owners and isinstance(ref.owners[-1], SubstitutedLayer))
    ]
