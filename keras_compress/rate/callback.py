"""The price of a bit during `fit`: a pure function of the training step."""

from __future__ import annotations

from typing import Any

import keras

from keras_compress.engine.callback import StepCallback
from keras_compress.errors import KerasCompressError
from keras_compress.rate.config import RateConfig
from keras_compress.rate.lifecycle import estimated_bits, rate_aware_layers


class RateCallback(StepCallback):
    """Sets what a bit costs in a model from `rate.prepare` while `fit` runs.

    Without it the layers of the model round their weights and bits are free. The estimated size
    of the weights is logged as `rate_bytes` at the end of each epoch.

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
        KerasCompressError: At the begin of `fit`, if the model has no `RateAware` layer.
    """

    def __init__(self, config: RateConfig | float, initial_step: int | None = None) -> None:
        super().__init__(initial_step)
        self.config = config if isinstance(config, RateConfig) else RateConfig(config)
        self._strengths: list[Any] = []
        self._set_to: float | None = None

    def attach(self, model: Any, step: int) -> bool:
        layers = rate_aware_layers(model)
        if not layers:
            raise KerasCompressError(
                "`RateCallback` needs a model with `RateAware` layers. "
                f"Received: {model.name!r} without any. Call `rate.prepare(model, config)` first; "
                "a subclassed model can't be prepared, as its graph is unknown."
            )
        self._strengths = [layer.strength for layer in layers]
        self._set_to = None
        self.on_step(step)
        return False

    def on_step(self, step: int) -> None:
        strength = self.config.strength(step)
        # Reading `self.model` hands the JAX trainer's state back to the variables: only when due.
        if strength != self._set_to and self.model is not None:
            for variable in self._strengths:
                variable.assign(strength)
            self._set_to = strength

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is not None and self.model is not None:
            logs["rate_bytes"] = float(keras.ops.convert_to_numpy(estimated_bits(self.model))) / 8
