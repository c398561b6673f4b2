"""The trainer of distillation: `keras.distillation.Distiller`, led further."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_compress.distillation.cache import LABELS, TEACHER_OUTPUTS
from keras_compress.distillation.soft_targets import SoftTargets
from keras_compress.distillation.teachers import FeatureTap, FrozenTeachers
from keras_compress.distillation.weighting import (
    as_loss,
    check_student_loss_weight,
    replicas,
    weight_at,
)
from keras_compress.engine.optimizer import ProjectedOptimizer
from keras_compress.engine.weights import require_built
from keras_compress.errors import KerasCompressError

_PREDICTIONS = "__predictions__"
_FEATURES = "__features__"


@keras.saving.register_keras_serializable(package="keras_compress")
class Distiller(keras.distillation.Distiller):
    """Trains a student on labels and on what one or several teachers say.

    A `keras.distillation.Distiller`, so `fit`, callbacks, metrics and custom loops are Keras'
    own; on top of it

    * the weight of the labels, and of every loss, may follow a schedule of the step;
    * there may be several teachers, over which losses on outputs are averaged;
    * the teachers' outputs may come from a file (`cache_teacher`) instead of the teachers;
    * hints may join layers of unequal widths (`Hints`), maps of unequal sizes too;
    * the student runs once a step, and its regularizers count;
    * teachers are run, and never trained, changed or saved: a file of the distiller holds the
      student, the projections of the hints, the step and the optimizer.

    Callbacks of pruning, clustering and rate-aware training work on the student, whose weights
    are all that is trained but for projections, which they leave alone.

    Example:

    ```python
    distiller = Distiller(teacher, student, SoftTargets(4.0), student_loss_weight=0.1)
    distiller.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    distiller.fit(x, y, epochs=10, callbacks=[pruning.PruningCallback(0.8)])
    small = pruning.finalize(distiller.student)
    ```

    Args:
        teacher: A built model, a list of such, or `None` where the outputs come from a cache.
        student: The built model to train.
        distillation_losses: A loss or a list of them: `SoftTargets`, `Hints`,
            `AttentionTransfer`, or any `keras.distillation.DistillationLoss`. Defaults to
            `None` (`SoftTargets()`).
        distillation_loss_weights: A weight for each, a number or a schedule. Defaults to `None`
            (all 1).
        student_loss_weight: Weight of the loss on the labels, from 0 to 1; the sum of the
            others has the rest. A number, or a schedule: a callable of the step as a tensor,
            such as `keras.optimizers.schedules.CosineDecay`. Defaults to `0.5`.
        teacher_weights: Share of each teacher in losses on outputs. Defaults to `None` (equal).
        name: Name of the distiller. Defaults to `"distiller"`.

    Raises:
        KerasCompressError: If a model is unbuilt, the teachers' outputs don't fit the student's,
            a layer that a loss names doesn't exist, student and teacher share weights, or a
            weight is out of range.
    """

    def __init__(
        self,
        teacher: Any,
        student: Any,
        distillation_losses: Any = None,
        distillation_loss_weights: Any = None,
        student_loss_weight: Any = 0.5,
        teacher_weights: Sequence[float] | None = None,
        name: str = "distiller",
        **kwargs: Any,
    ) -> None:
        require_built(student)
        teachers = _as_teachers(teacher)
        losses = _as_losses(distillation_losses)
        shapes = kwargs.pop("feature_shapes", None)
        check_student_loss_weight(student_loss_weight)
        _check_models(teachers, student, losses)
        held = FrozenTeachers(teachers, [_teacher_layers(losses, i) for i in range(len(teachers))])
        tap = FeatureTap(student, [n for n in map(_student_layer, losses) if n], "student")
        _validate(teachers, student, losses)
        # Without losses, for the base would make and track models of its own for their layers.
        super().__init__(held, student, [], [], 0.5, name=name, **kwargs)
        self.student_loss_weight = student_loss_weight
        self.distillation_losses = losses
        self.distillation_loss_weights = _as_weights(distillation_loss_weights, len(losses))
        self.teacher_weights = _as_shares(teacher_weights, len(teachers))
        self._student_tap = _Untracked(tap)
        self.feature_shapes = shapes or [self._shapes_of(loss) for loss in losses]
        self.projections = self._make_projections()
        self.step = self.add_weight(
            name="step",
            shape=(),
            dtype="int32",
            initializer="zeros",
            trainable=False,
            aggregation="only_first_replica",
        )
        self.built = True

    @property
    def teachers(self) -> tuple[Any, ...]:
        """The teachers, as they were given."""
        return tuple(self.teacher.models)

    def set_teacher(self, teacher: Any) -> None:
        """Give a distiller that was loaded from a file its teachers, which aren't in the file.

        Args:
            teacher: A built model or a list of such.

        Raises:
            KerasCompressError: If they don't fit.
        """
        teachers = _as_teachers(teacher)
        _check_models(teachers, self.student, self.distillation_losses)
        layers = [_teacher_layers(self.distillation_losses, i) for i in range(len(teachers))]
        self.teacher = FrozenTeachers(teachers, layers)
        _validate(teachers, self.student, self.distillation_losses)
        self.teacher_weights = _as_shares(None, len(teachers))
        for loss, known in zip(self.distillation_losses, self.feature_shapes, strict=True):
            shapes = self._shapes_of(loss)
            if known and shapes and known[0][-1] != shapes[0][-1]:
                raise KerasCompressError(
                    "A teacher's layers must have the channels they had. Received: "
                    f"{shapes[0]} for {loss.teacher_layer_name!r}, which had {tuple(known[0])}."
                )
        if self.compiled:
            self.make_train_function(force=True)

    def compile(
        self, optimizer: Any = "adam", loss: Any = None, metrics: Any = None, **kwargs: Any
    ) -> None:
        """Configure training; arguments as in `keras.distillation.Distiller.compile`."""
        super().compile(optimizer=optimizer, loss=loss, metrics=metrics, **kwargs)
        self._label_losses = _Untracked(keras.tree.map_structure(as_loss, loss))
        self._compiled_with = _Untracked({"loss": loss, "metrics": metrics, **kwargs})

    def call(self, inputs: Any, training: Any = None, **kwargs: Any) -> Any:
        """Return the student's outputs; in training, features that losses need beside them."""
        tap = self._student_tap.value
        if not (training and tap.layer_names):
            return self.student(inputs, training=training, **kwargs)
        outputs, features = tap(inputs, training=True)
        return {_PREDICTIONS: outputs, _FEATURES: features}

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Return the loss, a scalar.

        Args:
            x: Inputs.
            y: Labels, or what `TeacherCache.targets` makes of them.
            y_pred: What `call` returned. Defaults to `None` (it is called).
            sample_weight: Weights of the samples in the loss on the labels; a sample of weight
                0 is learned from the teachers alone. Defaults to `None`.
            training: Whether in training. Defaults to `True`.
        """
        labels, cached = _split_targets(y)
        outputs, features = self._split_predictions(x, y_pred, training)
        step = keras.ops.cast(keras.ops.convert_to_tensor(self.step), "float32")
        label_weight = weight_at(self.student_loss_weight, step)
        label_loss: Any = 0.0
        if labels is not None:
            losses = keras.tree.map_structure(
                lambda loss, true, guess: loss(true, guess, sample_weight=sample_weight),
                self._label_losses.value,
                labels,
                outputs,
            )
            label_loss = sum(keras.tree.flatten(losses))
        soft_loss: Any = 0.0
        if training or cached is not None or self.teachers:
            soft_loss = self._soft_loss(x, cached, outputs, features, step) / replicas()
        total = label_weight * label_loss + (1.0 - label_weight) * soft_loss
        for loss in self.losses:
            total = total + keras.ops.cast(loss, "float32") / replicas()
        if training:
            self.step.assign(self.step + 1)
        self.student_loss_tracker.update_state(label_loss * replicas())
        self.distillation_loss_tracker.update_state(soft_loss * replicas())
        self.total_loss_tracker.update_state(total * replicas())
        return total

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Update the metrics with the labels and the student's outputs alone."""
        if isinstance(y_pred, dict) and _PREDICTIONS in y_pred:
            y_pred = y_pred[_PREDICTIONS]
        return super().compute_metrics(x, _split_targets(y)[0], y_pred, sample_weight)

    def _soft_loss(self, x: Any, cached: Any, outputs: Any, features: Any, step: Any) -> Any:
        heard = self._hear_teachers(x, cached)
        total: Any = 0.0
        pairs = zip(self.distillation_losses, self.distillation_loss_weights, strict=True)
        for loss, weight in pairs:
            value: Any = 0.0
            for share, theirs, ours in self._compared(loss, heard, outputs, features):
                loss.validate_outputs(theirs, ours)
                value = value + share * loss.compute_loss(theirs, ours)
            total = total + weight_at(weight, step) * value
        return total

    def _hear_teachers(self, x: Any, cached: Any) -> list[tuple[Any, dict[str, Any]]]:
        if cached is not None and not any(map(_teacher_layer, self.distillation_losses)):
            return [(outputs, {}) for outputs in cached]
        if not self.teachers:
            raise KerasCompressError(
                "A distiller needs its teachers' outputs. Received: no teacher, and targets "
                "without cached outputs (or a loss on layers, which aren't cached). Pass "
                "`cache.targets(y)` to `fit`, or call `set_teacher(teacher)`: teachers aren't "
                "saved with a distiller."
            )
        return self.teacher(x, training=False)

    def _compared(
        self, loss: Any, heard: list[tuple[Any, dict[str, Any]]], outputs: Any, features: Any
    ) -> list[tuple[float, Any, Any]]:
        """What a loss compares: `(share, teacher's tensors, student's tensors)` of each pair."""
        layer = _teacher_layer(loss)
        student_layer = _student_layer(loss)
        ours = features[student_layer] if student_layer else outputs
        if layer:
            return [(1.0, heard[getattr(loss, "teacher", 0)][1][layer], ours)]
        shares = self.teacher_weights or [1.0 / len(heard)] * len(heard)
        if len(shares) != len(heard):
            raise KerasCompressError(
                f"`teacher_weights` must name a share for each teacher. Received: {len(shares)} "
                f"shares and the outputs of {len(heard)} teachers."
            )
        return [(share, theirs, ours) for share, (theirs, _) in zip(shares, heard, strict=True)]

    def _split_predictions(self, x: Any, y_pred: Any, training: bool) -> tuple[Any, dict[str, Any]]:
        if y_pred is None:
            y_pred = self(x, training=training)
        if isinstance(y_pred, dict) and _PREDICTIONS in y_pred:
            return y_pred[_PREDICTIONS], y_pred[_FEATURES]
        tap = self._student_tap.value
        if tap.layer_names and self.teachers:  # in evaluation
            return y_pred, tap(x, training=False)[1]
        return y_pred, {}

    def _shapes_of(self, loss: Any) -> list[tuple[Any, ...]] | None:
        layer, student_layer = _teacher_layer(loss), _student_layer(loss)
        if not (layer and student_layer and self.teachers):
            return None
        theirs = self.teacher.feature_shape(getattr(loss, "teacher", 0), layer)
        return [theirs, self._student_tap.value.shapes[student_layer]]

    def _make_projections(self) -> list[Any]:
        made = []
        for loss, shapes in zip(self.distillation_losses, self.feature_shapes, strict=True):
            if shapes and hasattr(loss, "make_projection"):
                made.append(loss.make_projection(*map(tuple, shapes)))
        return [projection for projection in made if projection is not None]

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, without the teachers."""
        serialize = keras.saving.serialize_keras_object
        return {
            "name": self.name,
            "student": serialize(self.student),
            "distillation_losses": [serialize(loss) for loss in self.distillation_losses],
            "distillation_loss_weights": [serialize(w) for w in self.distillation_loss_weights],
            "student_loss_weight": serialize(self.student_loss_weight),
            "feature_shapes": self.feature_shapes,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Distiller:
        """Return a distiller without teachers, which `set_teacher` gives it."""
        config = dict(config)
        deserialize = keras.saving.deserialize_keras_object
        for key in ("student", "student_loss_weight"):
            config[key] = deserialize(config[key])
        for key in ("distillation_losses", "distillation_loss_weights"):
            config[key] = [deserialize(each) for each in config[key]]
        return cls(teacher=None, **config)

    def get_compile_config(self) -> dict[str, Any]:
        """Return what `compile` was called with, for a saved file."""
        if not self.compiled:
            return {}
        optimizer = self.optimizer
        if isinstance(optimizer, ProjectedOptimizer):
            optimizer = optimizer.inner_optimizer
        arguments = {"optimizer": optimizer, **self._compiled_with.value}
        return {key: keras.saving.serialize_keras_object(value) for key, value in arguments.items()}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile with what `get_compile_config` returned."""
        config = {k: keras.saving.deserialize_keras_object(v) for k, v in config.items()}
        self.compile(**config)
        self.optimizer.build(self.trainable_variables)


