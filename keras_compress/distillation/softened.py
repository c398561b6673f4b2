"""The divergence of softened outputs, position by position."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras

from keras_compress.distillation.output_kinds import REGRESSION, Output

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

# The least probability above 0 that a type holds, and the least step below 1: what was rounded
# to 0 or 1 lies there or beyond.
_MIN = {"float16": 2.0**-24}
_MIN_BELOW_ONE = {"float16": 2.0**-12, "bfloat16": 2.0**-9}


class SoftenedLoss(keras.losses.Loss):
    """The loss on one output, which as a Keras loss knows masks and replicas.

    In float32 whatever the models compute in: half precision has no room for the tails.

    Args:
        output: How the output is taught.
        temperature: T.
        teacher_dtype: Type in which the teacher's outputs come.
        student_dtype: Type of the student's.
    """

    def __init__(
        self, output: Output, temperature: float, teacher_dtype: object, student_dtype: object
    ) -> None:
        super().__init__(name="soft_targets", dtype="float32")
        self.output = output
        self.temperature = temperature
        self.dtypes = [
            keras.backend.standardize_dtype(each) for each in (teacher_dtype, student_dtype)
        ]

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the divergence at each position: the shape without the last axis."""
        ops = keras.ops
        if len(y_pred.shape) == 1:
            y_true, y_pred = ops.expand_dims(y_true, -1), ops.expand_dims(y_pred, -1)
        if self.output.kind == REGRESSION:
            return ops.mean(ops.square(y_true - y_pred), axis=-1)
        both = zip(
            (y_true, y_pred),
            (self.output.teacher_from_logits, self.output.from_logits),
            self.dtypes,
            strict=True,
        )
        if self.output.kind == "softmax":
            target, guess = (
                ops.log_softmax(_class_logits(*each) / self.temperature, axis=-1) for each in both
            )
            divergence = ops.sum(ops.exp(target) * (target - guess), axis=-1)
        else:
            target, guess = (_unit_logits(*each) / self.temperature for each in both)
            divergence = 0.0
            for sign in (1.0, -1.0):
                theirs, ours = ops.log_sigmoid(sign * target), ops.log_sigmoid(sign * guess)
                divergence = divergence + ops.exp(theirs) * (theirs - ours)
            divergence = ops.mean(divergence, axis=-1)
        return divergence * self.temperature**2


def _class_logits(outputs: Tensor, from_logits: bool | None, dtype: str) -> Tensor:
    if from_logits:
        return outputs
    return keras.ops.log(keras.ops.maximum(outputs, _MIN.get(dtype, 1e-30)))


def _unit_logits(outputs: Tensor, from_logits: bool | None, dtype: str) -> Tensor:
    if from_logits:
        return outputs
    yes = keras.ops.maximum(outputs, _MIN.get(dtype, 1e-30))
    no = keras.ops.maximum(1.0 - outputs, _MIN_BELOW_ONE.get(dtype, 2.0**-25))
    return keras.ops.log(yes) - keras.ops.log(no)
