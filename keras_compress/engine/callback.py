"""Step counting that the callbacks share."""

from __future__ import annotations

from typing import Any

import keras

from keras_compress.errors import KerasCompressError


class StepCallback(keras.callbacks.Callback):
    """Calls `attach(model, step)` before the first training step, `on_step(step)` after each.

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
        self._attached = False

    def attach(self, model: Any, step: int) -> bool:
        """Bind to `model` at the start of `fit`, with `step` training steps done before.

        Returns whether a training graph traced earlier has become stale.
        """
        raise NotImplementedError

    def on_step(self, step: int) -> None:
        """Called with the number of training steps done."""

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._attached = False

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        # The first step is told from the first epoch, which `on_train_begin` doesn't know.
        if self._step is None:
            self._step = self._first_step(epoch)
        if not self._attached:
            if self.attach(self.model, self._step):
                self.model.make_train_function(force=True)
            self._attached = True
        self._epoch_start = self._step

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        # The last execution of an epoch may be cut short; Keras counts it as a whole one.
        done = min(batch + 1, self._steps_per_epoch() or batch + 1)
        self._step = self._epoch_start + done
        self.on_step(self._step)

    def _first_step(self, epoch: int) -> int:
        if self.initial_step is not None:
            return self.initial_step
        steps = self._steps_per_epoch()
        if epoch and steps is None:
            raise KerasCompressError(
                "The step at which training resumes must be known. Received: "
                f"initial_epoch={epoch} and data of unknown length. Pass `initial_step=` to the "
                "callback or `steps_per_epoch=` to `fit`."
            )
        return epoch * steps if epoch and steps else 0

    def _steps_per_epoch(self) -> int | None:
        steps = (self.params or {}).get("steps")
        return None if steps is None else int(steps)
