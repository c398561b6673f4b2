"""What a pruned model may cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras

from keras_compress.channel_pruning.costs import COSTS
from keras_compress.errors import KerasCompressError

__all__ = ["Target", "get_target"]


@keras.saving.register_keras_serializable(package="keras_compress")
@dataclass(frozen=True, kw_only=True)
class Target:
    """Upper limits on what is left of a model; all of them are met.

    Example:

    ```python
    Target(macs=0.5, parameters=200_000)
    ```

    Args:
        macs: Multiply-accumulates for one sample: a float below 1 is a share of the model's, an
            int the number itself. Defaults to `None` (no limit).
        parameters: Weights of any kind, likewise.
        activations: Values that layers with channels of their own return, likewise.

    Raises:
        KerasCompressError: If no limit is given, or one is neither.
    """

    macs: float | int | None = None
    parameters: float | int | None = None
    activations: float | int | None = None

    def __post_init__(self) -> None:
        given = {cost: getattr(self, cost) for cost in COSTS}
        if all(value is None for value in given.values()):
            raise KerasCompressError(
                f"A target limits one of {', '.join(COSTS)}. Received: no limit. Write, for half "
                "the multiply-accumulates, `Target(macs=0.5)`."
            )
        for cost, value in given.items():
            share = isinstance(value, float) and 0 < value < 1
            number = isinstance(value, int) and not isinstance(value, bool) and value >= 1
            if value is not None and not share and not number:
                raise KerasCompressError(
                    "A limit is a share of the model's as a float between 0 and 1, or a number as "
                    f"an int of at least 1. Received: {cost}={value!r}."
                )

    def limits(self, full: Mapping[str, int]) -> dict[str, float]:
        """Return the numbers that may be left, of a model that costs `full`."""
        found = {}
        for cost in COSTS:
            value = getattr(self, cost)
            if value is not None:
                found[cost] = full[cost] * value if isinstance(value, float) else float(value)
        return found

    def get_config(self) -> dict[str, object]:
        return dataclasses.asdict(self)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Target:
        return cls(**config)


def get_target(target: Target | float) -> Target:
    """Return a target as it is, or, of a number, the share of multiply-accumulates that it is."""
    return target if isinstance(target, Target) else Target(macs=target)
