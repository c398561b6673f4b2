"""Keeps what was found out of the outputs, for each loss and each teacher."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from keras_compress.distillation.heads import heads_of
from keras_compress.distillation.label_losses import per_output
from keras_compress.distillation.soft_targets import SoftTargets
from keras_compress.distillation.teachers import symbolic_outputs

if TYPE_CHECKING:
    import keras

    from keras_compress.tensor import Tensor


class TeachingPlans:
    """How the outputs of a student are taught by each of its teachers.

    Args:
        student: The student.
        losses: The distillation losses.
        heads: For each teacher what its outputs are, as `heads_of` says.
    """

    def __init__(
        self, student: keras.Model, losses: Sequence[object], heads: Sequence[Sequence[str]]
    ) -> None:
        self.student = student
        self.losses = list(losses)
        self.heads = [tuple(each) for each in heads]
        self._label_loss: Any = None
        self._made: dict[tuple[int, int], Any] = {}

    @property
    def teachers(self) -> int:
        """How many teachers there are, models or cached."""
        return len(self.heads)

    def make(self, label_loss: object) -> None:
        """Find out all that is known before any training.

        Args:
            label_loss: What `compile` took as loss on the labels.

        Raises:
            KerasCompressError: If what an output is can't be told.
        """
        self._label_loss = label_loss
        self._made.clear()
        outputs = symbolic_outputs(self.student)
        if outputs is not None:
            for place in range(len(self.losses)):
                for teacher in range(self.teachers):
                    self.planned(place, teacher, outputs)

    def planned(self, place: int, teacher: int, outputs: Tensor) -> Any:
        """Return a loss, told what the outputs of the student and of one teacher are.

        Args:
            place: Of the loss.
            teacher: Of the teacher.
            outputs: The student's outputs.
        """
        loss = self.losses[place]
        if not isinstance(loss, SoftTargets):
            return loss
        if (place, teacher) not in self._made:
            names = getattr(self.student, "output_names", None)
            self._made[place, teacher] = loss.resolved(
                outputs,
                names,
                heads_of(self.student, outputs, by_loss=False),
                self.heads[teacher] if teacher < self.teachers else (),
                per_output(self._label_loss, outputs, names),
            )
        return self._made[place, teacher]
