"""What to prune, by which criterion, how far and when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import keras

from keras_compress.argument_checks import check_count
from keras_compress.engine.technique import TechniqueConfig
from keras_compress.engine.weights import Selection, Selectors
from keras_compress.errors import KerasCompressError
from keras_compress.pruning.criteria import Criterion, Magnitude, get_criterion
from keras_compress.pruning.patterns import Pattern, Unstructured, get_pattern
from keras_compress.pruning.schedules import (
    PruningSchedule,
    Schedule,
    get_schedule,
    settling_step,
)


@keras.saving.register_keras_serializable(package="keras_compress")
@dataclass(frozen=True)
class PruningConfig(TechniqueConfig):
    """Settings of pruning, the same for the wrapper and the callback.

    A pattern, a criterion and a schedule are chosen apart, and each goes with each of the others.

    Example:

    ```python
    config = PruningConfig(
        schedule=PolynomialDecay(0.0, 0.9, begin_step=0, end_step=2000),
        pattern=Blocks((1, 4)),
        criterion=Taylor(),
        layers=["conv*", keras.layers.Dense],
    )
    ```

    Args:
        schedule: Sparsity as a function of the step: a `PruningSchedule`, any callable
            `int -> float`, or a number for a constant sparsity. Defaults to `None`: a constant
            sparsity of 0.5, or that of a `NofM` pattern.
        pattern: What is kept or pruned together: a `Pattern`, `"unstructured"`, `"filters"` or
            `"2:4"` and the like. Defaults to `"unstructured"`.
        criterion: What matters least: a `Criterion`, `"magnitude"`, `"taylor"` or `"random"`.
            Defaults to `"magnitude"`.
        scope: `"layer"` prunes each weight to the sparsity; `"global"` ranks all chosen weights
            together, so that the model as a whole has it. Defaults to `"layer"`.
        layers: Which layers: name, path, wildcard, class or predicate, or a list of these.
            Defaults to `None`: every layer with a kernel that the pattern can be laid on. Biases
            and normalization layers are left alone and reported.
        frequency: Steps from one making of the masks to the next. Defaults to `100`.

    Raises:
        KerasCompressError: If an argument is out of range, or the schedule ends at a sparsity
            that the pattern can't have.
    """

    schedule: Schedule | float | None = None
    pattern: Pattern | str = Unstructured()  # noqa: RUF009 - frozen
    criterion: Criterion | str = Magnitude()  # noqa: RUF009 - frozen
    scope: Literal["layer", "global"] = "layer"
    layers: Selectors = None
    frequency: int = 100

    def __post_init__(self) -> None:
        pattern = get_pattern(self.pattern)
        object.__setattr__(self, "pattern", pattern)
        object.__setattr__(self, "criterion", get_criterion(self.criterion))
        given = pattern.default_sparsity if self.schedule is None else self.schedule
        schedule = get_schedule(given)
        object.__setattr__(self, "schedule", schedule)
        if self.scope not in ("layer", "global"):
            raise KerasCompressError(
                f'`scope` must be "layer" or "global". Received: scope={self.scope!r}.'
            )
        check_count("frequency", self.frequency)
        # Other callables may count their calls, or not take each step.
        last = settling_step(schedule) if isinstance(schedule, PruningSchedule) else None
        if last is not None:
            pattern.require_sparsity(schedule(last))

    def select(self, model: keras.Model) -> Selection:
        """Return the weights of `model` to prune, and why each other one is left alone.

        Raises:
            KerasCompressError: If the model is unbuilt, `layers` matches nothing, or the pattern
                can't be laid on a weight that `layers` asks for.
        """
        pattern = get_pattern(self.pattern)
        selection = super().select(model)
        reasons = [(ref, pattern.why_not(ref)) for ref in selection.chosen]
        refused = [(ref, reason) for ref, reason in reasons if reason is not None]
        if refused and self.layers is not None:
            named = ", ".join(f"{ref.label} ({reason})" for ref, reason in refused)
            raise KerasCompressError(
                f"`layers` must be such that {pattern!r} can be laid on their kernels. Received: "
                f"{named}. Leave these out of `layers`, or prune them by another pattern."
            )
        chosen = tuple(ref for ref, reason in reasons if reason is None)
        return Selection(chosen, (*selection.left_alone, *refused))
