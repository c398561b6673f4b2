"""`UpdatePruningStep` and `PruningSummaries`."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_compress.compat.tfmot.event_files import event_writer, require_event_files
from keras_compress.compat.tfmot.sparsity.wrapper import PruneLowMagnitude
from keras_compress.engine.report import values_of
from keras_compress.layers import iter_layers


class UpdatePruningStep(keras.callbacks.Callback):
    """Moves the masks along their schedules; to be given to `fit` of a pruned model.

    The step is one more than the optimizer's `iterations`, so a training that goes on, goes on
    with the schedule. In a loop of your own call `set_model`, `on_train_begin`, before each step
    `on_train_batch_begin` and after each epoch `on_epoch_end`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.step = 0
        self.prunable_layers: list[PruneLowMagnitude] = []
        self._stride = 1

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        model = self.model
        self.prunable_layers = pruned_layers(model)
        optimizer = getattr(model, "optimizer", None)
        # The first batch is step 1 of the schedule, as in tfmot.
        self.step = 1 if optimizer is None else int(values_of(optimizer.iterations)) + 1
        undriven = any(not layer.is_driven for layer in self.prunable_layers)
        if undriven and optimizer is not None and getattr(model, "compiled", False):
            # A training that failed for want of this callback left a half-traced graph.
            model.make_train_function(force=True)
        self._stride = int(getattr(model, "steps_per_execution", 1) or 1)

    def on_train_batch_begin(self, batch: Any, logs: dict[str, Any] | None = None) -> None:
        for layer in self.prunable_layers:
            if not layer.built:
                # This very step builds it, so that its masks can only follow.
                layer.postpone(self.step)
            elif layer.is_due(self.step):
                # Reading `self.model` hands the JAX trainer's state back to the variables.
                _ = self.model
                layer.advance(self.step)
        self.step += self._stride

    def on_epoch_end(self, batch: Any, logs: dict[str, Any] | None = None) -> None:
        _ = self.model
        for layer in self.prunable_layers:
            if layer.built and layer.is_overdue:
                layer.advance(self.step)
            elif layer.built:
                layer.remask()


class PruningSummaries(keras.callbacks.TensorBoard):
    """TensorBoard with the sparsity of each pruned weight, written as each epoch begins.

    Needs TensorFlow and TensorBoard for the writing, whichever back end trains.

    Args:
        log_dir: Folder of the logs.
        update_freq: As of `keras.callbacks.TensorBoard`. Defaults to `"epoch"`.
        **kwargs: More arguments of `keras.callbacks.TensorBoard`.

    Raises:
        KerasCompressError: A `ValueError`, if TensorFlow or TensorBoard isn't installed.
    """

    def __init__(self, log_dir: str, update_freq: Any = "epoch", **kwargs: Any) -> None:
        require_event_files("PruningSummaries")
        super().__init__(log_dir=log_dir, update_freq=update_freq, **kwargs)
        self._sparsity_writer: Any = None

    def on_epoch_begin(self, epoch: Any, logs: dict[str, Any] | None = None) -> None:
        import tensorflow as tf

        if self._sparsity_writer is None:
            self._sparsity_writer = event_writer(self.log_dir, "metrics")
        optimizer = getattr(self.model, "optimizer", None)
        step = max(int(epoch), 0) if optimizer is None else int(values_of(optimizer.iterations))
        with self._sparsity_writer.as_default(step=step):
            for layer in pruned_layers(self.model):
                for variable, mask in layer.pruning_vars:
                    kept = np.mean((values_of(variable) != 0) & values_of(mask))
                    tf.summary.scalar(f"{layer.name}/{variable.name}/sparsity", 1.0 - kept)
        self._sparsity_writer.flush()


def pruned_layers(model: Any) -> list[PruneLowMagnitude]:
    """Return the pruned layers of `model`, nested ones included."""
    return [layer for _, layer in iter_layers(model) if isinstance(layer, PruneLowMagnitude)]
