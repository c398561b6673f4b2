"""Weights of losses over time, and losses that are right on several replicas."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras

from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor


class FunctionLoss(keras.losses.Loss):
    """A loss function as a `Loss`, which knows sample weights and replicas."""

    def __init__(self, function: Any) -> None:
        super().__init__(name=getattr(function, "__name__", None))
        self.function = function

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return self.function(y_true, y_pred)


def as_loss(loss: Any) -> keras.losses.Loss:
    """Return a Keras loss for a name, a function or a loss."""
    loss = keras.losses.get(loss)
    return loss if isinstance(loss, keras.losses.Loss) else FunctionLoss(loss)


def replicas() -> int:
    """Return on how many replicas the step runs.

    Their gradients are summed, so each divides its loss by this; Keras' own losses do so
    themselves.
    """
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return int(tf.distribute.get_strategy().num_replicas_in_sync)


def on_replica(loss: Any, value: Tensor) -> Tensor:
    """Return the value of a distillation loss as the mean over the samples of the replica.

    Keras' own losses on outputs and features give that, or that divided by the replicas, by
    whether they hold a function or a `keras.losses.Loss`.
    """
    held = [each for each in keras.tree.flatten(getattr(loss, "loss", None)) if each is not None]
    if getattr(loss, "mean_of_replica", False) or not held:
        return value
    divided = all(isinstance(each, keras.losses.Loss) for each in held)
    return value * replicas() if divided else value


def check_student_loss_weight(weight: float | Callable[[Any], Any]) -> None:
    """Raise unless `weight` is a schedule or a number from 0 to 1."""
    if callable(weight):
        return
    number = isinstance(weight, int | float) and not isinstance(weight, bool)
    if not number or not 0.0 <= weight <= 1.0:
        raise KerasCompressError(
            "`student_loss_weight` must be a number from 0 to 1 or a schedule of the step. "
            f"Received: student_loss_weight={weight!r}."
        )


def weight_at(weight: float | Callable[[Any], Any], step: Any) -> Tensor:
    """Return the weight at `step`, a float tensor: a number itself, or a schedule's value."""
    return keras.ops.cast(weight(step), "float32") if callable(weight) else float(weight)
