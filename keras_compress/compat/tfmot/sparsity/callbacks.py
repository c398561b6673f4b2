"""`UpdatePruningStep` and `PruningSummaries`."""

from __future__ import annotations

from typing import Any

import keras

from keras_compress.compat.tfmot.event_files import (
    event_writer,
    require_event_files,
    require_log_dir,
)
from keras_compress.compat.tfmot.sparsity.impl import summaries_of
from keras_compress.compat.tfmot.sparsity.wrapper import PruneLowMagnitude
from keras_compress.engine.report import values_of
from keras_compress.layers import iter_layers


class UpdatePruningStep(keras.callbacks.Callback):
    """Starts the count of steps of a pruned model, and zeroes what is pruned after each epoch.

    In a loop of your own call `set_model`, `on_train_begin`, and after each epoch `on_epoch_end`.
    A model that was saved goes on with the step at which it stopped.
    """

    def __init__(self) -> None:
        super().__init__()
        self.prunable_layers: list[PruneLowMagnitude] = []

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        # Reading `self.model` hands the JAX trainer's state back to the variables.
        model = self.model
        self.prunable_layers = pruned_layers(model)
        undriven = any(not layer.is_driven for layer in self.prunable_layers)
        if undriven and getattr(model, "optimizer", None) is not None and model.compiled:
            # A training that failed for want of this callback left a half-traced graph.
            model.make_train_function(force=True)
        for layer in self.prunable_layers:
            layer.begin()

    def on_epoch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        _ = self.model
        for layer in self.prunable_layers:
            if layer.pruning_obj is not None:
                layer.pruning_obj.weight_mask_op()


class PruningSummaries(keras.callbacks.TensorBoard):
    """TensorBoard with sparsity and threshold of each pruned weight, as each epoch begins.

    Needs TensorFlow and TensorBoard for the writing, whichever back end trains.

    Args:
        log_dir: Folder of the logs, a text that isn't empty.
        update_freq: As of `keras.callbacks.TensorBoard`. Defaults to `"epoch"`.
        **kwargs: More arguments of `keras.callbacks.TensorBoard`.

    Raises:
        KerasCompressError: A `ValueError`, if `log_dir` is no text, or TensorFlow or TensorBoard
            isn't installed.
    """

    def __init__(self, log_dir: str, update_freq: object = "epoch", **kwargs: Any) -> None:
        require_log_dir(log_dir)
        require_event_files("PruningSummaries")
        super().__init__(log_dir=log_dir, update_freq=update_freq, **kwargs)
        self._sparsity_writer: Any = event_writer(self.log_dir, "metrics")

    def on_epoch_begin(self, epoch: Any, logs: dict[str, float] | None = None) -> None:
        import tensorflow as tf

        if logs is not None:
            super().on_epoch_begin(epoch, logs)
        optimizer = getattr(self.model, "optimizer", None)
        step = max(int(epoch), 0) if optimizer is None else int(values_of(optimizer.iterations))
        with self._sparsity_writer.as_default(step=step):
            for layer in pruned_layers(self.model):
                for name, value in summaries_of(layer.pruning_vars).items():
                    tf.summary.scalar(name, value)
        self._sparsity_writer.flush()


def pruned_layers(model: keras.Model) -> list[PruneLowMagnitude]:
    """Return the pruned layers of `model`, nested ones included."""
    return [layer for _, layer in iter_layers(model) if isinstance(layer, PruneLowMagnitude)]
