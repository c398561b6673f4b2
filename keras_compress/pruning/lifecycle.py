"""`prepare` and `report` of pruning."""

from __future__ import annotations

import keras
import numpy as np

from keras_compress.engine.cloning import wrap_layers
from keras_compress.engine.effects import technique_report
from keras_compress.engine.preparation import weights_to_wrap
from keras_compress.engine.report import Report
from keras_compress.engine.technique import Technique, register_technique
from keras_compress.pruning.config import PruningConfig
from keras_compress.pruning.pruner import pruned_layers
from keras_compress.pruning.surgery import SurgeryConfig, prepare_surgery
from keras_compress.pruning.wrapper import Pruned


def prepare(model: keras.Model, config: PruningConfig | None = None) -> keras.Model:
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


def report(model: keras.Model, config: PruningConfig | SurgeryConfig | None = None) -> Report:
    """Return per weight what pruning did, or why the weight was left alone.

    Args:
        model: A model during or after pruning, finalized or not.
        config: The settings it was pruned by, which say what was chosen. Defaults to `None`
            (every layer with a kernel).
    """
    selection = (config or PruningConfig()).select(model)

    def why_not(values: np.ndarray) -> str | None:
        return "no mask and no zeros" if np.all(values) else None

    return technique_report("pruning", "pruned", model, selection, why_not)


register_technique(PruningConfig, Technique("pruning", prepare, report))
register_technique(SurgeryConfig, Technique("pruning", prepare_surgery, report))
