"""One group of coupled channels, the weights that follow it, and what has to stay."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["ChannelGroup", "Frozen", "Member"]


@dataclass(frozen=True)
class Member:
    """An axis of a weight that follows a group.

    Attributes:
        layer: Path of the layer in the model.
        weight: Name of the variable.
        place: Its place in the `variables` of the layer.
        axis: The axis.
        role: `"makes"` the channels, `"reads"` them, or `"follows"`, as a normalization does.
        channels: Place in the group of each index along the axis; -1 where it isn't of the group.
    """

    layer: str
    weight: str
    place: int
    axis: int
    role: str
    channels: NDArray[np.int64] = dataclasses.field(repr=False, compare=False)


@dataclass(frozen=True)
class Frozen:
    """Channels that have to stay.

    Attributes:
        layer: Path of the layer that makes them.
        channels: How many of its channels.
        of: How many it makes.
        reasons: Why; each begins with the layer at fault.
    """

    layer: str
    channels: int
    of: int
    reasons: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class ChannelGroup:
    """Channels of one or more layers that are coupled: channel i of all of them goes, or none.

    Attributes:
        name: Path of the first layer that makes them; with a suffix where it makes several kinds.
        size: Number of channels. Of a grouped convolution a channel here is one in each group.
        layers: Paths of the layers that make them.
        members: The weights that follow.
        components: Component of each channel in the analysis, `(size,)`.
        makes: For each layer of `layers`, how many of its channels go with each, `(layers, size)`.
        rests: For each layer of `layers`, how many of its channels don't belong to the group.
        floors: Further axes that may not become empty, as rows of 0 and 1, `(n, size)`.
        round_to: Number that the channels left in a layer are a multiple of.
        min_channels: Fewest that may be left in a layer.
    """

    name: str
    size: int
    layers: tuple[str, ...]
    members: tuple[Member, ...]
    components: NDArray[np.int64]
    makes: NDArray[np.int64]
    rests: NDArray[np.int64]
    floors: NDArray[np.int64]
    round_to: int = 8
    min_channels: int = 1

    def __repr__(self) -> str:
        return f"ChannelGroup({self.name!r}, size={self.size}, layers={len(self.layers)})"

    def allows(self, kept: NDArray[np.bool_]) -> bool:
        """Whether the group may be cut to `kept`, by its rounding and its minimum, `(size,)`."""
        left = self.makes @ kept + self.rests
        full = self.makes.sum(axis=1) + self.rests
        whole = (left == full) | (left % self.round_to == 0)
        return bool(
            whole.all() and (left >= np.minimum(full, self.min_channels)).all() and self.holds(kept)
        )

    def holds(self, kept: NDArray[np.bool_]) -> bool:
        """Whether no axis becomes empty, which no rounding could excuse."""
        left = self.makes @ kept + self.rests
        return bool((left > 0).all() and (self.floors @ kept > 0).all())
