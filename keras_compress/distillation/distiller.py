"""The trainer of distillation: `keras.distillation.Distiller`, led further."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import keras

from keras_compress.distillation.arguments import (
    as_losses,
    as_shares,
    as_teachers,
    as_weights,
    check_heard,
    check_losses,
    check_models,
    check_student,
    require_for_labels,
    student_layer,
    teacher_layer,
    teacher_layers,
    truncated_inputs,
)
from keras_compress.distillation.cache import TeacherCache, split_inputs
from keras_compress.distillation.heads import heads_of
from keras_compress.distillation.plans import TeachingPlans
from keras_compress.distillation.teachers import FeatureTap, FrozenTeachers, TeacherWatch, Untracked
from keras_compress.distillation.weighting import (
    check_student_loss_weight,
    on_replica,
    replicas,
    weight_at,
)
from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

# Of each teacher its outputs, and the features that losses ask for.
_Heard: TypeAlias = list[tuple[Any, dict[str, Any]]]

_PREDICTIONS = "__predictions__"
_FEATURES = "__features__"


@keras.saving.register_keras_serializable(package="keras_compress")
class Distiller(keras.distillation.Distiller):
    """Trains a student on labels and on what one or several teachers say.

    A `keras.distillation.Distiller`, so `fit`, callbacks, metrics and custom loops are Keras'
    own; on top of it

    * the loss on the labels is what `compile` and `fit` of the student would minimize, in
      every form that `compile` takes;
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
        teacher: A built model, a list of such, or the `TeacherCache` of their outputs; `None`
            for teachers that `set_teacher` will give.
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
            a layer that a loss names doesn't exist, student and teacher share weights, the
            student has a training step of its own, or a weight is out of range.
    """

    def __init__(
        self,
        teacher: keras.Model,
        student: keras.Model,
        distillation_losses: object = None,
        distillation_loss_weights: object = None,
        student_loss_weight: Any = 0.5,
        teacher_weights: Sequence[float] | None = None,
        name: str = "distiller",
        **kwargs: Any,
    ) -> None:
        check_student(student)
        losses = as_losses(distillation_losses)
        shapes = kwargs.pop("feature_shapes", None)
        check_student_loss_weight(student_loss_weight)
        held = self._held(teacher, student, losses)
        tap = FeatureTap(student, [n for n in map(student_layer, losses) if n], "student")
        check_losses(held.models, student, losses)
        # What the student computes in decides on the scaling of the loss, as in a `fit` of its
        # own; and it is the student that casts its inputs.
        kwargs = {"dtype": student.dtype_policy, "autocast": False, **kwargs}
        # Without losses, for the base would make and track models of its own for their layers.
        super().__init__(held, student, [], [], 0.5, name=name, **kwargs)
        self.student_loss_weight = student_loss_weight
        self.distillation_losses = losses
        self.distillation_loss_weights = as_weights(distillation_loss_weights, len(losses))
        self._student_tap = Untracked(tap)
        self._hear(teacher)
        self.teacher_weights = as_shares(teacher_weights, self._plans.value.teachers)
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

    @staticmethod
    def _held(teacher: keras.Model, student: keras.Model, losses: list[Any]) -> FrozenTeachers:
        teachers = as_teachers(teacher)
        heard = len(teacher.outputs) if isinstance(teacher, TeacherCache) else len(teachers)
        check_models(teachers, student, losses, heard)
        return FrozenTeachers(teachers, [teacher_layers(losses, i) for i in range(len(teachers))])

    def _hear(self, teacher: keras.Model) -> None:
        if isinstance(teacher, TeacherCache):
            heads = list(teacher.heads)
        else:
            heads = [heads_of(model) for model in self.teachers]
        self._truncated = Untracked(
            [truncated_inputs(model, self.student) for model in self.teachers]
        )
        plans = TeachingPlans(self.student, self.distillation_losses, heads)
        self._plans = Untracked(plans)
        self._watch = Untracked(TeacherWatch(self.teachers))

    @property
    def teachers(self) -> tuple[Any, ...]:
        """The teachers, as they were given."""
        return tuple(self.teacher.models)

    @property
    def output_names(self) -> list[str]:
        """Names of the student's outputs, by which `compile` takes losses and metrics."""
        return list(self.student.output_names)

    def set_teacher(
        self, teacher: keras.Model, teacher_weights: Sequence[float] | None = None
    ) -> None:
        """Give a distiller that was loaded from a file its teachers, which aren't in the file.

        Args:
            teacher: A built model, a list of such, or the `TeacherCache` of their outputs.
            teacher_weights: Share of each. Defaults to `None` (the shares it has).

        Raises:
            KerasCompressError: If they don't fit.
        """
        self.teacher = self._held(teacher, self.student, self.distillation_losses)
        check_losses(self.teachers, self.student, self.distillation_losses)
        self._hear(teacher)
        heard = self._plans.value.teachers
        self.teacher_weights = as_shares(teacher_weights or self.teacher_weights, heard)
        for loss, known in zip(self.distillation_losses, self.feature_shapes, strict=True):
            shapes = self._shapes_of(loss)
            if known and shapes and known[0][-1] != shapes[0][-1]:
                raise KerasCompressError(
                    "A teacher's layers must have the channels they had. Received: "
                    f"{shapes[0]} for {loss.teacher_layer_name!r}, which had {tuple(known[0])}."
                )
        if self.compiled:
            self._plans.value.make(self.loss)
            self.train_function = self.test_function = None

    def compile(
        self,
        optimizer: keras.Optimizer | str = "adam",
        loss: object = None,
        metrics: object = None,
        **kwargs: Any,
    ) -> None:
        """Configure training; arguments as in `keras.Model.compile`, for the student.

        Args:
            optimizer: Trains the student and the projections of hints. Defaults to `"adam"`.
            loss: The loss on the labels, in every form that the student's own `compile` takes.
                Defaults to `None`, for a `student_loss_weight` of 0.
            metrics: Metrics of the student's outputs. Defaults to `None`.
            **kwargs: `loss_weights`, `weighted_metrics` and whatever else Keras takes.

        Raises:
            KerasCompressError: If there is no loss for labels that count, or what the outputs are
                can't be told (see `SoftTargets`).
        """
        require_for_labels("loss", loss, self.student_loss_weight)
        # As a model of its own: Keras' distiller takes the losses one by one, without weights.
        super(keras.distillation.Distiller, self).compile(
            optimizer=optimizer, loss=loss, metrics=metrics, **kwargs
        )
        self._plans.value.make(self.loss)

    def call(self, inputs: Tensor, training: bool | None = None, **kwargs: Any) -> Tensor:
        """Return the student's outputs; in training, features that losses need beside them."""
        inputs, _ = split_inputs(inputs)
        tap = self._student_tap.value
        if not (training and tap.layer_names):
            return self.student(inputs, training=training, **kwargs)
        outputs, features = tap(inputs, training=True)
        return {_PREDICTIONS: outputs, _FEATURES: features}

    def compute_loss(
        self,
        x: Tensor | None = None,
        y: Tensor | None = None,
        y_pred: Tensor | None = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """Return the loss, a scalar.

        Args:
            x: Inputs, or what `TeacherCache.inputs` makes of them.
            y: Labels.
            y_pred: What `call` returned. Defaults to `None` (it is called).
            sample_weight: Weights of the samples in the loss on the labels; a sample of weight
                0 is learned from the teachers alone. Defaults to `None`.
            training: Whether in training. Defaults to `True`.

        Raises:
            KerasCompressError: If labels or teachers' outputs are missing.
        """
        require_for_labels("y", y, self.student_loss_weight)
        x, cached = split_inputs(x)
        outputs, features = self._split_predictions(x, y_pred, training)
        step = keras.ops.cast(keras.ops.convert_to_tensor(self.step), "float32")
        label_weight = weight_at(self.student_loss_weight, step)
        # Regularizers, and losses that layers add, count once whatever the weight.
        added: Any = 0.0
        for loss in self.losses:
            added = added + keras.ops.sum(keras.ops.cast(loss, "float32")) / replicas()
        hard: Any = added
        if y is not None and self.loss is not None:
            hard = super(keras.distillation.Distiller, self).compute_loss(
                x, y, outputs, sample_weight, training
            )
        soft: Any = 0.0
        if training or cached is not None or self.teachers:
            soft = self._soft_loss(x, cached, outputs, features, step) / replicas()
        # `hard` is all that a `fit` of the student would minimize, bit by bit.
        total = label_weight * hard + (1.0 - label_weight) * (soft + added)
        if training:
            self.step.assign(self.step + 1)
        # Weighed as Keras weighs its own `loss`: the last batch may be a small one.
        samples = keras.ops.shape(next(i for i in keras.tree.flatten(x) if i is not None))[0]
        for tracker, value in (
            (self.student_loss_tracker, hard - added),
            (self.distillation_loss_tracker, soft),
            (self.total_loss_tracker, total),
        ):
            tracker.update_state(value * replicas(), sample_weight=samples)
        return total

    def compute_metrics(
        self, x: Tensor, y: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None
    ) -> Any:
        """Update the metrics with the student's outputs alone."""
        if isinstance(y_pred, dict) and _PREDICTIONS in y_pred:
            y_pred = y_pred[_PREDICTIONS]
        return super().compute_metrics(split_inputs(x)[0], y, y_pred, sample_weight)

    def make_train_function(self, force: bool = False) -> Any:
        """Make the compiled step of training, anew if a teacher's weights are others."""
        return super().make_train_function(self._watch.value.changed("train") or force)

    def make_test_function(self, force: bool = False) -> Any:
        """Make the compiled step of evaluation, anew if a teacher's weights are others."""
        return super().make_test_function(self._watch.value.changed("test") or force)

    def _soft_loss(
        self, x: Tensor, cached: list[Any] | None, outputs: Tensor, features: Tensor, step: Tensor
    ) -> Tensor:
        heard = self._hear_teachers(x, cached)
        total: Any = 0.0
        for place, weight in enumerate(self.distillation_loss_weights):
            value: Any = 0.0
            loss = self.distillation_losses[place]
            for teacher, share, theirs, ours in self._compared(loss, heard, outputs, features):
                loss.validate_outputs(theirs, ours)
                planned = self._plans.value.planned(place, teacher, outputs)
                value = value + share * on_replica(loss, planned.compute_loss(theirs, ours))
            total = total + weight_at(weight, step) * value
        return total

    def _hear_teachers(self, x: Tensor, cached: list[Any] | None) -> _Heard:
        if cached is not None and not any(map(teacher_layer, self.distillation_losses)):
            return [(outputs, {}) for outputs in cached]
        if not self.teachers:
            raise KerasCompressError(
                "A distiller needs its teachers' outputs. Received: no teacher, and inputs "
                "without cached outputs (or a loss on layers, which aren't cached). Pass "
                "`cache.inputs(x)` to `fit`, or call `set_teacher(teacher)`: teachers aren't "
                "saved with a distiller."
            )
        for model, places in zip(self.teachers, self._truncated.value, strict=True):
            check_heard(model, places, x)
        return self.teacher(x, training=False)

    def _compared(
        self, loss: object, heard: _Heard, outputs: Tensor, features: Tensor
    ) -> list[tuple[int, float, Any, Any]]:
        """What a loss compares: `(teacher, share, its tensors, student's tensors)` of each pair."""
        layer = teacher_layer(loss)
        own_layer = student_layer(loss)
        ours = features[own_layer] if own_layer else outputs
        if layer:
            place = getattr(loss, "teacher", 0)
            return [(place, 1.0, heard[place][1][layer], ours)]
        shares = self.teacher_weights or [1.0 / len(heard)] * len(heard)
        if len(shares) != len(heard):
            raise KerasCompressError(
                f"`teacher_weights` must name a share for each teacher. Received: {len(shares)} "
                f"shares and the outputs of {len(heard)} teachers."
            )
        both = enumerate(zip(shares, heard, strict=True))
        return [(place, share, theirs, ours) for place, (share, (theirs, _)) in both]

    def _split_predictions(
        self, x: Tensor, y_pred: Tensor, training: bool
    ) -> tuple[Any, dict[str, Any]]:
        if y_pred is None:
            y_pred = self(x, training=training)
        if isinstance(y_pred, dict) and _PREDICTIONS in y_pred:
            return y_pred[_PREDICTIONS], y_pred[_FEATURES]
        tap = self._student_tap.value
        if tap.layer_names and self.teachers:  # in evaluation
            return y_pred, tap(x, training=False)[1]
        return y_pred, {}

    def _shapes_of(self, loss: object) -> list[tuple[Any, ...]] | None:
        layer, own_layer = teacher_layer(loss), student_layer(loss)
        if not (layer and own_layer and self.teachers):
            return None
        theirs = self.teacher.feature_shape(getattr(loss, "teacher", 0), layer)
        return [theirs, self._student_tap.value.shapes[own_layer]]

    def _make_projections(self) -> list[Any]:
        made = []
        for loss, shapes in zip(self.distillation_losses, self.feature_shapes, strict=True):
            if shapes and hasattr(loss, "make_projection"):
                made.append(loss.make_projection(*map(tuple, shapes)))
        return [projection for projection in made if projection is not None]

    def get_config(self) -> dict[str, object]:
        """Return the configuration, without the teachers."""
        serialize = keras.saving.serialize_keras_object
        return {
            "name": self.name,
            "student": serialize(self.student),
            "distillation_losses": [serialize(loss) for loss in self.distillation_losses],
            "distillation_loss_weights": [serialize(w) for w in self.distillation_loss_weights],
            "student_loss_weight": serialize(self.student_loss_weight),
            "teacher_weights": self.teacher_weights,
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

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile with what `get_compile_config` returned."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)
