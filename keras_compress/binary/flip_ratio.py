"""How many binary weights changed sign: the pulse of a binary net in training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from keras_compress.argument_checks import check_count
from keras_compress.binary.binary_layer import is_binary_variable
from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

__all__ = ["FlipRatio", "FlipRatioCallback"]


@keras.saving.register_keras_serializable(package="keras_compress")
class FlipRatio(keras.metrics.Metric):
    """The share of values that changed sign since the update before, averaged over updates.

    The first update sets the signs to compare with and counts as no flip. `reset_state` starts
    the average anew but keeps the signs.

    Args:
        values_shape: Shape of the values, such as a kernel's.
        name: Name of the metric. Defaults to `"flip_ratio"`.
        dtype: Dtype of the result. Defaults to `None`.
    """

    def __init__(self, values_shape: Any, name: str = "flip_ratio", dtype: object = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.values_shape = tuple(int(size) for size in values_shape)
        self.signs = self.add_variable(
            self.values_shape, initializer="zeros", dtype="int8", name="signs"
        )
        self.total = self.add_variable((), initializer="zeros", dtype="float32", name="total")
        self.updates = self.add_variable((), initializer="zeros", dtype="float32", name="updates")

    def update_state(self, values: Tensor, sample_weight: Tensor | None = None) -> None:
        positive = ops.cast(ops.greater_equal(values, 0), "int8")
        signs = positive + positive - ops.ones_like(positive)
        known = ops.cast(ops.any(ops.not_equal(self.signs, 0)), "float32")
        flipped = ops.mean(ops.cast(ops.not_equal(signs, self.signs), "float32"))
        self.total.assign(self.total + flipped * known)
        self.updates.assign(self.updates + known)
        self.signs.assign(signs)

    def result(self) -> Tensor:
        return ops.divide_no_nan(self.total, self.updates)

    def reset_state(self) -> None:
        self.total.assign(0.0)
        self.updates.assign(0.0)

    def get_config(self) -> dict[str, object]:
        return {**super().get_config(), "values_shape": self.values_shape}


class FlipRatioCallback(keras.callbacks.Callback):
    """Logs the flip ratio of every binary kernel, and their mean, at the end of each epoch.

    The logs are `flip_ratio`, weighted by the number of weights, and `flip_ratio/PATH`.

    Args:
        frequency: Batches between two looks at the weights. Defaults to `1`, the flips of one
            step as in Larq; a look costs about as much as reading the weights.

    Raises:
        KerasCompressError: If `frequency` is less than 1, or the model has no binary kernel.
    """

    def __init__(self, frequency: int = 1) -> None:
        super().__init__()
        self.frequency = check_count("frequency", frequency)

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        found = [v for v in self.model.trainable_variables if is_binary_variable(v)]
        if not found:
            raise KerasCompressError(
                "A flip ratio needs a layer with a kernel of -1 and +1, such as `BinaryConv2D`. "
                f"Received: {self.model.name!r} without one."
            )
        self._watched = [(v, FlipRatio(v.shape)) for v in found]
        for variable, metric in self._watched:
            metric.update_state(ops.convert_to_numpy(variable))

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        for _, metric in self._watched:
            metric.reset_state()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        # Under JAX it is reading `self.model` that brings the weights up to date.
        if (batch + 1) % self.frequency == 0 and self.model is not None:
            for variable, metric in self._watched:
                metric.update_state(ops.convert_to_numpy(variable))

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if logs is None:
            return
        total, size = 0.0, 0
        for variable, metric in self._watched:
            ratio = float(metric.result())
            count = 1
            for side in variable.shape:
                count *= int(side)
            logs[f"flip_ratio/{variable.path}"] = ratio
            total, size = total + ratio * count, size + count
        logs["flip_ratio"] = total / size
