"""Training steps of two nets, timed in turn; imports no framework, for peers have their own."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from typing import Any


def time_steps(nets: Mapping[str, Any], x: Any, y: Any, rounds: int) -> dict[str, float]:
    """Return the milliseconds of a step of each compiled net, and the second's over the first's.

    Time is the processor's, for others may be at work on it; medians over the rounds, of three
    steps each. The first step, which traces, isn't counted.
    """
    for net in nets.values():
        net.train_on_batch(x, y)
    times: dict[str, list[float]] = {name: [] for name in nets}
    for _ in range(rounds):
        for name, net in nets.items():
            began = time.process_time()
            for _ in range(3):
                net.train_on_batch(x, y)
            times[name].append((time.process_time() - began) / 3)
    record = {name: round(1000 * statistics.median(each), 1) for name, each in times.items()}
    first, second = times.values()
    ratios = [b / a for a, b in zip(first, second, strict=True)]
    return {**record, "ratio": round(statistics.median(ratios), 3)}
