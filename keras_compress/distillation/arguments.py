"""What a `Distiller` refuses: models, losses and weights that don't go together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras

from keras_compress.distillation.cache import TeacherCache
from keras_compress.distillation.heads import LINEAR, UNKNOWN, heads_of
from keras_compress.distillation.label_losses import per_output
from keras_compress.distillation.soft_targets import SoftTargets
from keras_compress.distillation.teachers import FrozenTeachers
from keras_compress.engine.weights import require_built
from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

#: What `Distiller` does itself; a student's own way of it would be passed over in silence.
_OWN_WAYS = ("train_step", "test_step", "compute_loss", "compute_metrics")


def check_student(student: keras.Model) -> None:
    """Raise unless `student` is a built model that is trained in Keras' own way."""
    require_built(student)
    for method in _OWN_WAYS:
        if getattr(type(student), method) is not getattr(keras.Model, method):
            raise KerasCompressError(
                "A distiller trains its student by a step of its own. Received: "
                f"{student.name!r}, a {type(student).__name__} with its own `{method}`, which "
                "would not be called. Take a plain model of its layers, such as "
                "`keras.Model(student.input, student.output)`."
            )


def as_teachers(teacher: keras.Model) -> list[keras.Model]:
    """Return the models among what was given as teachers."""
    if teacher is None or isinstance(teacher, TeacherCache):
        return []
    if isinstance(teacher, FrozenTeachers):
        return list(teacher.models)
    return list(teacher) if isinstance(teacher, list | tuple) else [teacher]


def as_losses(losses: object) -> list[Any]:
    """Return the distillation losses as a list."""
    if losses is None:
        return [SoftTargets()]
    losses = list(losses) if isinstance(losses, list | tuple) else [losses]
    for loss in losses:
        if not isinstance(loss, keras.distillation.DistillationLoss):
            raise KerasCompressError(
                "`distillation_losses` takes `keras.distillation.DistillationLoss` objects. "
                f"Received: {loss!r}."
            )
    return losses


def as_weights(weights: Any, losses: int) -> list[Any]:
    """Return a weight, a number or a schedule, for each loss."""
    if weights is None:
        weights = 1.0 if losses == 1 else [1.0] * losses
    weights = list(weights) if isinstance(weights, list | tuple) else [weights]
    for weight in weights:
        number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not callable(weight) and not (number and 0 <= weight < math.inf):
            raise KerasCompressError(
                "`distillation_loss_weights` must be finite numbers of at least 0 or schedules of "
                f"the step. Received: {weight!r}."
            )
    if len(weights) != losses:
        raise KerasCompressError(
            "There must be a weight for each distillation loss. Received: "
            f"{len(weights)} weights and {losses} losses."
        )
    return weights


def as_shares(weights: Sequence[float] | None, teachers: int) -> list[float] | None:
    """Return the share of each teacher, of sum 1; `None` for equal ones."""
    if weights is None:
        return None
    shares = [float(weight) for weight in weights]
    wrong = teachers and len(shares) != teachers
    if wrong or not all(0 <= share < math.inf for share in shares) or not sum(shares) > 0:
        raise KerasCompressError(
            "`teacher_weights` must be a number of at least 0 for each teacher, not all 0. "
            f"Received: {list(weights)} for {teachers} teachers."
        )
    return [share / sum(shares) for share in shares]


def check_models(teachers: list[Any], student: keras.Model, losses: list[Any], heard: int) -> None:
    """Raise unless the teachers are built, fit the student and share no weight with it.

    Args:
        teachers: The models.
        student: The student.
        losses: The distillation losses.
        heard: How many teachers there are, models or cached.
    """
    own = {id(variable) for variable in student.variables}
    for teacher in teachers:
        require_built(teacher)
        if any(id(variable) in own for variable in teacher.variables):
            raise KerasCompressError(
                "Student and teacher may not share weights: training the one would change the "
                f"other. Received: {student.name!r} and {teacher.name!r}. Take a copy: "
                "`save` one of them and load it again."
            )
        _check_shapes(teacher, student, losses)
    for loss in losses:
        place = getattr(loss, "teacher", 0)
        if heard and not 0 <= place < heard:
            raise KerasCompressError(
                f"A loss listens to one of the {heard} teachers, counted from 0. "
                f"Received: teacher={place}."
            )


def check_losses(teachers: Sequence[object], student: keras.Model, losses: list[Any]) -> None:
    """Raise unless each loss fits the models, once the layers that it names were found."""
    for loss in losses:
        heard = teachers
        if teachers and teacher_layer(loss):
            heard = [teachers[getattr(loss, "teacher", 0)]]
        _check_logits_loss(loss, [student, *heard])
        for teacher in heard:
            loss.validate_model_compatibility(teacher, student)


