"""Conditional pruning: a policy that is trained once and asked at any rate.

Liu, Guo, Guo, Zhang, Pan 2020, "Conditional Automated Channel Pruning for Deep Neural Networks"
(CACP), arXiv 2009.09724: an agent of DDPG (Lillicrap et al. 2016) walks through the groups and says
how much of each stays; the rate that is asked for is part of what it sees, and its actions are
clipped to what the rate allows. Small networks and the loss without fine-tuning take the place of
the paper's hundreds of GPU hours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from keras_compress.argument_checks import check_count
from keras_compress.channel_pruning.actor_critic import ActorCritic, Transition
from keras_compress.channel_pruning.costs import ChannelCosts
from keras_compress.channel_pruning.criteria import Criterion, Data, get_criterion
from keras_compress.channel_pruning.evaluation import MaskedLoss
from keras_compress.channel_pruning.groups import ChannelGroups, Selectors
from keras_compress.channel_pruning.plan import ChannelPlan
from keras_compress.channel_pruning.pruning import ChannelPruned
from keras_compress.channel_pruning.reestimation import reestimate_statistics
from keras_compress.channel_pruning.report import channel_report
from keras_compress.channel_pruning.scope import groups_to_cut
from keras_compress.channel_pruning.selection import removal_steps, require_reachable
from keras_compress.errors import KerasCompressError
from keras_compress.search import Journal
from keras_compress.search.progress import Progress

if TYPE_CHECKING:
    import keras

    from keras_compress.tensor import Tensor

__all__ = ["ConditionalPolicy", "search_policy"]

#: What the agent sees of a group: place, channels, MACs of it, gone so far, still to come, what it
#: did last, and the rate that is asked for.
_FEATURES = 7
_WORST = 10.0
#: Steps of learning for each step that was walked: they cost nothing beside a loss.
_LEARNED = 16


class ConditionalPolicy:
    """Says how much of each group to keep, for any rate; `search_policy` makes it.

    Attributes:
        rates: The lowest and the highest rate that it was trained for.
        agent: The actor and critic that answer.
    """

    def __init__(
        self,
        groups: ChannelGroups,
        steps: dict[str, list[NDArray[np.bool_]]],
        rates: tuple[float, float],
        agent: ActorCritic,
        x: Tensor,
        criterion: str,
    ) -> None:
        self.rates, self.agent = rates, agent
        self._walk = _Walk(groups, steps)
        self._groups, self._x, self._criterion = groups, x, criterion

    def masks(self, rate: float) -> dict[str, NDArray[np.bool_]]:
        """Return the channels kept of each group, with at most `rate` of the MACs.

        Args:
            rate: Share of the multiply-accumulates that may be left, within `rates`.

        Raises:
            KerasCompressError: If it is outside of them.
        """
        low, high = self.rates
        if not low <= rate <= high:
            raise KerasCompressError(
                f"A policy is asked for a rate that it was trained for, {low:g} to {high:g}. "
                f"Received: {rate!r}. Search with other `rates`."
            )
        return self._walk.masks(self._walk.go(rate, self.agent.act)[0])

    def prune(self, rate: float = 0.5, *, reestimate: bool = True) -> ChannelPruned:
        """Return the model cut to a rate.

        Args:
            rate: As of `masks`. Defaults to `0.5`.
            reestimate: Whether the statistics of batch normalization are taken anew, on the samples
                of the search. Defaults to `True`.

        Raises:
            KerasCompressError: If the rate is outside of `rates`.
        """
        masks = self.masks(rate)
        cut = {name: mask for name, mask in masks.items() if not mask.all()}
        plan = ChannelPlan.of(self._groups, cut)
        small = plan.apply(self._groups)
        again = tuple(reestimate_statistics(small, self._x)) if reestimate else ()
        costs = self._walk.costs
        report = channel_report(
            self._groups,
            masks,
            costs,
            self._criterion,
            "conditional policy",
            again,
        )
        return ChannelPruned(small, report, plan)


class _Walk:
    """The way through the groups: states, and actions clipped to what a rate allows."""

    def __init__(self, groups: ChannelGroups, steps: dict[str, list[NDArray[np.bool_]]]) -> None:
        self.costs = ChannelCosts(groups)
        self.names = list(steps)
        self._steps = steps
        self._least = {name: of[-1] for name, of in steps.items()}
        full = self.costs.full["macs"]
        largest = max(len(of[0]) for of in steps.values())
        self._sizes = [len(steps[name][0]) / largest for name in self.names]
        self._own = [
            1 - self.costs.total({name: self._least[name]})["macs"] / full for name in self.names
        ]

    def masks(self, chosen: list[int]) -> dict[str, NDArray[np.bool_]]:
        return {n: self._steps[n][i] for n, i in zip(self.names, chosen, strict=True)}

    def go(
        self, rate: float, act: Callable[[NDArray[np.float32]], float]
    ) -> tuple[list[int], list[NDArray[np.float32]], list[float]]:
        """Return the steps chosen, the states on the way, and the actions as they were taken."""
        full = self.costs.full["macs"]
        chosen: list[int] = []
        states: list[NDArray[np.float32]] = []
        taken: list[float] = []
        for place, name in enumerate(self.names):
            so_far = self.masks_of(chosen)
            left = self.costs.total(so_far)["macs"] / full
            after = sum(self._own[place:])
            before = taken[-1] if taken else 1.0
            state = np.array(
                [
                    place / len(self.names), self._sizes[place], self._own[place], 1 - left, after,
                    before, rate,
                ],
                "float32",
            )  # fmt: skip
            step = self.clipped(rate, chosen, act(state))
            chosen.append(step)
            states.append(state)
            taken.append(float(self._steps[name][step].mean()))
        return chosen, states, taken

    def masks_of(self, chosen: list[int]) -> dict[str, NDArray[np.bool_]]:
        return {n: self._steps[n][i] for n, i in zip(self.names, chosen, strict=False)}

    def clipped(self, rate: float, chosen: list[int], action: float) -> int:
        """Return the step nearest above a share kept, after which the rate can still be met."""
        name = self.names[len(chosen)]
        steps = self._steps[name]
        kept = np.array([mask.mean() for mask in steps])
        step = int(np.flatnonzero(kept >= min(action, 1.0) - 1e-9)[-1])
        rest = {n: self._least[n] for n in self.names[len(chosen) + 1 :]}
        limit = rate * self.costs.full["macs"]
        while step < len(steps) - 1:
            masks = {**self.masks_of(chosen), name: steps[step], **rest}
            if self.costs.total(masks)["macs"] <= limit:
                break
            step += 1
        return step


@dataclass(frozen=True)
class _Exploring:
    """Actions of an agent, or about a middle, with noise."""

    agent: ActorCritic | None
    middle: float
    spread: float
    generator: np.random.Generator

    def __call__(self, state: NDArray[np.float32]) -> float:
        middle = self.middle if self.agent is None else self.agent.act(state)
        return middle + float(self.generator.normal(0, self.spread))


def search_policy(
    model: keras.Model,
    x: Tensor,
    y: Tensor,
    *,
    loss: object = None,
    rates: tuple[float, float] = (0.3, 0.8),
    episodes: int = 200,
    criterion: str | Criterion = "l1",
    reestimate: int = 256,
    round_to: int = 8,
    min_channels: int = 1,
    layers: Selectors = None,
    veto: Selectors = None,
    batch_size: int = 64,
    seed: int = 0,
    journal: Journal | None = None,
    progress: Progress | None = None,
) -> ConditionalPolicy:
    """Train a policy that prunes to any rate (CACP, Liu et al. 2020).

    Each episode draws a rate. The policy walks through the groups and says what share of each
    stays, clipped so that the rate can still be met; the loss of the cut model, without training,
    is what it is judged by at the end.

    Example:

    ```python
    policy = channel_pruning.search_policy(model, x, y, rates=(0.4, 0.8), episodes=30)
    half, most = policy.prune(0.5), policy.prune(0.8)
    ```

    Args:
        model: A built Sequential or functional model. It stays as it is.
        x: Training inputs, arrays in the structure of the model's: a thousand are enough.
        y: Targets.
        loss: As in `prune`. Defaults to `None`: that of the compiled model.
        rates: Lowest and highest share of the multiply-accumulates that it shall be asked for.
            Defaults to `(0.3, 0.8)`.
        episodes: Models that are tried. Defaults to `200`.
        criterion: Which channels of a group go first. Defaults to `"l1"`.
        reestimate: As in `search_rates`. Defaults to `256`.
        round_to: As in `prune`. Defaults to `8`.
        min_channels: As in `prune`. Defaults to `1`.
        layers: As in `prune`. Defaults to `None`.
        veto: As in `prune`. Defaults to `None`.
        batch_size: Samples at a time. Defaults to `64`.
        seed: Of the networks, the rates and the exploration. Defaults to `0`.
        journal: Keeps the losses, so that a search that was stopped soon is where it was. Defaults
            to `None`.
        progress: Told of each episode. Defaults to `None`.

    Raises:
        KerasCompressError: If the model's graph is unknown, no channel may go, an argument is out
            of range, or the lowest rate can't be reached.
    """
    check_count("episodes", episodes)
    low, high = rates
    if not 0 < low <= high < 1:
        raise KerasCompressError(
            f"`rates` are two shares between 0 and 1, the lower one first. Received: {rates!r}."
        )
    criterion, progress = get_criterion(criterion), progress or Progress()
    groups = groups_to_cut(
        model, round_to=round_to, min_channels=min_channels, layers=layers, veto=veto
    )
    scores = criterion.scores(groups, Data(x, y, loss, batch_size))
    steps = {n: removal_steps(groups[n], scores[n]) for n in groups if n in scores}
    walk = _Walk(groups, steps)
    require_reachable(groups, steps, walk.costs, {"macs": low * walk.costs.full["macs"]})
    measured = MaskedLoss(groups, x, y, loss, reestimate=reestimate, batch_size=batch_size)
    journal = Journal(None, "policy") if journal is None else journal
    agent = ActorCritic(_FEATURES, seed)
    generator = np.random.default_rng(seed)
    warm, noise = max(1, episodes // 4), 0.5
    progress.begin("Policy", episodes)
    for episode in range(episodes):
        rate = float(generator.uniform(low, high))
        # At first by chance, about what the rate asks for.
        middle = rate + generator.normal(0, 0.2)
        spread = 0.25 if episode < warm else noise * 0.97 ** (episode - warm)
        explore = _Exploring(None if episode < warm else agent, middle, spread, generator)
        chosen, states, taken = walk.go(rate, explore)
        found = journal.get(chosen)
        if found is None:
            found = journal.record(chosen, measured(walk.masks(chosen)))
        for place, (state, action) in enumerate(zip(states, taken, strict=True)):
            last = place == len(states) - 1
            following = state if last else states[place + 1]
            reward = -min(found, _WORST) if last else 0.0
            agent.remember(Transition(state, action, reward, following, last))
        if episode >= warm - 1:
            for _ in range(_LEARNED * len(states)):
                agent.learn()
        progress.advance(detail=f"{rate:.2f} of the MACs: a loss of {found:.3f}")
    progress.end()
    return ConditionalPolicy(groups, steps, (low, high), agent, x, type(criterion).__name__)
