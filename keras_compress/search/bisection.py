"""Bisection: the last value of one number that still meets a demand, by ever narrower rounds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from keras_compress.argument_checks import check_count
from keras_compress.errors import KerasCompressError

__all__ = ["Bracket", "bisect"]


@dataclass(frozen=True)
class Bracket:
    """Two values between which a demand stops being met.

    Attributes:
        met: The value nearest to `unmet` that meets it; where the search began if none was found.
        unmet: The nearest value beyond it that doesn't.
        rounds: Rounds it took.
    """

    met: float
    unmet: float
    rounds: int = 0


def bisect(
    is_met: Callable[[list[float]], Sequence[bool]],
    met: float,
    unmet: float,
    *,
    rounds: int,
    points: int = 1,
    first: Sequence[float] | None = None,
    scale: str = "linear",
    resolution: float = 0.0,
    on_round: Callable[[Bracket], object] | None = None,
) -> Bracket:
    """Narrow the range between a value that meets a demand and one that doesn't.

    Neither end is tried: `met` is taken to meet the demand and `unmet` not to, and either may be
    the larger.

    Example:

    ```python
    found = search.bisect(lambda xs: [x * x <= 2 for x in xs], 0.0, 2.0, rounds=20)
    round(found.met, 3)  # 1.414
    ```

    Args:
        is_met: Called with the values of a round, returns for each whether it meets the demand.
            It may try them side by side, as with `run_trials`.
        met: A value that meets it.
        unmet: A value that doesn't.
        rounds: Most rounds to go.
        points: Values of a round, evenly between the two ends. Defaults to `1`.
        first: The values of the first round instead. Defaults to `None`.
        scale: `"linear"`, `"log"` for even ratios, or `"integer"` for whole numbers alone, of which
            the search ends at two neighbours. Defaults to `"linear"`.
        resolution: The search ends once the two are no further apart. Defaults to `0.0`.
        on_round: Called with the `Bracket` after each round. Defaults to `None`.

    Returns:
        The last `Bracket`. Where the demand is met on and off, the met value nearest to `unmet`
        counts.

    Raises:
        KerasCompressError: If an argument is out of range.
    """
    check_count("rounds", rounds)
    check_count("points", points)
    if scale not in ("linear", "log", "integer"):
        raise KerasCompressError(
            f'`scale` is "linear", "log" or "integer". Received: scale={scale!r}.'
        )
    if not np.isfinite([met, unmet]).all() or (scale == "log" and not min(met, unmet) > 0):
        raise KerasCompressError(
            "A range to search has finite ends, above 0 on the log scale. Received: "
            f"met={met!r}, unmet={unmet!r}, scale={scale!r}."
        )
    if scale == "integer":
        if not float(met).is_integer() or not float(unmet).is_integer():
            raise KerasCompressError(
                "A range of whole numbers has whole ends. Received: "
                f"met={met!r}, unmet={unmet!r}, scale={scale!r}."
            )
        resolution = max(resolution, 1.0)
    spaced = np.geomspace if scale == "log" else np.linspace
    bracket = Bracket(float(met), float(unmet))
    direction = 1.0 if unmet > met else -1.0
    for turn in range(1, rounds + 1):
        if abs(bracket.unmet - bracket.met) <= resolution:
            break
        values = [float(v) for v in spaced(bracket.met, bracket.unmet, points + 2)[1:-1]]
        if turn == 1 and first is not None:
            values = [float(value) for value in first]
        elif scale == "integer":
            values = [bracket.met + math.trunc(value - bracket.met) for value in values]
            values = [value for value in dict.fromkeys(values) if value != bracket.met]
        answers = list(zip(values, is_met(values), strict=True))
        good = [value for value, answer in answers if answer] + [bracket.met]
        nearest = max(good, key=lambda value: direction * value)
        beyond = [v for v, answer in answers if not answer and direction * (v - nearest) > 0]
        low = min([*beyond, bracket.unmet], key=lambda value: direction * value)
        bracket = Bracket(nearest, low, turn)
        if on_round is not None:
            on_round(bracket)
    return bracket
