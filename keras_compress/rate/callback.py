"""The price of a bit during `fit`: by the training step, or such that a size is met."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import numpy as np

from keras_compress.engine.callback import StepCallback
from keras_compress.engine.cloning import require_removable
from keras_compress.errors import KerasCompressError
from keras_compress.rate.config import RateConfig
from keras_compress.rate.lifecycle import estimated_bits, rate_aware_layers
from keras_compress.rate.wrapper import RateAware

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor


class RateCallback(StepCallback):
    """Sets what a bit costs in a model from `rate.prepare` while `fit` runs.

    Without it the layers of the model round their weights and bits are free. The estimated size
    of the weights is logged as `rate_bytes` at the end of each epoch, and with `target_bytes`
    the price as `rate_weight`. A price that was moved towards the target is saved with the model,
    and so are the bits it was moved for (`RateAware.strength`, `bits_before`): a `fit` that goes
    on after epoch 0 begins with them.

    Example:

    ```python
    config = RateConfig(rate_weight=1e-5, ramp_steps=2000)
    model = rate.prepare(model, config)
    model.fit(x, y, epochs=20, callbacks=[RateCallback(config)])
    small = rate.finalize(model)
    ```

    Args:
        config: A `RateConfig`, or its `rate_weight`.
        initial_step: Training steps done before the first `fit`, for data sets of unknown
            length only. Defaults to `None`.

    Raises:
        KerasCompressError: At the begin of `fit`, if the model has no `RateAware` layer, or one
            that `finalize` couldn't take off.
    """

    def __init__(self, config: RateConfig | float, initial_step: int | None = None) -> None:
        super().__init__(initial_step)
        self.config = config if isinstance(config, RateConfig) else RateConfig(config)

    def forget(self) -> None:
        super().forget()
        self._aware: list[RateAware] = []
        self._set_to: float | None = None
        self._price: float | None = None  # moved towards the target, else by the step

    def attach(self, model: keras.Model, step: int) -> bool:
        layers = rate_aware_layers(model)
        if not layers:
            raise KerasCompressError(
                "`RateCallback` needs a model with `RateAware` layers. "
                f"Received: {model.name!r} without any. Call `rate.prepare(model, config)` first; "
                "a subclassed model can't be prepared, as its graph is unknown."
            )
        require_removable(model)
        self._aware = layers
        self._set_to = None
        saved = _number(layers[0].strength)
        self._price = saved if self._aims(step) and saved > 0 else None
        self.on_step(step)
        return False

    def on_step(self, step: int) -> None:
        strength = self.config.strength(step) if self._price is None else self._price
        # Reading `self.model` hands the JAX trainer's state back to the variables: only when due.
        if strength != self._set_to and self.model is not None:
            for layer in self._aware:
                layer.strength.assign(strength)
            self._set_to = strength

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        super().on_epoch_begin(epoch, logs)
        # Not at the end of the epoch before: callbacks that save the model have run by now, and
        # a training that goes on from their file comes to the same price.
        step = self._step or 0
        if self.model is not None and self._aims(step):
            price = self._price or self.config.strength(step)
            before = sum(_number(layer.bits_before) for layer in self._aware) / 8
            for layer in self._aware:
                layer.bits_before.assign(layer.bits())
            size = sum(_number(layer.bits_before) for layer in self._aware) / 8
            # As the variable holds it, and a file.
            self._price = float(np.float32(self.config.corrected(price, size, before)))
            self.on_step(step)

    def on_epoch_end(self, epoch: int, logs: dict[str, float | None] | None = None) -> None:
        if logs is not None and self.model is not None:
            logs["rate_bytes"] = _number(estimated_bits(self.model)) / 8
            if self.config.target_bytes is not None:
                logs["rate_weight"] = self._set_to

    def _aims(self, step: int) -> bool:
        return self.config.target_bytes is not None and step > 0 and self.config.priced(step)


def _number(value: Tensor) -> float:
    return float(keras.ops.convert_to_numpy(value))
