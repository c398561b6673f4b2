"""What to prune, how far and when."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from keras_compress.engine.weights import Selectors
from keras_compress.errors import KerasCompressError
from keras_compress.pruning.schedules import ConstantSparsity, Schedule, check_sparsity


@dataclass(frozen=True)
class PruningConfig:
    """Settings of magnitude pruning, the same for the wrapper and the callback.

    Example:

    ```python
    config = PruningConfig(
        schedule=PolynomialDecay(0.0, 0.9, begin_step=0, end_step=2000),
        layers=["conv*", keras.layers.Dense],
    )
    ```

    Args:
        schedule: Sparsity as a function of the step: a `PruningSchedule`, any callable
            `int -> float`, or a number for a constant sparsity. Defaults to a constant 0.5.
        layers: Which layers: name, path, wildcard, class or predicate, or a list of these.
            Defaults to `None`: every layer with a kernel. Biases and normalization layers are
            left alone and reported.
        scope: `"layer"` prunes each weight to the sparsity; `"global"` ranks all chosen weights
            together, so that the model as a whole has it. Defaults to `"layer"`.
        frequency: Steps from one making of the masks to the next. Defaults to `100`.

    Raises:
        KerasCompressError: If an argument is out of range.
    """

    schedule: Schedule | float = field(default_factory=lambda: ConstantSparsity(0.5))
    layers: Selectors = None
    scope: Literal["layer", "global"] = "layer"
    frequency: int = 100

    def __post_init__(self) -> None:
        if not callable(self.schedule):
            sparsity = check_sparsity("schedule", self.schedule)
            object.__setattr__(self, "schedule", ConstantSparsity(sparsity))
        if self.scope not in ("layer", "global"):
            raise KerasCompressError(
                f'`scope` must be "layer" or "global". Received: scope={self.scope!r}.'
            )
        frequency = self.frequency
        if isinstance(frequency, bool) or not isinstance(frequency, int) or frequency < 1:
            raise KerasCompressError(
                f"`frequency` must be an int of at least 1. Received: frequency={frequency!r}."
            )
