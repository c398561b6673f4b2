"""Step counting that the callbacks share."""

from __future__ import annotations

from typing import Any

import keras

from keras_compress.errors import KerasCompressError


class StepCallback(keras.callbacks.Callback):
    """Calls `on_step(step)` before the first training step and after every execution.

    `step` is the number of training steps done, counted from epoch 0: `fit(initial_epoch=5)`
    goes on at the step where epoch 5 begins, and a second `fit` with the same callback goes on
    where the first one stopped. With `steps_per_execution=N` it advances by N at a time.

    Args:
        initial_step: Steps done before the first `fit`, where they can't be told from the epoch
            (data sets of unknown length). Defaults to `None` (told from the epoch).
    """

    def __init__(self, initial_step: int | None = None) -> None:
        super().__init__()
        self.initial_step = initial_step
        self._step: int | None = None
        self._epoch_start = 0

    def attach(self, model: Any) -> bool:
        """Bind to `model` at the start of `fit`; return whether its graph has changed."""
        raise NotImplementedError

    def on_step(self, step: int) -> None:
        """Called with the number of training steps done."""

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if self.attach(self.model):
            self.model.make_train_function(force=True)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._step is None:
            self._step = self._first_step(epoch)
            self.on_step(self._step)
        self._epoch_start = self._step

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._step = self._epoch_start + batch + 1
        self.on_step(self._step)

    def _first_step(self, epoch: int) -> int:
        if self.initial_step is not None:
            return self.initial_step
        steps = (self.params or {}).get("steps")
        if epoch and steps is None:
            raise KerasCompressError(
                "The step at which training resumes must be known. Received: "
                f"initial_epoch={epoch} and data of unknown length. Pass `initial_step=` to the "
                "callback or `steps_per_epoch=` to `fit`."
            )
        return epoch * int(steps) if epoch and steps else 0
