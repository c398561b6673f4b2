"""Chooses channels by scores until a target is met: the same share of each group, or globally."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_compress.channel_pruning.costs import ChannelCosts
from keras_compress.channel_pruning.group import ChannelGroup
from keras_compress.channel_pruning.groups import ChannelGroups
from keras_compress.channel_pruning.targets import Target
from keras_compress.errors import KerasCompressError
from keras_compress.search.bisection import bisect

__all__ = [
    "least_step",
    "next_channels",
    "removal_steps",
    "require_reachable",
    "select_greedily",
    "select_uniformly",
]

Masks = dict[str, NDArray[np.bool_]]


def select_greedily(
    groups: ChannelGroups,
    scores: Mapping[str, NDArray[np.float64]],
    costs: ChannelCosts,
    target: Target,
    *,
    per: str | None = None,
) -> Masks:
    """Choose what to keep: the channels that matter least go first, from whatever group.

    A step takes as many channels of one group as its rounding asks for; steps are compared by the
    mean score of their channels, or by their score for each unit of a cost that they save.

    Args:
        groups: The groups to cut.
        scores: Of each channel; a group without any isn't cut.
        costs: What channels cost.
        target: What may be left.
        per: The cost that scores are divided by. Defaults to `None`: the mean score counts.

    Raises:
        KerasCompressError: If the target can't be reached.
    """
    limits = target.limits(costs.full)
    masks = {name: np.ones(groups[name].size, bool) for name in groups if name in scores}
    costs.reset({})
    left = {cost: float(costs.full[cost]) for cost in limits}
    steps = {name: next_channels(groups[name], scores[name], masks[name]) for name in masks}
    merits: dict[str, float] = {}
    while any(left[cost] > limit for cost, limit in limits.items()):
        for name, channels in steps.items():
            if name not in merits and channels is not None:
                merits[name] = _merit(scores[name], channels, costs, name, per)
        if not merits:
            raise _not_reached(costs, masks, limits, groups)
        name = min(merits, key=lambda each: merits[each])
        channels = steps[name]
        assert channels is not None  # noqa: S101 (of a merit)
        saved = costs.saved(name, channels)
        for cost in left:
            left[cost] -= saved[cost]
        costs.remove(name, channels)
        masks[name][channels] = False
        steps[name] = next_channels(groups[name], scores[name], masks[name])
        del merits[name]
        if per is not None:
            for other in costs.neighbours(name):
                merits.pop(other, None)
    return masks


def select_uniformly(
    groups: ChannelGroups,
    scores: Mapping[str, NDArray[np.float64]],
    costs: ChannelCosts,
    target: Target,
) -> Masks:
    """Choose what to keep: the same share of each group, found by bisection.

    A group whose rounding doesn't allow the share keeps the next larger number that it allows.

    Raises:
        KerasCompressError: If the target can't be reached.
    """
    limits = target.limits(costs.full)
    orders = {name: removal_steps(groups[name], scores[name]) for name in groups if name in scores}

    def masks_at(share: float) -> Masks:
        found = {}
        for name, steps in orders.items():
            fitting = [mask for mask in steps if mask.sum() >= share * groups[name].size]
            found[name] = fitting[-1]
        return found

    def fits(masks: Masks) -> bool:
        total = costs.total(masks)
        return all(total[cost] <= limit for cost, limit in limits.items())

    if not fits(masks_at(0.0)):
        raise _not_reached(costs, masks_at(0.0), limits, groups)
    # 20 rounds are finer than one channel in any group.
    found = bisect(lambda shares: [fits(masks_at(share)) for share in shares], 0.0, 1.0, rounds=20)
    return masks_at(found.met)


def least_step(
    groups: ChannelGroups,
    scores: Mapping[str, NDArray[np.float64]],
    masks: Masks,
    costs: ChannelCosts,
    per: str | None,
) -> tuple[str, NDArray[np.int64], float] | None:
    """Return the step of all groups that matters least: its group, channels and merit.

    Args:
        groups: The groups.
        scores: Of their channels.
        masks: The channels that are left, on which `costs` stands.
        costs: What channels cost.
        per: The cost that scores are divided by, or `None`.
    """
    found = []
    for name, mask in masks.items():
        channels = next_channels(groups[name], scores[name], mask)
        if channels is not None:
            found.append((name, channels, _merit(scores[name], channels, costs, name, per)))
    return min(found, key=lambda step: step[2], default=None)


def require_reachable(
    groups: ChannelGroups, names: Iterable[str], costs: ChannelCosts, limits: Mapping[str, float]
) -> None:
    """Raise if cutting the groups named as far as they go leaves more than `limits`."""
    masks = {name: removal_steps(groups[name], np.zeros(groups[name].size))[-1] for name in names}
    total = costs.total(masks)
    if any(total[cost] > limit for cost, limit in limits.items()):
        raise _not_reached(costs, masks, limits, groups)


def next_channels(
    group: ChannelGroup, scores: NDArray[np.float64], mask: NDArray[np.bool_]
) -> NDArray[np.int64] | None:
    """Return the fewest channels with the lowest scores without which a group may be.

    Args:
        group: The group.
        scores: Of its channels.
        mask: Those it has left.

    Returns:
        Their indices, or `None` if no further channel may go.
    """
    kinds, of = np.unique(group.makes, axis=1, return_inverse=True)
    if kinds.shape[1] == 1:
        return _minimal_step(group, scores, mask, mask)
    # Channels that run through other layers than others of the group, as with shortcuts padded by
    # zeros: taken from one kind alone they keep all layers in step.
    steps = [
        _minimal_step(group, scores, mask, mask & (of.reshape(-1) == k)) for k in np.unique(of)
    ]
    steps.append(_minimal_step(group, scores, mask, mask))
    found = [step for step in steps if step is not None]
    return min(found, key=lambda step: float(scores[step].mean()), default=None)


def _minimal_step(
    group: ChannelGroup,
    scores: NDArray[np.float64],
    mask: NDArray[np.bool_],
    among: NDArray[np.bool_],
) -> NDArray[np.int64] | None:
    """Return the fewest channels of `among`, lowest scores first, that a group may lose."""
    kept = mask.copy()
    left = group.makes @ kept + group.rests
    full = group.makes.sum(axis=1) + group.rests
    minimum = np.minimum(full, np.maximum(group.min_channels, 1))
    floors = group.floors @ kept
    gone: list[int] = []
    for channel in np.flatnonzero(among)[np.argsort(scores[among], kind="stable")]:
        after, floors_after = left - group.makes[:, channel], floors - group.floors[:, channel]
        if (after < minimum).any() or (floors_after < 1).any():
            continue
        left, floors = after, floors_after
        kept[channel] = False
        gone.append(int(channel))
        if ((left == full) | (left % group.round_to == 0)).all():
            return np.array(gone, np.int64)
    return None


def removal_steps(group: ChannelGroup, scores: NDArray[np.float64]) -> list[NDArray[np.bool_]]:
    """Return what a group may be cut to, step by step, the whole first."""
    masks = [np.ones(group.size, bool)]
    while (channels := next_channels(group, scores, masks[-1])) is not None:
        mask = masks[-1].copy()
        mask[channels] = False
        masks.append(mask)
    return masks


def _merit(
    scores: NDArray[np.float64],
    channels: NDArray[np.int64],
    costs: ChannelCosts,
    name: str,
    per: str | None,
) -> float:
    total = float(scores[channels].sum())
    if per is None:
        return total / len(channels)
    saved = costs.saved(name, channels)[per]
    return total / saved if saved > 0 else np.inf


def _not_reached(
    costs: ChannelCosts, masks: Masks, limits: Mapping[str, Any], groups: ChannelGroups
) -> KerasCompressError:
    total = costs.total(masks)
    far = [
        f"{cost} to {limit:,.0f}, which can fall from {costs.full[cost]:,} to {total[cost]:,} "
        f"({total[cost] / costs.full[cost]:.2f} of them)"
        for cost, limit in limits.items()
        if total[cost] > limit
    ]
    others = [name for name in groups.vetoed][:3]
    why = f" Left out were {', '.join(map(repr, others))}." if others else ""
    return KerasCompressError(
        f"A target must be in reach. Received: {'; '.join(far)}.{why} Lower `round_to` or "
        "`min_channels`, leave fewer groups out, or ask for less."
    )
