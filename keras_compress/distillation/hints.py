"""Hints: a layer of the student learns to predict a layer of the teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras

from keras_compress.distillation.feature_shapes import (
    require_channels_last,
    require_fitting_ranks,
    require_layer_names,
    resized_like,
)
from keras_compress.distillation.weighting import as_loss, replicas

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor


@keras.saving.register_keras_serializable(package="keras_compress")
class HintProjection(keras.layers.Layer):
    """A linear map of the last axis: the regressor from a student's features to a teacher's.

    It is trained with the student and thrown away with the distiller. Its weight is no
    `kernel`, so pruning and clustering leave it alone.

    Args:
        units: Size of the teacher's last axis.
    """

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = int(units)
        self.supports_masking = True

    def build(self, input_shape: tuple[int, ...]) -> None:
        shape = (int(input_shape[-1]), self.units)
        self.projection = self.add_weight(
            name="projection", shape=shape, initializer="glorot_uniform"
        )
        self.offset = self.add_weight(name="offset", shape=(self.units,), initializer="zeros")

    def call(self, features: Tensor) -> Tensor:
        return keras.ops.matmul(features, self.projection) + self.offset

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[Any, ...]:
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, object]:
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable(package="keras_compress")
class Hints(keras.distillation.FeatureDistillation):
    """Distance between a layer of the student, projected, and a layer of the teacher.

    FitNets (Romero et al., arXiv 1412.6550, section 2.2): where the student's layer is narrower
    than the teacher's, a regressor maps it to the teacher's width; here a linear map of the
    channels, which `Distiller` makes, trains and keeps apart from the student. Maps of another
    height and width are brought to the student's. With equal shapes nothing is projected.

    Example:

    ```python
    loss = Hints(teacher_layer_name="conv5", student_layer_name="conv3")
    ```

    Args:
        teacher_layer_name: Name of the layer to learn from; its output is the hint.
        student_layer_name: Name of the guided layer.
        loss: Name of a Keras loss, a function or an instance. Steps of a sequence that the
            student masks don't count. Defaults to `"mse"`.
        teacher: Which of several teachers gives the hint, from 0. Defaults to `0`.

    Raises:
        KerasCompressError: If a name is missing.
    """

    #: `compute_loss` gives the mean over the samples of the replica.
    mean_of_replica = True

    def __init__(
        self,
        teacher_layer_name: str,
        student_layer_name: str,
        loss: object = "mse",
        teacher: int = 0,
    ) -> None:
        require_layer_names("Hints", teacher_layer_name, student_layer_name)
        super().__init__(loss, teacher_layer_name, student_layer_name)
        self.teacher = int(teacher)
        self._projection: HintProjection | None = None

    def make_projection(self, teacher_shape: Any, student_shape: Any) -> HintProjection | None:
        """Return the layer from the student's features to the teacher's, built; or `None`.

        Args:
            teacher_shape: Shape of the teacher's features, the batch first.
            student_shape: Shape of the student's.

        Raises:
            KerasCompressError: If the shapes don't fit.
        """
        names = (self.teacher_layer_name, self.student_layer_name)
        require_fitting_ranks(names, teacher_shape, student_shape)
        self._projection = None
        if teacher_shape[-1] != student_shape[-1]:
            name = f"hint_{self.student_layer_name}_to_{self.teacher_layer_name}"
            self._projection = HintProjection(
                teacher_shape[-1], name=name.replace("/", "_"), dtype="float32"
            )
            self._projection.build(student_shape)
        return self._projection

    def validate_model_compatibility(self, teacher: keras.Model, student: keras.Model) -> None:
        """Raise if maps have their channels first."""
        super().validate_model_compatibility(teacher, student)
        require_channels_last(teacher, student)

    def validate_outputs(self, teacher_outputs: Tensor, student_outputs: Tensor) -> None:
        names = (self.teacher_layer_name, self.student_layer_name)
        require_fitting_ranks(names, teacher_outputs.shape, student_outputs.shape)

    def compute_loss(
        self, teacher_outputs: Tensor, student_outputs: Tensor, **kwargs: Any
    ) -> Tensor:
        """Return the loss, a scalar.

        Args:
            teacher_outputs: Features of the teacher's layer.
            student_outputs: Features of the student's layer.
            **kwargs: Unused.
        """
        if self._projection is not None:
            student_outputs = self._projection(student_outputs)
        hint = resized_like(keras.ops.cast(teacher_outputs, student_outputs.dtype), student_outputs)
        # A Keras loss leaves out what the student's mask does, and divides by the replicas.
        return as_loss(self.loss)(hint, student_outputs) * replicas()

    def get_config(self) -> dict[str, object]:
        return {**super().get_config(), "teacher": self.teacher}
