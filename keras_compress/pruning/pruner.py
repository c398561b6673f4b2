"""The engine of pruning: moves masks along a schedule, in wrappers or in the optimizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_compress.engine.cloning import require_copyable, require_removable
from keras_compress.engine.optimizer import ProjectedOptimizer
from keras_compress.engine.preparation import require_chosen, require_effective
from keras_compress.engine.projection import Projection
from keras_compress.engine.report import values_of
from keras_compress.engine.weights import WeightRef, require_finite
from keras_compress.errors import KerasCompressError
from keras_compress.layers import iter_layers
from keras_compress.pruning.config import PruningConfig
from keras_compress.pruning.criteria import get_criterion
from keras_compress.pruning.gradient_scores import GradientScores
from keras_compress.pruning.patterns import get_pattern
from keras_compress.pruning.schedules import (
    check_sparsity,
    get_schedule,
    last_due_step,
    settling_step,
)
from keras_compress.pruning.wrapper import Pruned

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor


class MaskProjection(Projection):
    """Keeps pruned weights at zero: `weight * mask`, for the value and for its gradient."""

    kind = "mask"
    action = "pruned"

    def create_state(self, optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
        return [
            optimizer.add_variable(
                shape=self.variable.shape, dtype="bool", initializer="ones", name="mask"
            )
        ]

    @property
    def mask(self) -> keras.Variable:
        return self.state[0]

    def prepare_gradient(self, gradient: Tensor) -> Tensor:
        gradient = keras.ops.convert_to_tensor(gradient)
        mask = keras.ops.convert_to_tensor(self.mask)
        return keras.ops.where(mask, gradient, keras.ops.zeros_like(gradient))

    def project(self, weight: Tensor, state: Sequence[object]) -> Tensor:
        return keras.ops.where(state[0], weight, keras.ops.zeros_like(weight))

    def nearest(self, values: np.ndarray) -> np.ndarray:
        return np.where(values_of(self.mask), values, np.zeros_like(values))


@dataclass(frozen=True)
class MaskedWeight:
    """A weight, the variable that holds its mask, and what applies it unless a wrapper does."""

    ref: WeightRef
    mask: keras.Variable
    projection: MaskProjection | None = None

    def values(self) -> np.ndarray:
        """Return the values that the model computes with."""
        values = values_of(self.ref.variable)
        if self.projection is not None:
            # As they are: weights that were loaded since have not passed the mask.
            return values
        # In a wrapper the raw kernel may change under its mask.
        return np.where(values_of(self.mask), values, np.zeros_like(values))


class Pruner:
    """Prunes a model along the schedule of a `PruningConfig`.

    `PruningCallback` drives it in `fit`. In a custom training loop, drive it yourself:

    ```python
    pruner = Pruner(model, config, optimizer=keras.optimizers.Adam())
    for step, (x, y) in enumerate(batches):
        pruner.update(step)
        ...
        pruner.optimizer.apply(gradients, model.trainable_variables)
    pruner.update(step + 1)
    ```

    By magnitude the masks are a function of the weights and of the step alone, so a run that is
    resumed with the step at which it stopped goes on with the same masks.

    Args:
        model: A built model. If it holds `Pruned` layers, their masks are used; otherwise the
            masks live in the optimizer.
        config: A `PruningConfig`.
        optimizer: The optimizer of an untouched model; `self.optimizer` is then a
            `ProjectedOptimizer` around it. With `Pruned` layers it is needed only for a criterion
            of gradients. Defaults to `None`.

    Raises:
        KerasCompressError: If the model is unbuilt, a layer name matches nothing, nothing is
            left to prune, an optimizer is needed and not given, the pattern can't be laid on a
            layer that is named, or a layer is such that `finalize` couldn't copy it.
    """

    def __init__(
        self,
        model: keras.Model,
        config: PruningConfig,
        optimizer: keras.optimizers.Optimizer | None = None,
    ) -> None:
        selection = config.select(model)
        wrappers = pruned_layers(model)
        self.config = config
        self.pattern = get_pattern(config.pattern)
        self.criterion = get_criterion(config.criterion)
        self._schedule = get_schedule(config.schedule or 0.0)
        self.optimizer = optimizer
        #: Whether a training graph traced before now lacks what was added.
        self.changed_graph = False
        self._last_due: int | None = None
        require_chosen(model, selection, "prune")
        if wrappers:
            require_removable(model)
            self.weights = _behind_wrappers(wrappers, selection.chosen)
        else:
            self.weights = self._behind_optimizer(model, selection.chosen)
        self._gradients = self._watch_gradients(model) if self.criterion.needs_gradients else []

    def is_due(self, step: int) -> bool:
        """Whether `update(step)` would make the masks anew."""
        due = self._due(step)
        return due is not None and due != self._last_due

    def update(self, step: int) -> bool:
        """Bring the masks to where the schedule wants them once `step` steps are done.

        Returns:
            Whether the masks were made anew.

        Raises:
            KerasCompressError: If weights are NaN or infinite, or the schedule leaves [0, 1).
        """
        due = self._due(step)
        if due is None or due == self._last_due:
            return False
        sparsity = check_sparsity("schedule(step)", self._schedule(due))
        values = [weight.values() for weight in self.weights]
        for weight, value in zip(self.weights, values, strict=True):
            require_finite(weight.ref, value)
        if not all(each.ready for each in self._gradients):
            return self._wait(values, sparsity, due)
        masks = self._masks(self._scores(values), sparsity)
        for weight, value, mask in zip(self.weights, values, masks, strict=True):
            self._require_unshared(weight, value, mask)
        self._put(values, masks, due)
        for each in self._gradients:
            each.restart()
        return True

    def release(self) -> None:
        """Say that the masks stay as they are: the training that moves them has ended."""
        for weight in self.weights:
            if weight.projection is not None:
                weight.projection.settled = True

    @property
    def projections(self) -> list[Projection]:
        """What works through the optimizer: the masks of an untouched model, sums of gradients."""
        masks = [weight.projection for weight in self.weights if weight.projection is not None]
        return [*masks, *self._gradients]

    def sparsity(self) -> float:
        """Return the share of zeros among the weights worked on, from 0 to 1."""
        values = [weight.values() for weight in self.weights]
        return 1.0 - sum(map(np.count_nonzero, values)) / sum(value.size for value in values)

    def _due(self, step: int) -> int | None:
        return last_due_step(self._schedule, step, self.config.frequency)

    def _scores(self, values: Sequence[np.ndarray]) -> list[np.ndarray]:
        sums = [each.sums() for each in self._gradients]
        return [
            self.criterion.scores(value, place=place, sums=sums[place] if sums else None)
            for place, value in enumerate(values)
        ]

    def _masks(self, scores: Sequence[np.ndarray], sparsity: float) -> list[np.ndarray]:
        refs = [weight.ref for weight in self.weights]
        return self.pattern.masks(scores, sparsity, refs, together=self.config.scope == "global")

    def _wait(self, values: Sequence[np.ndarray], sparsity: float, due: int) -> bool:
        """Keep the zeros there are until there is a gradient; they may be all that is wanted."""
        kept = [value != 0 for value in values]
        wanted = self._masks([each.astype(np.float32) for each in kept], sparsity)
        pairs = zip(values, wanted, strict=True)
        if any(np.any(value[~mask]) for value, mask in pairs):
            self._put(values, kept, None)
            return False
        self._put(values, wanted, due)
        return True

    def _put(
        self, values: Sequence[np.ndarray], masks: Sequence[np.ndarray], due: int | None
    ) -> None:
        settles_at = settling_step(self._schedule)
        for weight, value, mask in zip(self.weights, values, masks, strict=True):
            weight.mask.assign(mask)
            weight.ref.variable.assign(np.where(mask, value, np.zeros_like(value)))
            if weight.projection is not None:
                weight.projection.settles_at = settles_at
                settled = settles_at is not None and due is not None and due >= settles_at
                weight.projection.settled = settled
                weight.projection.pull_averages()
        self._last_due = due

    def _watch_gradients(self, model: keras.Model) -> list[GradientScores]:
        if self.optimizer is None:
            raise KerasCompressError(
                f"The gradients that {self.criterion!r} needs are collected by the optimizer. "
                "Received: optimizer=None. Pass `optimizer=` and train with `pruner.optimizer`."
            )
        self.optimizer = ProjectedOptimizer.around(self.optimizer, model.trainable_variables)
        watched = []
        for weight in self.weights:
            found: Any = self.optimizer.projection(weight.ref.variable, GradientScores.kind)
            if found is None or found.criterion != self.criterion:
                scores = GradientScores(weight.ref.variable, self.criterion, self.optimizer)
                found = self.optimizer.add_projection(scores)
                self.changed_graph = True
            watched.append(found)
        return watched

    def _require_unshared(self, weight: MaskedWeight, value: np.ndarray, mask: np.ndarray) -> None:
        if self.optimizer is None or weight.projection is None or not np.any(value[~mask]):
            return
        others = self.optimizer.projections_on(weight.ref.variable)
        own = (MaskProjection, GradientScores)
        if any(not isinstance(other, own) for other in others):
            raise KerasCompressError(
                "Weights are pruned before they are clustered: a mask that moves would tear "
                f"clusters apart. Received: {weight.ref.label}, whose clusters are in force. "
                "Pass both callbacks to one `fit`, let the pruning come first, or call "
                "`model.compile(...)`, which lifts the clusters."
            )

    def _behind_optimizer(
        self, model: keras.Model, chosen: Sequence[WeightRef]
    ) -> list[MaskedWeight]:
        if self.optimizer is None:
            raise KerasCompressError(
                "The masks of an untouched model live in its optimizer. Received: optimizer=None. "
                "Pass `optimizer=`, or wrap the model by `pruning.prepare(model, config)`."
            )
        require_copyable(model)
        require_effective(chosen, "prune", zeros_only=True)
        self.optimizer = ProjectedOptimizer.around(self.optimizer, model.trainable_variables)
        settles_at = settling_step(self._schedule)
        weights = []
        for ref in chosen:
            projection: Any = self.optimizer.projection(ref.variable, MaskProjection.kind)
            if projection is None:
                projection = self.optimizer.add_projection(MaskProjection(ref.variable))
                self.changed_graph = True
            projection.settled, projection.settles_at = False, settles_at
            weights.append(MaskedWeight(ref, projection.mask, projection))
        return weights


def pruned_layers(model: keras.Model) -> list[Pruned]:
    """Return the `Pruned` layers of `model`, nested ones included."""
    return [layer for _, layer in iter_layers(model) if isinstance(layer, Pruned)]


def _behind_wrappers(wrappers: Sequence[Pruned], chosen: Sequence[WeightRef]) -> list[MaskedWeight]:
    masks = {id(v): mask for wrapper in wrappers for v, mask in wrapper.masked_weights()}
    weights = [MaskedWeight(r, masks[id(r.variable)]) for r in chosen if id(r.variable) in masks]
    if not weights:
        raise KerasCompressError(
            "`layers` must select at least one `Pruned` layer of a wrapped model. "
            f"Received a selection of: {', '.join(ref.label for ref in chosen)}."
        )
    return weights
