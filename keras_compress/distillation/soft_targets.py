"""Soft targets: the student learns the teacher's whole distribution, not its first guess."""

from __future__ import annotations

from typing import Any

import keras

from keras_compress.errors import KerasCompressError


@keras.saving.register_keras_serializable(package="keras_compress")
class SoftTargets(keras.distillation.LogitsDistillation):
    """Divergence of the student's softened predictions from the teacher's, times T squared.

    `T^2 * KL(softmax(z_teacher / T) || softmax(z_student / T))`, averaged over the samples
    (Hinton, Vinyals and Dean, arXiv 1503.02531, section 2; the factor keeps the gradient's size
    when T is changed, section 2.1). With several teachers the divergences are averaged, whose
    gradient is that of the divergence from the mean of the teachers' distributions.

    It differs from `keras.distillation.LogitsDistillation` in taking logarithms of softmax
    directly, so that the small probabilities that carry the knowledge aren't clipped at 1e-7,
    and in taking models that end in a softmax.

    Example:

    ```python
    loss = SoftTargets(temperature=4.0)
    ```

    Args:
        temperature: T, above 0. Defaults to `4.0`.
        from_logits: Whether the student's outputs are logits, `False` for probabilities.
            Defaults to `True`.
        teacher_from_logits: The same of the teachers' outputs. Defaults to `None` (as the
            student's).

    Raises:
        KerasCompressError: If the temperature is not a number above 0.
    """

    def __init__(
        self,
        temperature: float = 4.0,
        from_logits: bool = True,
        teacher_from_logits: bool | None = None,
    ) -> None:
        number = isinstance(temperature, int | float) and not isinstance(temperature, bool)
        if not number or not 0 < temperature < float("inf"):
            raise KerasCompressError(
                "`temperature` must be a finite number above 0. "
                f"Received: temperature={temperature!r}."
            )
        super().__init__(temperature=temperature)
        self.from_logits = bool(from_logits)
        self.teacher_from_logits = (
            self.from_logits if teacher_from_logits is None else bool(teacher_from_logits)
        )

    def validate_model_compatibility(self, teacher: Any, student: Any) -> None:
        """Raise if a model plainly ends otherwise than the loss was told.

        Raises:
            KerasCompressError: If a model ends in a softmax whose outputs are said to be logits.
        """
        for model, logits, argument in (
            (teacher, self.teacher_from_logits, "teacher_from_logits"),
            (student, self.from_logits, "from_logits"),
        ):
            if logits and _ends_in_softmax(model):
                raise KerasCompressError(
                    f"Soft targets must know whether outputs are logits. Received: {argument}="
                    f"True and {model.name!r}, which ends in a softmax. "
                    f"Pass {argument}=False, or end the model without an activation."
                )

    def validate_outputs(self, teacher_outputs: Any, student_outputs: Any) -> None:
        """Raise unless both are one tensor with the same classes.

        Raises:
            KerasCompressError: If there are several outputs or another number of classes.
        """
        shapes = []
        for outputs in (teacher_outputs, student_outputs):
            if len(keras.tree.flatten(outputs)) != 1:
                raise KerasCompressError(
                    "`SoftTargets` takes models with one output. Received: "
                    f"{len(keras.tree.flatten(outputs))} outputs. Use "
                    "`keras.distillation.LogitsDistillation` with a loss for each."
                )
            shapes.append(tuple(outputs.shape))
        if shapes[0][1:] != shapes[1][1:]:
            raise KerasCompressError(
                "The teacher's outputs must have the shape of the student's. Received: "
                f"{shapes[0]} from the teacher and {shapes[1]} from the student. Take a teacher "
                "of the same classes, or map its outputs to the student's."
            )

    def compute_loss(self, teacher_outputs: Any, student_outputs: Any, **kwargs: Any) -> Any:
        """Return the loss, a scalar.

        Args:
            teacher_outputs: Shape `(batch, ..., classes)`.
            student_outputs: The same shape.
            **kwargs: Unused.
        """
        target = _log_softened(teacher_outputs, self.teacher_from_logits, self.temperature)
        guess = _log_softened(student_outputs, self.from_logits, self.temperature)
        divergence = keras.ops.sum(keras.ops.exp(target) * (target - guess), axis=-1)
        return keras.ops.mean(divergence) * self.temperature**2

    def get_config(self) -> dict[str, Any]:
        return {
            "temperature": self.temperature,
            "from_logits": self.from_logits,
            "teacher_from_logits": self.teacher_from_logits,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SoftTargets:
        return cls(**config)


def _log_softened(outputs: Any, from_logits: bool, temperature: float) -> Any:
    # In float32 whatever the models compute in: half precision has no room for the tails.
    logits = keras.ops.cast(keras.ops.convert_to_tensor(outputs), "float32")
    if not from_logits:
        logits = keras.ops.log(keras.ops.maximum(logits, 1e-30))
    return keras.ops.log_softmax(logits / temperature, axis=-1)


def _ends_in_softmax(model: Any) -> bool:
    layers = getattr(model, "layers", None)
    last = layers[-1] if layers else None
    last = getattr(last, "layer", last)  # behind a wrapper
    if isinstance(last, keras.layers.Softmax):
        return True
    return getattr(last, "activation", None) is keras.activations.softmax
