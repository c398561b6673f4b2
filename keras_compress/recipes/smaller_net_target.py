"""What channel pruning as one call is to reach: a share of a cost, an accuracy, or both."""

from __future__ import annotations

from dataclasses import dataclass

from keras_compress.argument_checks import check_max_drop
from keras_compress.errors import KerasCompressError

__all__ = ["SmallerNetTarget"]


@dataclass(frozen=True)
class SmallerNetTarget:
    """How far `prune_channels` goes: one of the first three, `max_drop` or both.

    Args:
        macs: Share of the multiply-accumulates that may be left, between 0 and 1.
            Defaults to `None`.
        parameters: Share of the weights that may be left. Defaults to `None`.
        latency: Share of the latency in LiteRT, float32 on one thread of this machine, that may be
            left. Defaults to `None`.
        max_drop: Most percentage points of accuracy to lose. Alone it is searched for how far
            pruning may go; beside another it decides whether the target counts as reached.
            Defaults to `None`.

    Raises:
        KerasCompressError: If none is given, several of the first three are, or one is out of
            range.
    """

    macs: float | None = None
    parameters: float | None = None
    latency: float | None = None
    max_drop: float | None = None

    def __post_init__(self) -> None:
        shares = {"macs": self.macs, "parameters": self.parameters, "latency": self.latency}
        given = {name: value for name, value in shares.items() if value is not None}
        if len(given) > 1 or (not given and self.max_drop is None):
            raise KerasCompressError(
                "A target is one of `macs`, `parameters` and `latency`, or `max_drop`, or one of "
                f"them with it. Received: {self}."
            )
        for name, value in given.items():
            if isinstance(value, bool) or not isinstance(value, float) or not 0 < value < 1:
                raise KerasCompressError(
                    f"`{name}` is the share that may be left, a float between 0 and 1. Received: "
                    f"{name}={value!r}."
                )
        if self.max_drop is not None:
            check_max_drop(self.max_drop)


def met(
    target: SmallerNetTarget, before: dict[str, float], after: dict[str, float]
) -> tuple[bool, str]:
    """Return whether the final figures meet the target, and what doesn't."""
    problems = []
    if target.latency is not None:
        ratio = after["latency_ms"] / before["latency_ms"]
        # Measured again, at another moment than in the search.
        if ratio > target.latency * 1.05:
            problems.append(f"The latency is {ratio:.2f} of the model's, not {target.latency:g}.")
    drop = 100 * (before["accuracy"] - after["accuracy"])
    if target.max_drop is not None and drop > target.max_drop + 1e-9:
        problems.append(f"{drop:.2f} points are lost on the held-out images.")
    return not problems, " ".join(problems)
