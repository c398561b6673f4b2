"""tfmot's schedules: `schedule(step)` returns whether to prune at a step, and how far.

The numbers are those of float32, as tfmot computes them, so that masks agree to the last value.
"""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any

import keras

from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor


class PruningSchedule(metaclass=abc.ABCMeta):
    """Base of the schedules; a subclass gives `__call__` and `get_config`."""

    @abc.abstractmethod
    def __call__(self, step: Tensor) -> tuple[Tensor, Tensor]:
        """Return `(should_prune, sparsity)` at `step`: a bool and a float scalar tensor."""

    @abc.abstractmethod
    def get_config(self) -> dict[str, object]:
        """Return `{"class_name": ..., "config": arguments}`."""

    def _should_prune_in_step(
        self, step: Any, begin_step: int, end_step: int, frequency: int
    ) -> Tensor:
        """Return whether `step` is one of each `frequency` from `begin_step` to `end_step`.

        A bool tensor; a negative `end_step` is no end.
        """
        ops = keras.ops
        step = ops.convert_to_tensor(step)
        due = ops.equal(ops.mod(step - begin_step, frequency), 0)
        due = ops.logical_and(due, ops.greater_equal(step, begin_step))
        return due if end_step < 0 else ops.logical_and(due, ops.less_equal(step, end_step))

    def _validate_step(
        self, begin_step: int, end_step: int, frequency: int, allow_negative_1: bool
    ) -> None:
        """Raise a `ValueError` unless the steps are such as a schedule can have."""
        if begin_step < 0:
            raise KerasCompressError(
                f"begin_step should be >= 0. Received: begin_step={begin_step!r}."
            )
        if end_step == -1 and not allow_negative_1:
            raise KerasCompressError(
                "end_step cannot be -1, for a decay needs an end. Received: end_step=-1."
            )
        if end_step < -1:
            raise KerasCompressError(
                f"end_step can be -1 (no end) or >= 0. Received: end_step={end_step!r}."
            )
        if end_step != -1 and begin_step > end_step:
            raise KerasCompressError(
                "begin_step should be <= end_step if end_step != -1. "
                f"Received: begin_step={begin_step}, end_step={end_step}."
            )
        if frequency <= 0:
            raise KerasCompressError(f"frequency should be > 0. Received: frequency={frequency!r}.")

    def _validate_sparsity(self, sparsity: float, variable_name: str) -> None:
        """Raise a `ValueError` unless `sparsity` is in [0, 1)."""
        if not 0.0 <= sparsity < 1.0:
            raise KerasCompressError(
                f"{variable_name} must be in range [0,1), a share of zeros. "
                f"Received: {variable_name}={sparsity!r}."
            )

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> PruningSchedule:
        """Return a schedule from the arguments, or from all that `get_config` returned."""
        return cls(**(config["config"] if "class_name" in config else config))


class _SteppedSchedule(PruningSchedule):
    def __init__(
        self, begin_step: int, end_step: int, frequency: int, *, endless: bool = True
    ) -> None:
        self._validate_step(begin_step, end_step, frequency, endless)
        self.begin_step = begin_step
        self.end_step = end_step
        self.frequency = frequency

    def _should_prune(self, step: Tensor) -> Tensor:
        return self._should_prune_in_step(step, self.begin_step, self.end_step, self.frequency)

    def _serialized(self, **arguments: Any) -> dict[str, Any]:
        steps = {"begin_step": self.begin_step, "end_step": self.end_step}
        config = {**arguments, **steps, "frequency": self.frequency}
        return {"class_name": type(self).__name__, "config": config}


@keras.saving.register_keras_serializable(package="keras_compress.tfmot")
class ConstantSparsity(_SteppedSchedule):
    """The same sparsity throughout.

    Args:
        target_sparsity: Share of zeros, in [0, 1).
        begin_step: First step at which to prune.
        end_step: Last step at which to prune, or -1 for no end. Defaults to `-1`.
        frequency: Prune every so many steps. Defaults to `100`.

    Raises:
        KerasCompressError: A `ValueError`, if an argument is out of range.
    """

    def __init__(
        self, target_sparsity: float, begin_step: int, end_step: int = -1, frequency: int = 100
    ) -> None:
        super().__init__(begin_step, end_step, frequency)
        self._validate_sparsity(target_sparsity, "target_sparsity")
        self.target_sparsity = target_sparsity

    def __call__(self, step: Tensor) -> tuple[Tensor, Tensor]:
        sparsity = keras.ops.convert_to_tensor(self.target_sparsity, dtype="float32")
        return self._should_prune(step), sparsity

    def get_config(self) -> dict[str, object]:
        return self._serialized(target_sparsity=self.target_sparsity)


@keras.saving.register_keras_serializable(package="keras_compress.tfmot")
class PolynomialDecay(_SteppedSchedule):
    """Sparsity from `initial_sparsity` to `final_sparsity` (Zhu and Gupta, arXiv 1710.01878).

    Args:
        initial_sparsity: Share of zeros at `begin_step`, in [0, 1).
        final_sparsity: Share of zeros at `end_step`, in [0, 1).
        begin_step: First step at which to prune.
        end_step: Last step at which to prune; -1 is refused.
        power: Exponent of the decay. Defaults to `3`.
        frequency: Prune every so many steps. Defaults to `100`.

    Raises:
        KerasCompressError: A `ValueError`, if an argument is out of range.
    """

    def __init__(
        self,
        initial_sparsity: float,
        final_sparsity: float,
        begin_step: int,
        end_step: int,
        power: float = 3,
        frequency: int = 100,
    ) -> None:
        super().__init__(begin_step, end_step, frequency, endless=False)
        self._validate_sparsity(initial_sparsity, "initial_sparsity")
        self._validate_sparsity(final_sparsity, "final_sparsity")
        self.initial_sparsity = initial_sparsity
        self.final_sparsity = final_sparsity
        self.power = power

    def __call__(self, step: Any) -> tuple[Tensor, Tensor]:
        ops = keras.ops
        # A decay without length is over at once.
        length = max(self.end_step - self.begin_step, 1)
        done = ops.cast(step - self.begin_step, "float32") / float(length)
        if self.end_step == self.begin_step:
            done = ops.ones_like(done)
        left = 1.0 - ops.clip(done, 0.0, 1.0)
        drop = self.initial_sparsity - self.final_sparsity
        return self._should_prune(step), drop * ops.power(left, self.power) + self.final_sparsity

    def get_config(self) -> dict[str, object]:
        return self._serialized(
            initial_sparsity=self.initial_sparsity,
            final_sparsity=self.final_sparsity,
            power=self.power,
        )


def schedule_from_config(
    config: dict[str, Any], custom_objects: dict[str, Any] | None = None
) -> PruningSchedule:
    """Return the schedule that `get_config` of one described.

    Raises:
        KerasCompressError: If its class is neither one of tfmot's nor known to Keras.
    """
    name = str(config["class_name"])
    own = {each.__name__: each for each in (ConstantSparsity, PolynomialDecay)}
    known = {**own, **keras.saving.get_custom_objects(), **(custom_objects or {})}
    found = known.get(name)
    if found is None:
        # Registered under a package, or else not at all.
        inner = [each for key, each in known.items() if key.rpartition(">")[2] == name]
        found = inner[0] if inner else None
    if found is None:
        raise KerasCompressError(
            "A pruning schedule of one's own must be known to Keras to be loaded. "
            f"Received: {name!r}. Register it by `keras.saving.register_keras_serializable()`, or "
            "load in a `keras.saving.custom_object_scope`."
        )
    schedule: PruningSchedule = found.from_config(config["config"])
    return schedule
