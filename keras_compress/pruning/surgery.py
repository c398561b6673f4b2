"""Dynamic network surgery: connections are cut, and spliced back when they turn out to matter.

Guo, Yao and Chen (arXiv 1608.04493): behind every mask the whole weight goes on being trained,
by the gradient of the masked one (eq. 3); a weight that falls below a threshold is cut, one that
grows above a somewhat larger threshold comes back, and between the two a weight stays what it
is (eq. 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_compress.argument_checks import check_count
from keras_compress.engine.callback import StepCallback
from keras_compress.engine.cloning import wrap_layers
from keras_compress.engine.preparation import weights_to_wrap
from keras_compress.engine.report import values_of
from keras_compress.engine.technique import TechniqueConfig
from keras_compress.engine.weights import (
    Selectors,
    WeightRef,
    iter_weights,
    require_finite,
)
from keras_compress.errors import KerasCompressError
from keras_compress.layers import iter_layers
from keras_compress.pruning.pruner import pruned_layers
from keras_compress.pruning.schedules import (
    ConstantSparsity,
    Schedule,
    check_sparsity,
    last_due_step,
)
from keras_compress.pruning.wrapper import Pruned

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor


@keras.saving.register_keras_serializable(package="keras_compress")
@dataclass(frozen=True)
class SurgeryConfig(TechniqueConfig):
    """Settings of dynamic network surgery.

    Example:

    ```python
    config = SurgeryConfig(strength=1.0)          # the paper's threshold
    config = SurgeryConfig(schedule=0.9)          # or the threshold that cuts nine in ten
    ```

    Args:
        strength: c of the paper: the threshold of a weight is the mean of its magnitudes plus
            `strength` times their standard deviation, measured when surgery begins. Defaults to
            `None` (`schedule` says how far).
        schedule: Sparsity as a function of the step, or a number; the threshold then is the
            magnitude below which that share of the weight lies; with hysteresis the sparsity
            reached is about that. Defaults to `None`.
        layers: Which layers, as in `PruningConfig`. Defaults to `None` (every kernel).
        hysteresis: How far the threshold of cutting lies below, and that of splicing above, the
            threshold, as a share of it, in [0, 1). Defaults to `0.1`, as in the authors' code.
        frequency: Steps from one update of the masks to the next. Defaults to `10`.
        decay: Updates become rarer: one that is due after `step` steps is done with
            probability `1 / (1 + decay * step)`, drawn from `seed` and the step alone; the
            paper's way of letting a net converge (section 3.3). Defaults to `0.0` (all are
            done).
        seed: Seed of that draw. Defaults to `0`.

    Raises:
        KerasCompressError: If an argument is out of range, or not exactly one of `strength` and
            `schedule` is given.
    """

    strength: float | None = None
    schedule: Schedule | float | None = None
    layers: Selectors = None
    hysteresis: float = 0.1
    frequency: int = 10
    decay: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.strength is None) == (self.schedule is None):
            raise KerasCompressError(
                "Surgery needs one of `strength` and `schedule`. Received: "
                f"strength={self.strength!r} and schedule={self.schedule!r}."
            )
        if self.schedule is not None and not callable(self.schedule):
            sparsity = check_sparsity("schedule", self.schedule)
            object.__setattr__(self, "schedule", ConstantSparsity(sparsity))
        if not 0.0 <= self.hysteresis < 1.0:
            raise KerasCompressError(
                f"`hysteresis` must lie in [0, 1). Received: hysteresis={self.hysteresis!r}."
            )
        if not self.decay >= 0.0:
            raise KerasCompressError(f"`decay` must be at least 0. Received: decay={self.decay!r}.")
        check_count("frequency", self.frequency)

    def due_step(self, step: int) -> int | None:
        """Return the latest step, `step` or earlier, at which an update is due, or `None`."""
        schedule: Any = self.schedule or ConstantSparsity(0.0)
        return last_due_step(schedule, step, self.frequency)

    def updates_masks_at(self, step: int) -> bool:
        """Whether the update that is due at `step` is done; a function of the step alone."""
        chance = 1.0 / (1.0 + self.decay * step)
        return bool(np.random.default_rng([self.seed, step]).random() < chance)


@keras.saving.register_keras_serializable(package="keras_compress")
class SurgeryPruned(Pruned):
    """Runs a layer with `kernel * mask`, and trains the whole kernel by that gradient.

    A `Pruned` layer whose cut weights go on learning. `SurgeryCallback` moves the masks;
    `pruning.finalize` and `pruning.report` know it.

    Args:
        layer: The layer to wrap.
        indices: Places in `layer.variables` of the weights to mask. Defaults to `None`: the
            layer's kernels.

    Raises:
        KerasCompressError: If the layer is wrapped already or has no kernel.
    """

    driver = "SurgeryCallback"

    def __init__(
        self, layer: keras.Layer, indices: Sequence[int] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(layer, indices, **kwargs)
        #: Mean and standard deviation of the magnitudes of each weight when it was prepared.
        self.statistics: list[Any] = []

    def add_state(self, variable: keras.Variable) -> None:
        super().add_state(variable)
        name = f"{variable.name}_statistics"
        self.statistics.append(
            self.add_weight(name=name, shape=(2,), initializer="zeros", trainable=False)
        )

    def measure(self) -> None:
        """Take the statistics of the weights as they are now."""
        for variable, statistics in zip(self.substituted_weights(), self.statistics, strict=True):
            magnitude = np.abs(values_of(variable))
            statistics.assign([float(magnitude.mean()), float(magnitude.std())])

    def substitutes(self) -> list[tuple[keras.Variable, Tensor]]:
        pairs = []
        for variable, masked in super().substitutes():
            weight = keras.ops.convert_to_tensor(variable)
            # The value of the masked weight, and its gradient for the whole weight.
            pairs.append((variable, weight + keras.ops.stop_gradient(masked - weight)))
        return pairs


class SurgeryCallback(StepCallback):
    """Cuts and splices the `SurgeryPruned` layers of a model from `prepare_surgery` during `fit`.

    At the end of each epoch it logs `sparsity`, and in `spliced` the connections that came back
    so far. What is cut at a step follows from the weights, the masks and the step alone, so a
    saved model goes on as if it had never stopped.

    Example:

    ```python
    config = SurgeryConfig(schedule=PolynomialDecay(0.0, 0.95, 0, 2000))
    model = prepare_surgery(trained, config)
    model.fit(x, y, epochs=10, callbacks=[SurgeryCallback(config)])
    small = pruning.finalize(model)
    ```

    Args:
        config: The `SurgeryConfig` the model was prepared with.
        initial_step: Training steps done before the first `fit`, for data sets of unknown
            length only. Defaults to `None`.
    """

    def __init__(self, config: SurgeryConfig, initial_step: int | None = None) -> None:
        super().__init__(initial_step)
        self.config = config

    def forget(self) -> None:
        super().forget()
        #: Connections that came back, and that were cut, so far.
        self.spliced = 0
        self.cut = 0
        self._last_due: int | None = None
        self._masked: list[tuple[WeightRef, Any, Any]] = []

    def attach(self, model: keras.Model, step: int) -> bool:
        layers = surgery_layers(model)
        if not layers:
            raise KerasCompressError(
                "Surgery needs `SurgeryPruned` layers, which keep the weights behind the masks. "
                f"Received: {model.name!r} without any. Train the copy that "
                "`pruning.prepare_surgery(model, config)` returns."
            )
        refs = {id(ref.variable): ref for ref in iter_weights(model)}
        self._masked = [
            (refs[id(variable)], mask, statistics)
            for layer in layers
            for (variable, mask), statistics in zip(
                layer.masked_weights(), layer.statistics, strict=True
            )
        ]
        self._update_masks(step)
        return False

    def on_step(self, step: int) -> None:
        due = self.config.due_step(step)
        # Reading `self.model` hands the JAX trainer's state back: only when something is due.
        if due is not None and due != self._last_due and self.model is not None:
            self._update_masks(step)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if logs is not None and self.model is not None:
            kept = [values_of(ref.variable)[values_of(mask)] for ref, mask, _ in self._masked]
            size = sum(int(np.prod(ref.shape)) for ref, _, _ in self._masked)
            logs["sparsity"] = 1.0 - sum(map(np.count_nonzero, kept)) / size
            logs["spliced"] = self.spliced

    def _update_masks(self, step: int) -> None:
        due = self.config.due_step(step)
        if due is None or due == self._last_due:
            return
        self._last_due = due
        if not self.config.updates_masks_at(due):
            return
        for ref, mask, statistics in self._masked:
            weight = values_of(ref.variable)
            require_finite(ref, weight)
            before = values_of(mask)
            threshold = self._threshold(weight, values_of(statistics), due)
            after = surgery_mask(weight, before, threshold, self.config.hysteresis)
            self.spliced += int(np.count_nonzero(after & ~before))
            self.cut += int(np.count_nonzero(before & ~after))
            mask.assign(after)

    def _threshold(self, weight: np.ndarray, statistics: np.ndarray, step: int) -> float:
        if self.config.strength is not None:
            mean, deviation = statistics
            return max(0.0, float(mean + self.config.strength * deviation))
        schedule: Any = self.config.schedule
        sparsity = check_sparsity("schedule(step)", schedule(step))
        return float(np.quantile(np.abs(weight), sparsity)) if sparsity else 0.0


def surgery_mask(
    weight: np.ndarray, mask: np.ndarray, threshold: float, hysteresis: float
) -> np.ndarray:
    """Return the mask after one update (eq. 2 of the paper).

    Args:
        weight: The whole weight, cut values included.
        mask: What is kept now, bool, of the same shape.
        threshold: Middle of the two thresholds.
        hysteresis: How far either of them lies from it, as a share of it.
    """
    magnitude = np.abs(weight)
    low = (1.0 - hysteresis) * threshold
    high = (1.0 + hysteresis) * threshold
    after: np.ndarray = np.where(magnitude < low, False, np.where(magnitude >= high, True, mask))
    if not after.any():
        # A layer cut through would never learn again.
        after.flat[int(np.argmax(magnitude))] = True
    return after


def prepare_surgery(model: keras.Model, config: SurgeryConfig) -> keras.Model:
    """Return a copy of `model` whose chosen layers are `SurgeryPruned`.

    Args:
        model: A built, trained Sequential or functional model, nested or not. The weights behind
            the masks have to live somewhere, so a subclassed model can't be prepared.
        config: The `SurgeryConfig`.

    Raises:
        KerasCompressError: If the model is unbuilt, subclassed, prepared already or has nothing
            to prune, or if a weight is NaN or infinite.
    """
    selection = config.select(model)
    chosen = weights_to_wrap(model, selection, pruned_layers(model), "pruning", "prune")
    made: list[SurgeryPruned] = []

    def wrap(layer: keras.Layer, at: list[int], _: object) -> SurgeryPruned:
        made.append(SurgeryPruned(layer, indices=at))
        return made[-1]

    def measure() -> None:
        for wrapper in made:
            wrapper.measure()

    return wrap_layers(model, chosen, wrap, measure)


def surgery_layers(model: keras.Model) -> list[SurgeryPruned]:
    """Return the `SurgeryPruned` layers of `model`, nested ones included."""
    return [layer for _, layer in iter_layers(model) if isinstance(layer, SurgeryPruned)]