def truncated_inputs(teacher: keras.Model, student: keras.Model) -> list[int]:
    """Return the places of the inputs that the teacher takes as integers and the student not."""
    theirs, ours = getattr(teacher, "inputs", None), getattr(student, "inputs", None)
    if not theirs or not ours or len(theirs) != len(ours):
        return []
    whole = [[not keras.backend.is_float_dtype(i.dtype) for i in each] for each in (theirs, ours)]
    return [place for place, (a, b) in enumerate(zip(*whole, strict=True)) if a and not b]


def check_heard(teacher: keras.Model, places: list[int], x: Tensor) -> None:
    """Raise if an input that `teacher` takes as integers, at one of `places`, holds fractions.

    Raises:
        KerasCompressError: If one does.
    """
    for place in places:
        array = keras.tree.flatten(x)[place]
        if keras.backend.is_float_dtype(keras.backend.standardize_dtype(array.dtype)):
            raise KerasCompressError(
                "A teacher must hear what the student hears. Received: fractions for "
                f"input {place} of {teacher.name!r}, which rounds them to "
                f"{teacher.inputs[place].dtype}. Pass integers, or put a teacher of other "
                "inputs behind a model that converts them."
            )


def require_for_labels(name: str, value: object, student_loss_weight: object) -> None:
    """Raise if `value`, the loss on the labels or the labels, is missing where labels count.

    Raises:
        KerasCompressError: If it is `None`.
    """
    if value is None and student_loss_weight != 0:
        raise KerasCompressError(
            "Labels that count need a loss, and must be there. Received: "
            f"{name}=None and student_loss_weight={student_loss_weight!r}. Pass `{name}`, or "
            "`student_loss_weight=0.0` to learn from the teachers alone."
        )


def _check_logits_loss(loss: object, models: list[keras.Model]) -> None:
    # Keras takes any output for logits of classes, and this name for a function of probabilities.
    if not isinstance(loss, keras.distillation.LogitsDistillation) or isinstance(loss, SoftTargets):
        return
    if any(each is keras.losses.kl_divergence for each in keras.tree.flatten(loss.loss)):
        raise KerasCompressError(
            "`keras.distillation.LogitsDistillation` takes no softmax for the loss "
            "'kl_divergence', its default, but for an instance alone, so that logits below 0 are "
            "cut off. Received: that loss. Use `SoftTargets`, or pass "
            "`loss=keras.losses.KLDivergence()`."
        )
    for model in models:
        heads = heads_of(model)
        shapes = [output.shape for output in getattr(model, "outputs", None) or []]
        losses = per_output(loss.loss, list(heads)) or []
        for i, (head, each) in enumerate(zip(heads, losses, strict=False)):
            one = len(shapes) == len(heads) and shapes[i][-1] == 1
            if each is not None and (head not in (LINEAR, UNKNOWN) or one):
                raise KerasCompressError(
                    "`keras.distillation.LogitsDistillation` takes outputs for logits of several "
                    f"classes. Received: {model.name!r}, output {i}, "
                    f"{'of one unit' if one else f'a {head}'}. Use `SoftTargets`."
                )


def _check_shapes(teacher: keras.Model, student: keras.Model, losses: list[Any]) -> None:
    compares_outputs = any(not teacher_layer(loss) for loss in losses)
    for what in ("inputs", "outputs") if compares_outputs else ("inputs",):
        theirs, ours = getattr(teacher, what, None), getattr(student, what, None)
        if not theirs or not ours:  # subclassed: known when run
            continue
        shapes = [[tuple(t.shape) for t in keras.tree.flatten(each)] for each in (theirs, ours)]
        if len(shapes[0]) != len(shapes[1]) or not all(map(_fit, *shapes)):
            raise KerasCompressError(
                f"The teacher's {what} must have the shapes of the student's. Received: "
                f"{shapes[0]} from {teacher.name!r} and {shapes[1]} from {student.name!r}."
            )


def _fit(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    return len(one) == len(other) and all(
        a == b or a is None or b is None for a, b in zip(one, other, strict=True)
    )


def teacher_layer(loss: object) -> str | None:
    """The teacher's layer that a loss names."""
    return getattr(loss, "teacher_layer_name", None)


def student_layer(loss: object) -> str | None:
    """The student's layer that a loss names."""
    return getattr(loss, "student_layer_name", None)


def teacher_layers(losses: list[Any], teacher: int) -> list[str]:
    """The layers of a teacher that losses name."""
    named = ((teacher_layer(loss), getattr(loss, "teacher", 0)) for loss in losses)
    return [name for name, place in named if name and place == teacher]
