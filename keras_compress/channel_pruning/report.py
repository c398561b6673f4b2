"""What channel pruning did: per group what was cut, what stays and why, what it all costs."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from keras_compress.channel_pruning.costs import ChannelCosts
from keras_compress.channel_pruning.group import Frozen
from keras_compress.channel_pruning.groups import ChannelGroups
from keras_compress.channel_pruning.plot import plot_channels

__all__ = ["ChannelReport", "GroupReport", "channel_report"]


@dataclass(frozen=True)
class GroupReport:
    """One group in a `ChannelReport`.

    Attributes:
        group: Its name.
        layers: Paths of the layers that make its channels.
        channels: How many it had.
        kept: How many are left.
        reason: Why it was left alone; empty otherwise.
    """

    group: str
    layers: tuple[str, ...]
    channels: int
    kept: int
    reason: str = ""


@dataclass(frozen=True)
class ChannelReport:
    """What channel pruning did to a model; prints as a table.

    Attributes:
        groups: What became of each group.
        frozen: Channels that had to stay, and why.
        before: What the model cost: `macs`, `parameters`, `activations`, for one sample.
        after: What is left.
        criterion: Name of the criterion's class.
        method: How channels were chosen.
        reestimated: Batch normalizations whose statistics were taken anew.
        compensated: Layers that were fitted to what they computed before.
        uncounted: Layers of whose multiply-accumulates nothing is known: they count as none.
    """

    groups: tuple[GroupReport, ...]
    frozen: tuple[Frozen, ...]
    before: Mapping[str, int]
    after: Mapping[str, int]
    criterion: str
    method: str
    reestimated: tuple[str, ...] = ()
    compensated: tuple[str, ...] = ()
    uncounted: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that `json.dumps` takes."""
        return {"technique": "channel pruning", **asdict(self)}

    def bars(self) -> list[dict[str, Any]]:
        """Return each group's channels `before` and `kept`, as `report.json` holds them.

        Channels that had to stay come last, with the `reason`.
        """
        cut = [
            {"name": g.group, "before": g.channels, "kept": g.kept, "reason": g.reason}
            for g in self.groups
        ]
        frozen = [
            {
                "name": each.layer,
                "before": each.channels,
                "kept": each.channels,
                "reason": "; ".join(each.reasons),
            }
            for each in self.frozen
        ]
        return cut + frozen

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Write a picture of the net before and after: a bar for each group of channels.

        Args:
            path: File to write, `.png`, `.svg` or `.pdf`.

        Raises:
            KerasCompressError: If matplotlib is not installed, or the ending names no format.
        """
        plot_channels(self.bars(), path, title=f"{self.criterion}, {self.method}")

    def __str__(self) -> str:
        table = Table(title=f"Channel pruning: {self.criterion}, {self.method}")
        for heading in ("group", "made by", "channels", "kept", "left alone because"):
            right = heading in ("channels", "kept")
            table.add_column(heading, justify="right" if right else "left")
        for row in self.groups:
            table.add_row(
                row.group, ", ".join(row.layers), str(row.channels), str(row.kept), row.reason
            )
        for each in self.frozen:
            why = "; ".join(each.reasons)
            table.add_row("-", each.layer, str(each.channels), str(each.channels), why)
        shares = [
            f"{cost} {self.before[cost]:,} to {self.after[cost]:,} "
            f"({self.after[cost] / max(self.before[cost], 1):.3f})"
            for cost in self.before
        ]
        if self.uncounted:
            shares.append(f"MACs not known of {', '.join(self.uncounted)}")
        table.caption = "; ".join(shares)
        out = io.StringIO()
        Console(file=out, width=160).print(table)
        return out.getvalue()


def channel_report(
    groups: ChannelGroups,
    masks: Mapping[str, Any],
    costs: ChannelCosts,
    criterion: str,
    method: str,
    reestimated: tuple[str, ...] = (),
    compensated: tuple[str, ...] = (),
) -> ChannelReport:
    """Return the report of a choice of channels."""
    rows = []
    for group in groups.every:
        reason = ""
        if group.name not in groups:
            reason = "left out by the user"
        elif group.name not in masks:
            reason = "the criterion has no score for it"
        kept = int(masks[group.name].sum()) if group.name in masks else group.size
        rows.append(GroupReport(group.name, group.layers, group.size, kept, reason))
    return ChannelReport(
        tuple(rows),
        groups.frozen,
        costs.full,
        costs.total(masks),
        criterion,
        method,
        reestimated,
        compensated,
        costs.uncounted,
    )
