"""Sparsity schedules: pure functions from the training step to the share of zeros.

A schedule is called with the number of training steps already done, as a Python int, and returns
the sparsity to hold from then on, from 0 up to but not including 1. Any callable of that form is
a schedule; the classes below also know from which to which step there is something to do, and
serialize.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import keras

from keras_compress.argument_checks import check_count
from keras_compress.engine.frozen import Frozen
from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor


def check_sparsity(name: str, value: Tensor) -> float:
    """Return `value` as a float if it is a sparsity.

    Raises:
        KerasCompressError: Unless `0 <= value < 1`. (At 1 a layer would be cut through.)
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not 0.0 <= number < 1.0:
        raise KerasCompressError(
            f"`{name}` is a share of zeros and must lie in [0, 1). Received: {name}={value!r}."
        )
    return number


def check_step(name: str, value: Tensor) -> int:
    """Return `value` if it is a training step.

    Raises:
        KerasCompressError: Unless it is an int of at least 0.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise KerasCompressError(
            f"`{name}` is a training step and must be an int of at least 0. "
            f"Received: {name}={value!r}."
        )
    return value


class PruningSchedule(Frozen):
    """Base class of the schedules; subclass it, or pass any callable of the step instead.

    Attributes:
        begin_step: First step at which masks are made.
        end_step: Last step at which they change, or `None` if they always may.
    """

    begin_step: int = 0
    end_step: int | None = None

    def __call__(self, step: int) -> float:
        """Return the sparsity to hold once `step` training steps are done."""
        raise NotImplementedError


@keras.saving.register_keras_serializable(package="keras_compress")
@dataclass(frozen=True)
class ConstantSparsity(PruningSchedule):
    """The same sparsity from `begin_step` on.

    Example:

    ```python
    schedule = ConstantSparsity(0.8, begin_step=100)
    schedule(99), schedule(100)  # (0.0, 0.8)
    ```

    Args:
        sparsity: Share of zeros, in [0, 1).
        begin_step: First step with zeros. Defaults to `0`.
        end_step: Last step at which masks may still change, or `None` for no end. Defaults to
            `None`.

    Raises:
        KerasCompressError: If the sparsity is outside [0, 1) or the steps are out of order.
    """

    sparsity: float
    begin_step: int = 0
    end_step: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "sparsity", check_sparsity("sparsity", self.sparsity))
        begin = check_step("begin_step", self.begin_step)
        if self.end_step is not None and check_step("end_step", self.end_step) < begin:
            raise _out_of_order(begin, self.end_step)

    def __call__(self, step: int) -> float:
        return self.sparsity if step >= self.begin_step else 0.0


@keras.saving.register_keras_serializable(package="keras_compress")
@dataclass(frozen=True)
class OneShot(PruningSchedule):
    """All at once: nothing before `step`, the whole sparsity from it, one mask for good.

    Args:
        sparsity: Share of zeros, in [0, 1).
        step: The step at which to prune. Defaults to `0`.

    Raises:
        KerasCompressError: If the sparsity is outside [0, 1) or the step is negative.
    """

    sparsity: float
    step: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "sparsity", check_sparsity("sparsity", self.sparsity))
        step = check_step("step", self.step)
        object.__setattr__(self, "begin_step", step)
        object.__setattr__(self, "end_step", step)

    def __call__(self, step: int) -> float:
        return self.sparsity if step >= self.step else 0.0


@keras.saving.register_keras_serializable(package="keras_compress")
@dataclass(frozen=True)
class PolynomialDecay(PruningSchedule):
    """Density that decays polynomially from `begin_step` to `end_step`.

    With the default power of 3 this is the gradual schedule of Zhu and Gupta (arXiv 1710.01878,
    eq. 1): `s(t) = s_f + (s_i - s_f) * (1 - (t - t_0) / (t_1 - t_0)) ** power`. It prunes fast
    while there are many redundant weights and slowly when few are left.

    Example:

    ```python
    schedule = PolynomialDecay(0.5, 0.9, begin_step=0, end_step=1000)
    schedule(0), schedule(1000), schedule(5000)  # (0.5, 0.9, 0.9)
    ```

    Args:
        initial_sparsity: Sparsity at `begin_step`, in [0, 1).
        final_sparsity: Sparsity from `end_step` on, in [0, 1).
        begin_step: First step with zeros.
        end_step: Step at which the final sparsity is reached; after `begin_step`.
        power: Exponent of the decay, above 0. Defaults to `3`.

    Raises:
        KerasCompressError: If a sparsity is outside [0, 1), the steps are out of order or the
            power is not positive.
    """

    initial_sparsity: float
    final_sparsity: float
    begin_step: int
    end_step: int
    power: float = 3

    def __post_init__(self) -> None:
        for name in ("initial_sparsity", "final_sparsity"):
            object.__setattr__(self, name, check_sparsity(name, getattr(self, name)))
        begin = check_step("begin_step", self.begin_step)
        if check_step("end_step", self.end_step) <= begin:
            raise _out_of_order(begin, self.end_step)
        if not float(self.power) > 0:
            raise KerasCompressError(f"`power` must be above 0. Received: power={self.power!r}.")

    def __call__(self, step: int) -> float:
        if step < self.begin_step:
            return 0.0
        progress = min(1.0, (step - self.begin_step) / (self.end_step - self.begin_step))
        drop = self.initial_sparsity - self.final_sparsity
        return self.final_sparsity + drop * (1.0 - progress) ** self.power


@keras.saving.register_keras_serializable(package="keras_compress")
@dataclass(frozen=True)
class StaircaseSparsity(PruningSchedule):
    """One sparsity after the other, with a number of steps of retraining at each.

    The way to prune iteratively (Han et al., arXiv 1506.02626, section 3.4) within one `fit`;
    `prune_iteratively` also looks at the accuracy.

    Example:

    ```python
    schedule = StaircaseSparsity([0.5, 0.75, 0.9], steps=400)
    schedule(0), schedule(400), schedule(5000)  # (0.5, 0.75, 0.9)
    ```

    Args:
        sparsities: Shares of zeros, in [0, 1), none smaller than the one before.
        steps: Steps at each sparsity, at least 1; the last one stays.
        begin_step: First step with zeros. Defaults to `0`.

    Raises:
        KerasCompressError: If a sparsity is outside [0, 1) or they fall, or a number of steps is
            out of range.
    """

    sparsities: Sequence[float]
    steps: int
    begin_step: int = 0

    def __post_init__(self) -> None:
        sparsities = tuple(check_sparsity("sparsities", each) for each in self.sparsities)
        if not sparsities or tuple(sorted(sparsities)) != sparsities:
            raise KerasCompressError(
                "`sparsities` must be one or more sparsities that don't fall. "
                f"Received: sparsities={list(self.sparsities)!r}."
            )
        object.__setattr__(self, "sparsities", sparsities)
        check_count("steps", self.steps)
        begin = check_step("begin_step", self.begin_step)
        object.__setattr__(self, "end_step", begin + self.steps * (len(sparsities) - 1))

    def __call__(self, step: int) -> float:
        if step < self.begin_step:
            return 0.0
        place = min((step - self.begin_step) // self.steps, len(self.sparsities) - 1)
        return self.sparsities[place]


Schedule = Callable[[int], float]


def get_schedule(schedule: Schedule | float) -> Schedule:
    """Return a schedule, given as such or as a constant sparsity.

    Args:
        schedule: A `PruningSchedule`, any callable of the step, or a number in [0, 1).

    Raises:
        KerasCompressError: If a number is no sparsity.
    """
    if callable(schedule):
        return schedule
    return ConstantSparsity(check_sparsity("schedule", schedule))


def last_due_step(schedule: Schedule, step: int, frequency: int) -> int | None:
    """Return the latest step, `step` or earlier, at which the masks are to be made anew.

    Masks are due at `begin_step`, then every `frequency` steps, and at `end_step` itself.
    Returns `None` before `begin_step`.
    """
    begin = getattr(schedule, "begin_step", 0)
    end = getattr(schedule, "end_step", None)
    if step < begin:
        return None
    if end is not None and step >= end:
        return int(end)
    return int(begin + (step - begin) // frequency * frequency)


def settling_step(schedule: Schedule) -> int | None:
    """Return the step from which masks no longer change, or `None` if the schedule can't tell."""
    end = getattr(schedule, "end_step", None)
    if end is None and isinstance(schedule, ConstantSparsity):
        # Zeros are the smallest weights, so that the same ones are found again.
        return schedule.begin_step
    return None if end is None else int(end)


def _out_of_order(begin: int, end: int) -> KerasCompressError:
    return KerasCompressError(
        f"`end_step` must come after `begin_step`. Received: begin_step={begin}, end_step={end}."
    )
