"""Attention transfer: where the student looks, rather than what it sees there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras

from keras_compress.distillation.feature_shapes import (
    require_channels_last,
    require_fitting_ranks,
    require_layer_names,
    resized_like,
)
from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor


@keras.saving.register_keras_serializable(package="keras_compress")
class AttentionTransfer(keras.distillation.FeatureDistillation):
    """Squared distance between the normalized attention maps of two layers.

    A map is the sum over the channels of `|activation| ** power`, flattened and brought to unit
    length (Zagoruyko and Komodakis, arXiv 1612.03928, section 3.1, eq. 2). As channels are summed
    out, layers of any widths fit without a projection; maps of another height and width are
    brought to the student's.

    Example:

    ```python
    losses = [SoftTargets(4.0), AttentionTransfer("stage3", "stage3")]
    distiller = Distiller(teacher, student, losses, distillation_loss_weights=[1.0, 1000.0])
    ```

    Args:
        teacher_layer_name: Name of the teacher's layer, with output
            `(batch, height, width, channels)`.
        student_layer_name: Name of the student's layer.
        power: Exponent of the activations, at least 1: below, the gradient at 0 is infinite.
            Defaults to `2.0`.
        teacher: Which of several teachers to attend to, from 0. Defaults to `0`.

    Raises:
        KerasCompressError: If a name is missing or the power is below 1.
    """

    #: `compute_loss` gives the mean over the samples of the replica.
    mean_of_replica = True

    def __init__(
        self,
        teacher_layer_name: str,
        student_layer_name: str,
        power: float = 2.0,
        teacher: int = 0,
    ) -> None:
        require_layer_names("AttentionTransfer", teacher_layer_name, student_layer_name)
        if not 1 <= float(power) < float("inf"):
            raise KerasCompressError(f"`power` must be at least 1. Received: power={power!r}.")
        super().__init__("mse", teacher_layer_name, student_layer_name)
        self.power = float(power)
        self.teacher = int(teacher)

    def validate_model_compatibility(self, teacher: keras.Model, student: keras.Model) -> None:
        """Raise if maps have their channels first."""
        super().validate_model_compatibility(teacher, student)
        require_channels_last(teacher, student)

    def validate_outputs(self, teacher_outputs: Tensor, student_outputs: Tensor) -> None:
        names = (self.teacher_layer_name, self.student_layer_name)
        require_fitting_ranks(names, teacher_outputs.shape, student_outputs.shape, rank=4)

    def compute_loss(
        self, teacher_outputs: Tensor, student_outputs: Tensor, **kwargs: Any
    ) -> Tensor:
        """Return the loss, a scalar: the mean over the samples.

        Args:
            teacher_outputs: Shape `(batch, height, width, channels)`.
            student_outputs: The same but for height, width and channels.
            **kwargs: Unused.
        """
        target = self._attention(teacher_outputs)
        attention = self._attention(student_outputs)
        difference = _unit_length(attention) - _unit_length(resized_like(target, attention))
        return keras.ops.mean(keras.ops.sum(keras.ops.square(difference), axis=-1))

    def _attention(self, features: Tensor) -> Tensor:
        strength = keras.ops.abs(keras.ops.cast(features, "float32"))
        return keras.ops.sum(strength**self.power, axis=-1, keepdims=True)

    def get_config(self) -> dict[str, object]:
        return {
            "teacher_layer_name": self.teacher_layer_name,
            "student_layer_name": self.student_layer_name,
            "power": self.power,
            "teacher": self.teacher,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> AttentionTransfer:
        return cls(**config)


def _unit_length(maps: Any) -> Tensor:
    size = int(maps.shape[1]) * int(maps.shape[2])
    flat = keras.ops.reshape(maps, (-1, size))
    # A dead layer has no attention: zero stays zero, with a finite gradient.
    length = keras.ops.sqrt(keras.ops.sum(keras.ops.square(flat), axis=-1, keepdims=True) + 1e-12)
    return flat / length
