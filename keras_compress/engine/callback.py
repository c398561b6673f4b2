"""Step counting that the callbacks share."""

from __future__ import annotations

import weakref
from typing import Any

import keras

from keras_compress.errors import KerasCompressError


class StepCallback(keras.callbacks.Callback):
    """Calls `attach(model, step)` before the first training step, `on_step(step)` after each.

    `step` is the number of training steps done, counted from epoch 0: `fit(initial_epoch=5)`
    goes on at the step where epoch 5 begins, and a second `fit` of the same model with the same
    callback goes on where the first one stopped. Another model, and a copy of the callback, begin
    anew. With `steps_per_execution=N` it advances by N at a time.

    Args:
        initial_step: Steps done before the first `fit` of a model, where they can't be told from
            the epoch (data sets of unknown length). Defaults to `None` (told from the epoch).
    """

    def __init__(self, initial_step: int | None = None) -> None:
        super().__init__()
        self.initial_step = initial_step
        self.forget()

    def forget(self) -> None:
        """Forget the model that was trained; subclasses add what they hold of it."""
        self._trained: weakref.ref[Any] | None = None
        self._step: int | None = None
        self._epoch_start = 0
        self._attached = False

    def attach(self, model: keras.Model, step: int) -> bool:
        """Bind to `model` at the start of `fit`, with `step` training steps done before.

        Returns whether a training graph traced earlier has become stale.
        """
        raise NotImplementedError

    def on_step(self, step: int) -> None:
        """Called with the number of training steps done."""

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self._attached = False

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        model = self.model
        if self._trained is None or self._trained() is not model:
            self.forget()
            self._trained = weakref.ref(model)
        # The first step is told from the first epoch, which `on_train_begin` doesn't know.
        if self._step is None:
            self._step = self._first_step(epoch)
        if not self._attached:
            self.attach_now()
        self._epoch_start = self._step

    def attach_now(self) -> None:
        """Bind to the model as it is, and have its training graph traced again if need be."""
        if self.attach(self.model, self._step or 0):
            self.model.make_train_function(force=True)
        self._attached = True

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        # The last execution of an epoch may be cut short; Keras counts it as a whole one.
        done = min(batch + 1, self._steps_per_epoch() or batch + 1)
        self._step = self._epoch_start + done
        self.on_step(self._step)
        if done == self._steps_per_epoch():
            self.on_last_step()

    def on_last_step(self) -> None:
        """Called after the last step of an epoch of known length, before other callbacks act."""

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

    def __getstate__(self) -> dict[str, Any]:
        # Copied or pickled, a callback takes no model along, and no place in a schedule.
        copy = type(self).__new__(type(self))
        copy.__dict__.update(self.__dict__)
        copy.__dict__.update(vars(keras.callbacks.Callback()))
        copy.forget()
        return copy.__dict__
