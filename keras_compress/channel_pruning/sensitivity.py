"""How much each group matters: the loss with a part of its channels gone, all others whole."""

from __future__ import annotations

import bisect
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_compress.channel_pruning.costs import ChannelCosts
from keras_compress.channel_pruning.evaluation import MaskedLoss
from keras_compress.channel_pruning.groups import ChannelGroups
from keras_compress.channel_pruning.selection import removal_steps, require_reachable
from keras_compress.channel_pruning.targets import Target
from keras_compress.search import Journal, run_trials
from keras_compress.search.progress import Progress

__all__ = ["GroupSensitivity", "rates_within", "scan_groups"]


@dataclass(frozen=True, eq=False)
class GroupSensitivity:
    """How the loss rises as one group is cut.

    Attributes:
        group: Its name.
        steps: What it may be cut to, one bool a channel, the whole first.
        rises: By how much the loss rises with each, never falling, at least 0.
    """

    group: str
    steps: tuple[NDArray[np.bool_], ...]
    rises: NDArray[np.float64]

    def within(self, rise: float) -> NDArray[np.bool_]:
        """Return the smallest part that raises the loss by at most `rise`."""
        return self.steps[int(np.flatnonzero(self.rises <= rise)[-1])]


def scan_groups(
    groups: ChannelGroups,
    scores: Mapping[str, NDArray[np.float64]],
    loss: MaskedLoss,
    *,
    points: int = 4,
    journal: Journal | None = None,
    progress: Progress | None = None,
) -> list[GroupSensitivity]:
    """Return the sensitivity of each group that has scores.

    Args:
        groups: The groups.
        scores: Of channels; those with the lowest go first.
        loss: Gives the loss with only some channels of some groups.
        points: How many parts of each group are tried; between them the rise is interpolated.
            Defaults to `4`.
        journal: Where results are kept, so that a scan that was stopped goes on. Defaults to
            `None`.
        progress: Told of each trial. Defaults to `None`.
    """
    progress = progress or Progress()
    steps = {n: removal_steps(groups[n], scores[n]) for n in groups if n in scores}
    settings = [["", 0]]
    for name, of in steps.items():
        tried = np.unique(np.linspace(0, len(of) - 1, points + 1).round().astype(int))
        settings += [[name, int(i)] for i in tried if i]
    progress.begin("Sensitivity of groups", len(settings))
    trials = run_trials(
        functools.partial(_loss_at, loss, steps),
        settings,
        journal=journal,
        on_result=lambda trial: progress.advance(detail=str(trial.setting[0])),
    )
    losses = {(name, i): trial.result for trial in trials for name, i in [trial.setting]}
    base = losses["", 0]
    found = []
    for name, of in steps.items():
        at = [0, *(i for group, i in losses if group == name)]
        rises = [0.0, *(value - base for (group, _), value in losses.items() if group == name)]
        # What can't be told (an infinite loss) is worse than anything that can.
        between = np.interp(np.arange(len(of)), at, np.nan_to_num(rises, posinf=1e30))
        found.append(GroupSensitivity(name, tuple(of), np.maximum.accumulate(between.clip(0))))
    progress.end()
    return found


def _loss_at(loss: Any, steps: Mapping[str, Any], setting: Any) -> float:
    name, step = setting
    return float(loss({name: steps[name][step]} if name else {}))


def rates_within(
    groups: ChannelGroups,
    found: list[GroupSensitivity],
    costs: ChannelCosts,
    target: Target,
) -> dict[str, NDArray[np.bool_]]:
    """Return what each group is cut to so that all raise the loss alike and a target is met.

    Args:
        groups: The groups.
        found: Their sensitivities.
        costs: What channels cost.
        target: What may be left.

    Raises:
        KerasCompressError: If the target can't be reached.
    """
    limits = target.limits(costs.full)
    require_reachable(groups, [each.group for each in found], costs, limits)
    # What is met by a rise is met by a larger one.
    rises = np.unique(np.concatenate([each.rises for each in found]))

    def meets(rise: float) -> bool:
        total = costs.total({each.group: each.within(rise) for each in found})
        return all(total[cost] <= limit for cost, limit in limits.items())

    rise = rises[bisect.bisect_left(rises[:-1], True, key=meets)]
    return {each.group: each.within(rise) for each in found}
