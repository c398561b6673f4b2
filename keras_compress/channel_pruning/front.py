"""Rates by a multi-objective search: how much of each group, for each cost the best that was found.

NSGA-II over one rate a group; what a cut costs in loss is measured with the statistics of batch
normalization taken anew, without training.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keras_compress.channel_pruning.costs import COSTS, ChannelCosts
from keras_compress.channel_pruning.criteria import Criterion, Data, get_criterion
from keras_compress.channel_pruning.evaluation import MaskedLoss
from keras_compress.channel_pruning.groups import ChannelGroups, Selectors
from keras_compress.channel_pruning.plan import ChannelPlan
from keras_compress.channel_pruning.pruning import ChannelPruned
from keras_compress.channel_pruning.reestimation import reestimate_statistics
from keras_compress.channel_pruning.report import channel_report
from keras_compress.channel_pruning.scope import groups_to_cut
from keras_compress.channel_pruning.selection import removal_steps
from keras_compress.channel_pruning.targets import Target, get_target
from keras_compress.errors import KerasCompressError
from keras_compress.search import Journal, search_front
from keras_compress.search.progress import Progress

if TYPE_CHECKING:
    import keras

    from keras_compress.tensor import Tensor

__all__ = ["RateFront", "RatePoint", "search_rates"]


@dataclass(frozen=True, eq=False)
class RatePoint:
    """A compromise between loss and costs.

    Attributes:
        masks: The channels kept of each group, one bool each.
        loss: The mean loss without the others.
        costs: What is left of each cost, counted as in `ChannelCosts`.
    """

    masks: Mapping[str, NDArray[np.bool_]]
    loss: float
    costs: Mapping[str, int]


class RateFront:
    """What `search_rates` found.

    Attributes:
        points: The compromises, a `RatePoint` each, the loss rising.
    """

    def __init__(
        self, groups: ChannelGroups, points: Sequence[RatePoint], x: Tensor, criterion: str
    ) -> None:
        self.points = tuple(points)
        self._groups = groups
        self._x = x
        self._criterion = criterion

    def within(self, target: Target | float) -> RatePoint:
        """Return the point with the least loss that costs no more than `target`.

        Raises:
            KerasCompressError: If none does.
        """
        limits = get_target(target).limits(ChannelCosts(self._groups).full)
        for point in self.points:
            if all(point.costs[cost] <= limit for cost, limit in limits.items()):
                return point
        least = {cost: min(point.costs[cost] for point in self.points) for cost in limits}
        raise KerasCompressError(
            f"A target must be among the compromises found. Received: {limits}, where the smallest "
            f"have {least}. Search for more generations, or lower `round_to`."
        )

    def prune(self, target: Target | float = 0.5, *, reestimate: bool = True) -> ChannelPruned:
        """Return the model cut to the point with the least loss within `target`.

        Args:
            target: What may be left: a `Target`, or the share of multiply-accumulates. Defaults to
                `0.5`.
            reestimate: Whether the statistics of batch normalization are taken anew, on the samples
                of the search. Defaults to `True`.

        Raises:
            KerasCompressError: If no point costs so little.
        """
        point = self.within(target)
        cut = {name: mask for name, mask in point.masks.items() if not mask.all()}
        plan = ChannelPlan.of(self._groups, cut)
        small = plan.apply(self._groups)
        again = tuple(reestimate_statistics(small, self._x)) if reestimate else ()
        costs = ChannelCosts(self._groups)
        report = channel_report(
            self._groups, point.masks, costs, self._criterion, "multi-objective", again
        )
        return ChannelPruned(small, report, plan)


def search_rates(
    model: keras.Model,
    x: Tensor,
    y: Tensor,
    *,
    loss: object = None,
    costs: Sequence[str] = ("macs",),
    criterion: str | Criterion = "l1",
    population: int = 24,
    generations: int = 10,
    reestimate: int = 256,
    round_to: int = 8,
    min_channels: int = 1,
    layers: Selectors = None,
    veto: Selectors = None,
    batch_size: int = 64,
    seed: int = 0,
    workers: int = 1,
    backend: str = "processes",
    journal: Journal | None = None,
    progress: Progress | None = None,
) -> RateFront:
    """Search how much of each group to keep, for all targets at once (NSGA-II).

    Needs the extra `multi-objective`.

    Example:

    ```python
    front = channel_pruning.search_rates(model, x, y, generations=20)
    half, third = front.prune(0.5), front.prune(0.33)
    ```

    Args:
        model: A built Sequential or functional model. It stays as it is.
        x: Training inputs, arrays in the structure of the model's: a thousand are enough.
        y: Targets.
        loss: As in `prune`. Defaults to `None`: that of the compiled model.
        costs: What is to be small beside the loss: of `"macs"`, `"parameters"` and
            `"activations"`. Defaults to `("macs",)`.
        criterion: Which channels of a group go first. Defaults to `"l1"`.
        population: Candidates in a generation. Defaults to `24`.
        generations: How many of them. Defaults to `10`.
        reestimate: Samples that the statistics of batch normalization are taken anew on before a
            loss is measured; 0 leaves them. Defaults to `256`.
        round_to: As in `prune`. Defaults to `8`.
        min_channels: As in `prune`. Defaults to `1`.
        layers: As in `prune`. Defaults to `None`.
        veto: As in `prune`. Defaults to `None`.
        batch_size: Samples at a time. Defaults to `64`.
        seed: Of the search. Defaults to `0`.
        workers: Candidates measured side by side, in processes. Defaults to `1`.
        backend: `"processes"` or `"ray"`, as in `search.run_trials`. Defaults to `"processes"`.
        journal: Keeps what was measured, so that a search that was stopped goes on. Defaults to
            `None`.
        progress: Told how far it is. Defaults to `None`.

    Returns:
        A `RateFront`.

    Raises:
        KerasCompressError: If pymoo isn't installed, the model's graph is unknown, no channel may
            go, or an argument is out of range.
    """
    criterion = get_criterion(criterion)
    unknown = [cost for cost in costs if cost not in COSTS]
    if unknown or not costs:
        raise KerasCompressError(
            f"`costs` must be one or more of {', '.join(map(repr, COSTS))}. Received: {costs!r}."
        )
    limits: dict[str, Any] = {
        "round_to": round_to, "min_channels": min_channels, "layers": layers, "veto": veto
    }  # fmt: skip
    groups = groups_to_cut(model, **limits)
    scores = criterion.scores(groups, Data(x, y, loss, batch_size))
    names = [name for name in groups if name in scores]
    steps = {name: removal_steps(groups[name], scores[name]) for name in names}
    choices = [len(steps[name]) for name in names]
    prepare = functools.partial(
        _Candidates, model, steps, tuple(costs), x, y, loss, reestimate, batch_size
    )
    start = [[round(share * (number - 1)) for number in choices] for share in np.linspace(0, 1, 7)]
    found = search_front(
        _measured,
        choices,
        objectives=1 + len(costs),
        population=population,
        generations=generations,
        start=start,
        seed=seed,
        workers=workers,
        backend=backend,
        prepare=prepare,
        journal=journal,
        progress=progress,
    )
    counted = ChannelCosts(groups)
    points = []
    for point in found:
        masks = {n: steps[n][i] for n, i in zip(names, point.setting, strict=True)}
        points.append(RatePoint(masks, point.values[0], counted.total(masks)))
    return RateFront(groups, points, x, type(criterion).__name__)


class _Candidates:
    """What a worker needs to measure candidates."""

    def __init__(
        self,
        model: keras.Model,
        steps: dict[str, list[NDArray[np.bool_]]],
        costs: tuple[str, ...],
        x: Tensor,
        y: Tensor,
        loss: object,
        reestimate: int,
        batch_size: int,
    ) -> None:
        # What may be cut was settled before.
        groups = groups_to_cut(model)
        self._steps, self._names = steps, costs
        self._costs = ChannelCosts(groups)
        self._loss = MaskedLoss(groups, x, y, loss, reestimate=reestimate, batch_size=batch_size)

    def measure(self, setting: Sequence[int]) -> list[float]:
        parts = zip(self._steps.items(), setting, strict=True)
        masks = {name: of[i] for (name, of), i in parts}
        total = self._costs.total(masks)
        shares = [total[cost] / max(self._costs.full[cost], 1) for cost in self._names]
        return [self._loss(masks), *shares]


def _measured(candidates: _Candidates, setting: Sequence[int]) -> list[float]:
    return candidates.measure(setting)
