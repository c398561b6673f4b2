"""Which groups a method may cut, as all methods ask for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_compress.channel_pruning.grouping import find_groups
from keras_compress.channel_pruning.groups import ChannelGroups, Selectors
from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    import keras

__all__ = ["groups_to_cut"]


def groups_to_cut(
    model: keras.Model,
    *,
    round_to: int = 8,
    min_channels: int = 1,
    layers: Selectors = None,
    veto: Selectors = None,
) -> ChannelGroups:
    """Return the groups of `model` within the limits given, at least one.

    Args:
        model: A built Sequential or functional model.
        round_to: As in `ChannelGroups.restrict`; heads, which no rounding is meant for, keep
            theirs. Defaults to `8`.
        min_channels: As in `ChannelGroups.restrict`. Defaults to `1`.
        layers: As in `ChannelGroups.restrict`. Defaults to `None`.
        veto: As in `ChannelGroups.restrict`. Defaults to `None`.

    Raises:
        KerasCompressError: If the graph of the model is unknown, or no channel may go.
    """
    groups = find_groups(model)
    if round_to != 8:
        whole = [name for name, group in groups.items() if group.round_to == 1]
        groups = groups.restrict(round_to=round_to).with_rounding(dict.fromkeys(whole, 1))
    groups = groups.restrict(min_channels=min_channels, layers=layers, veto=veto)
    if len(groups):
        return groups
    if groups.every:
        raise KerasCompressError(
            "Some group of channels must be left to cut. Received: `layers` and `veto` that leave "
            f"out all of {', '.join(group.name for group in groups.every)}."
        )
    reasons = {f"{row.layer!r} ({'; '.join(row.reasons[:2])})": None for row in groups.frozen}
    raise KerasCompressError(
        "Some channels must be free to go. Received: "
        f"{model.name!r}, in which all have to stay: "
        f"{', '.join(list(reasons)[:6]) or 'no layer makes channels'}. A rule for a layer of your "
        "own is registered by `register_rule`."
    )