class _Untracked:
    """Hides its value from Keras, which tracks models, losses and containers it is given."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _as_teachers(teacher: Any) -> list[Any]:
    if teacher is None:
        return []
    if isinstance(teacher, FrozenTeachers):
        return list(teacher.models)
    return list(teacher) if isinstance(teacher, list | tuple) else [teacher]


def _as_losses(losses: Any) -> list[Any]:
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


def _as_weights(weights: Any, losses: int) -> list[Any]:
    weights = [1.0] * losses if weights is None else list(weights)
    if len(weights) != losses:
        raise KerasCompressError(
            "There must be a weight for each distillation loss. Received: "
            f"{len(weights)} weights and {losses} losses."
        )
    return weights


def _as_shares(weights: Sequence[float] | None, teachers: int) -> list[float] | None:
    if weights is None:
        return None
    shares = [float(weight) for weight in weights]
    if (teachers and len(shares) != teachers) or min(shares) < 0 or not sum(shares) > 0:
        raise KerasCompressError(
            "`teacher_weights` must be a number of at least 0 for each teacher, not all 0. "
            f"Received: {list(weights)} for {teachers} teachers."
        )
    return [share / sum(shares) for share in shares]


def _check_models(teachers: list[Any], student: Any, losses: list[Any]) -> None:
    own = {id(variable) for variable in student.variables}
    for teacher in teachers:
        require_built(teacher)
        if any(id(variable) in own for variable in teacher.variables):
            raise KerasCompressError(
                "Student and teacher may not share weights: training the one would change the "
                f"other. Received: {student.name!r} and {teacher.name!r}. Take a copy "
                "(`keras.models.clone_model`, then `set_weights`)."
            )
        _check_shapes(teacher, student, losses)
    for loss in losses:
        place = getattr(loss, "teacher", 0)
        if teachers and not 0 <= place < len(teachers):
            raise KerasCompressError(
                f"A loss listens to one of the {len(teachers)} teachers, counted from 0. "
                f"Received: teacher={place}."
            )


def _validate(teachers: list[Any], student: Any, losses: list[Any]) -> None:
    # After the layers that losses name were found, of which our errors say more.
    for loss in losses:
        heard = teachers
        if teachers and _teacher_layer(loss):
            heard = [teachers[getattr(loss, "teacher", 0)]]
        for teacher in heard:
            loss.validate_model_compatibility(teacher, student)


def _check_shapes(teacher: Any, student: Any, losses: list[Any]) -> None:
    compares_outputs = any(not _teacher_layer(loss) for loss in losses)
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


def _teacher_layer(loss: Any) -> str | None:
    return getattr(loss, "teacher_layer_name", None)


def _student_layer(loss: Any) -> str | None:
    return getattr(loss, "student_layer_name", None)


def _teacher_layers(losses: list[Any], teacher: int) -> list[str]:
    named = ((_teacher_layer(loss), getattr(loss, "teacher", 0)) for loss in losses)
    return [name for name, place in named if name and place == teacher]


def _split_targets(y: Any) -> tuple[Any, Any]:
    if isinstance(y, dict) and TEACHER_OUTPUTS in y:
        return y[LABELS], y[TEACHER_OUTPUTS]
    return y, None
