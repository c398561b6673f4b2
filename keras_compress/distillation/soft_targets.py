"""Soft targets: the student learns the teacher's whole distribution, not its first guess."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras

from keras_compress.distillation.heads import UNKNOWN, heads_of
from keras_compress.distillation.label_losses import per_output
from keras_compress.distillation.output_kinds import KINDS, Output, decide, refuse_contradiction
from keras_compress.distillation.softened import SoftenedLoss
from keras_compress.distillation.weighting import replicas
from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor


@keras.saving.register_keras_serializable(package="keras_compress")
class SoftTargets(keras.distillation.LogitsDistillation):
    """Distance of the student's softened predictions from the teacher's, for every output.

    By the kind of the output:

    * `"softmax"`, one class of several along the last axis:
      `T^2 * KL(softmax(z_teacher / T) || softmax(z_student / T))` (Hinton, Vinyals and Dean,
      arXiv 1503.02531, section 2; the factor keeps the gradient's size when T is changed,
      section 2.1);
    * `"sigmoid"`, each unit a yes or no: the same divergence of the two-sided distributions
      `sigmoid(z / T)`, averaged over the units;
    * `"regression"`: the mean squared difference of the outputs; T has no part in it.

    Averaged over the samples, and over the steps of a sequence that the student's mask keeps. With
    several teachers the losses are averaged, whose gradient is that of the divergence from the
    mean of the teachers' distributions. The losses of several outputs are summed.

    `Distiller` finds out what an output is: from the model's graph, in which softmax and sigmoid
    are recognized as a layer, an activation or an operation and in nested models; else from
    the loss that the model is compiled with. What can't be told is an error that names the
    argument to pass.

    It differs from `keras.distillation.LogitsDistillation` in taking logarithms of softmax
    directly, so that the small probabilities that carry the knowledge aren't clipped at 1e-7,
    and in taking outputs of all these kinds.

    Example:

    ```python
    loss = SoftTargets(temperature=4.0)
    ```

    Args:
        temperature: T, above 0. Defaults to `4.0`.
        from_logits: Whether the student's outputs are logits, `False` for probabilities.
            Defaults to `None` (found out).
        teacher_from_logits: The same of the teachers' outputs. Defaults to `None` (found out).
        kind: `"softmax"`, `"sigmoid"` or `"regression"`. Defaults to `None` (found out).
        output_weights: Weight of an output in the sum; one of weight 0 isn't taught. Defaults
            to `1.0`.

    For a model of several outputs, `from_logits`, `teacher_from_logits`, `kind` and
    `output_weights` may each be a list or dict in the structure of the outputs.

    Raises:
        KerasCompressError: If an argument is out of its range.
    """

    #: `compute_loss` gives the mean over the samples of the replica.
    mean_of_replica = True

    def __init__(
        self,
        temperature: float = 4.0,
        from_logits: object = None,
        teacher_from_logits: object = None,
        kind: object = None,
        output_weights: object = 1.0,
    ) -> None:
        number = isinstance(temperature, int | float) and not isinstance(temperature, bool)
        if not number or not 0 < temperature < float("inf"):
            raise KerasCompressError(
                "`temperature` must be a finite number above 0. "
                f"Received: temperature={temperature!r}."
            )
        _require("from_logits", from_logits, (None, True, False))
        _require("teacher_from_logits", teacher_from_logits, (None, True, False))
        _require("kind", kind, (None, *KINDS))
        for weight in keras.tree.flatten(output_weights):
            number = isinstance(weight, int | float) and not isinstance(weight, bool)
            if not number or not 0 <= weight < math.inf:
                raise KerasCompressError(
                    "`output_weights` must be finite numbers of at least 0. "
                    f"Received: output_weights={output_weights!r}."
                )
        super().__init__(temperature=temperature)
        self.from_logits = from_logits
        self.teacher_from_logits = teacher_from_logits
        self.kind = kind
        self.output_weights = output_weights
        self._outputs: tuple[Output, ...] | None = None

    def resolved(
        self,
        outputs: Tensor,
        names: object,
        student_heads: Sequence[str],
        teacher_heads: Sequence[str],
        label_losses: Sequence[object] | None,
    ) -> SoftTargets:
        """Return this loss with all that was to be found out of the outputs.

        Args:
            outputs: The student's outputs, in their structure.
            names: Their names, flattened, or `None`.
            student_heads: What they are, as `heads_of` says.
            teacher_heads: What the teacher's outputs are.
            label_losses: The loss on the labels of each, or `None` where it isn't known.

        Raises:
            KerasCompressError: If it can't be found out, or contradicts the arguments.
        """
        flat = keras.tree.flatten(outputs)
        given = [
            self._spread(name, outputs, names)
            for name in ("kind", "from_logits", "teacher_from_logits", "output_weights")
        ]
        found = []
        for i, output in enumerate(flat):
            kind, logits, teacher_logits, weight = (each[i] for each in given)
            if not weight:
                found.append(Output("regression", None, None, 0.0))
                continue
            found.append(
                decide(
                    f"output {i}" if len(flat) > 1 else "the output",
                    kind,
                    logits,
                    teacher_logits,
                    float(weight),
                    student_heads[i] if len(student_heads) == len(flat) else UNKNOWN,
                    teacher_heads[i] if len(teacher_heads) == len(flat) else UNKNOWN,
                    label_losses[i] if label_losses else None,
                    output.shape[-1] if len(output.shape) > 1 else 1,
                )
            )
        loss = copy.copy(self)
        loss._outputs = tuple(found)
        return loss

    def _spread(self, name: str, outputs: Tensor, names: object) -> list[Any]:
        missing = 1.0 if name == "output_weights" else None
        spread = per_output(getattr(self, name), outputs, names, missing)
        if spread is None:
            raise KerasCompressError(
                f"`{name}` of `SoftTargets` must be one value, or have the structure of the "
                f"outputs. Received: {name}={getattr(self, name)!r} for "
                f"{keras.tree.map_structure(lambda tensor: tuple(tensor.shape), outputs)}."
            )
        return spread

    def validate_model_compatibility(self, teacher: keras.Model, student: keras.Model) -> None:
        """Raise if a model plainly ends otherwise than the loss was told.

        Raises:
            KerasCompressError: If a model ends in a softmax or sigmoid whose outputs are said to
                be logits, or the other way round.
        """
        for model, argument in ((teacher, "teacher_from_logits"), (student, "from_logits")):
            heads = heads_of(model, by_loss=False)
            logits = per_output(getattr(self, argument), [None] * len(heads))
            kinds = per_output(self.kind, [None] * len(heads))
            for i, head in enumerate(heads):
                where = f"{model.name!r}" + (f", output {i}," if len(heads) > 1 else "")
                kind = kinds[i] if kinds else None
                refuse_contradiction(where, argument, logits[i] if logits else None, head, kind)

    def validate_outputs(self, teacher_outputs: Tensor, student_outputs: Tensor) -> None:
        """Raise unless both have the same structure and shapes.

        Raises:
            KerasCompressError: If the number of outputs or the shape of one differs.
        """
        theirs, ours = keras.tree.flatten(teacher_outputs), keras.tree.flatten(student_outputs)
        same = len(theirs) == len(ours)
        if same and len(ours) > 1:
            try:
                keras.tree.assert_same_paths(teacher_outputs, student_outputs)
            except ValueError:
                same = False
        shapes = [[tuple(tensor.shape) for tensor in each] for each in (theirs, ours)]
        if not same or any(a[1:] != b[1:] for a, b in zip(*shapes, strict=True)):
            one = len(theirs) == len(ours) == 1
            raise KerasCompressError(
                "The teacher's outputs must have the shape of the student's. Received: "
                f"{shapes[0][0] if one else shapes[0]} from the teacher and "
                f"{shapes[1][0] if one else shapes[1]} from the student. Take a teacher "
                "of the same outputs, or map its outputs to the student's."
            )

    def compute_loss(
        self, teacher_outputs: Tensor, student_outputs: Tensor, **kwargs: Any
    ) -> Tensor:
        """Return the loss, a scalar.

        Args:
            teacher_outputs: Shape `(batch, ..., classes)`, or a structure of such.
            student_outputs: The same.
            **kwargs: Unused.

        Raises:
            KerasCompressError: If the kind of the outputs was neither given nor, by `Distiller`,
                found out.
        """
        total: Any = 0.0
        outputs = self._outputs or self._given(student_outputs)
        theirs, ours = keras.tree.flatten(teacher_outputs), keras.tree.flatten(student_outputs)
        for output, target, guess in zip(outputs, theirs, ours, strict=True):
            if output.weight:
                loss = SoftenedLoss(output, self.temperature, target.dtype, guess.dtype)
                # A Keras loss divides by the replicas, whose gradients are summed.
                total = total + output.weight * loss(target, guess) * replicas()
        return total

    def _given(self, outputs: Tensor) -> tuple[Output, ...]:
        unknown = [UNKNOWN] * len(keras.tree.flatten(outputs))
        return self.resolved(outputs, None, unknown, unknown, None)._outputs or ()

    def get_config(self) -> dict[str, object]:
        return {
            "temperature": self.temperature,
            "from_logits": self.from_logits,
            "teacher_from_logits": self.teacher_from_logits,
            "kind": self.kind,
            "output_weights": self.output_weights,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SoftTargets:
        return cls(**config)


def _require(name: str, value: Tensor, allowed: tuple[Any, ...]) -> None:
    for each in keras.tree.flatten(value):
        if not any(each is one or (isinstance(one, str) and each == one) for one in allowed):
            raise KerasCompressError(
                f"`{name}` must be one of {', '.join(map(repr, allowed))}, or a structure of "
                f"them in that of the outputs. Received: {name}={value!r}."
            )
