"""`prepare`, `finalize` and `report` of pruning."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_compress.engine.cloning import unwrap_layers, wrap_layers
from keras_compress.engine.optimizer import projections_of
from keras_compress.engine.preparation import weights_to_wrap
from keras_compress.engine.report import Report, left_alone_rows, values_of, weight_report
from keras_compress.pruning.config import PruningConfig
from keras_compress.pruning.pruner import MaskProjection, pruned_layers
from keras_compress.pruning.wrapper import Pruned


def prepare(model: Any, config: PruningConfig | None = None) -> Any:
    """Return a copy of `model` whose chosen layers are `Pruned`.

    The copy has the same weights and, if `model` is compiled, the same compilation. Train it
    with `PruningCallback(config)`; `finalize` gives stock layers back.

    Args:
        model: A built Sequential or functional model, nested or not. For a subclassed model use
            `PruningCallback` alone.
        config: The `PruningConfig`; its `layers` and `pattern` say what to wrap. Defaults to
            `None` (every layer with a kernel).

    Raises:
        KerasCompressError: If the model is unbuilt, subclassed, prepared already or has nothing
            to prune, or if a weight is NaN or infinite.
    """
    config = config or PruningConfig()
    selection = config.select(model)
    chosen = weights_to_wrap(model, selection, pruned_layers(model), "pruning", "prune")
    return wrap_layers(model, chosen, lambda layer, at, _: Pruned(layer, indices=at))


def finalize(model: Any) -> Any:
    """Return a copy of a pruned model in stock layers, its pruned weights exactly zero.

    Args:
        model: A model from `prepare`, or one that was trained with `PruningCallback`.

    Returns:
        A plain Keras model, compiled like `model` with an optimizer of the user's own kind. A
        subclassed model has only stock layers and is returned itself.
    """
    return unwrap_layers(model)


def report(model: Any, config: PruningConfig | None = None) -> Report:
    """Return per weight what pruning did, or why the weight was left alone.

    Args:
        model: A model during or after pruning, finalized or not.
        config: The `PruningConfig` it was pruned by; its `layers` and `pattern` say what was
            chosen. Defaults to `None` (every layer with a kernel).
    """
    selection = (config or PruningConfig()).select(model)
    masks = {id(v): mask for p in pruned_layers(model) for v, mask in p.masked_weights()}
    worked_on = set(masks) | set(projections_of(model, MaskProjection.kind))
    rows = []
    for ref in selection.chosen:
        values = values_of(ref.variable)
        mask = masks.get(id(ref.variable))
        if mask is not None:
            # What the wrapper computes with; a mask in the optimizer shows in the weight itself.
            values = np.where(values_of(mask), values, 0)
        pruned = id(ref.variable) in worked_on or not np.all(values)
        reason = "" if pruned else "no mask and no zeros"
        rows.append(weight_report(ref, values, "pruned" if pruned else "left alone", reason))
    own = {id(mask) for mask in masks.values()}
    return Report("pruning", (*rows, *left_alone_rows(selection.left_alone, skip=own)))
