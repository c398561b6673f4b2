"""tfmot's schedules: `schedule(step)` returns whether to prune at a step, and how far.

The numbers are those of float32, as tfmot computes them, so that masks agree to the last value.
"""

from __future__ import annotations

import abc
from typing import Any

import keras

from keras_compress.errors import KerasCompressError
from keras_compress.pruning.schedules import check_sparsity


class PruningSchedule(metaclass=abc.ABCMeta):
    """Base of the schedules; a subclass gives `__call__` and `get_config`."""

    @abc.abstractmethod
    def __call__(self, step: Any) -> tuple[Any, Any]:
        """Return `(should_prune, sparsity)` at `step`: a bool and a float scalar tensor."""

    @abc.abstractmethod
    def get_config(self) -> dict[str, Any]:
        """Return `{"class_name": ..., "config": arguments}`."""

    def is_due(self, step: int) -> bool:
        """Return whether to prune at `step`, a number: the first that a call gives."""
        return bool(keras.ops.convert_to_numpy(self(step)[0]))

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> PruningSchedule:
        """Return a schedule from the arguments, or from all that `get_config` returned."""
        return cls(**(config["config"] if "class_name" in config else config))


class _SteppedSchedule(PruningSchedule):
    def __init__(self, begin_step: int, end_step: int, frequency: int) -> None:
        for name, value in (("begin_step", begin_step), ("end_step", end_step)):
            if value < 0 and not (name == "end_step" and value == -1):
                least = "at least 0" if name == "begin_step" else "-1 (no end) or at least 0"
                raise KerasCompressError(f"`{name}` must be {least}. Received: {name}={value!r}.")
        if end_step != -1 and begin_step > end_step:
            raise KerasCompressError(
                "`begin_step` may not come after `end_step`, unless that is -1. "
                f"Received: begin_step={begin_step}, end_step={end_step}."
            )
        if frequency <= 0:
            raise KerasCompressError(
                f"`frequency` must be above 0. Received: frequency={frequency!r}."
            )
        self.begin_step = begin_step
        self.end_step = end_step
        self.frequency = frequency

    def is_due(self, step: int) -> bool:
        if type(self) not in (ConstantSparsity, PolynomialDecay):
            return super().is_due(step)  # Whose call may say something else.
        # The same in plain numbers, for it is asked of every layer in every step.
        begun = step >= self.begin_step and (step - self.begin_step) % self.frequency == 0
        return begun and (self.end_step == -1 or step <= self.end_step)

    def _should_prune(self, step: Any) -> Any:
        ops = keras.ops
        due = ops.equal(ops.mod(step - self.begin_step, self.frequency), 0)
        due = ops.logical_and(due, ops.greater_equal(step, self.begin_step))
        if self.end_step != -1:
            due = ops.logical_and(due, ops.less_equal(step, self.end_step))
        return due

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
        check_sparsity("target_sparsity", target_sparsity)
        self.target_sparsity = target_sparsity

    def __call__(self, step: Any) -> tuple[Any, Any]:
        sparsity = keras.ops.convert_to_tensor(self.target_sparsity, dtype="float32")
        return self._should_prune(step), sparsity

    def get_config(self) -> dict[str, Any]:
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
        super().__init__(begin_step, end_step, frequency)
        check_sparsity("initial_sparsity", initial_sparsity)
        check_sparsity("final_sparsity", final_sparsity)
        if end_step == -1:
            raise KerasCompressError("A decay needs an end. Received: end_step=-1.")
        self.initial_sparsity = initial_sparsity
        self.final_sparsity = final_sparsity
        self.power = power

    def __call__(self, step: Any) -> tuple[Any, Any]:
        ops = keras.ops
        # A decay without length is over at once.
        length = max(self.end_step - self.begin_step, 1)
        done = ops.cast(step - self.begin_step, "float32") / float(length)
        if self.end_step == self.begin_step:
            done = ops.ones_like(done)
        left = 1.0 - ops.clip(done, 0.0, 1.0)
        drop = self.initial_sparsity - self.final_sparsity
        return self._should_prune(step), drop * ops.power(left, self.power) + self.final_sparsity

    def get_config(self) -> dict[str, Any]:
        return self._serialized(
            initial_sparsity=self.initial_sparsity,
            final_sparsity=self.final_sparsity,
            power=self.power,
        )
