"""The groups of a model: to look at, to restrict, and to tell models apart by."""

from __future__ import annotations

import dataclasses
import fnmatch
import hashlib
import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from keras_compress.channel_pruning.analysis import Analysis
from keras_compress.channel_pruning.group import ChannelGroup, Frozen
from keras_compress.channel_pruning.plot import plot_channels
from keras_compress.errors import KerasCompressError

__all__ = ["ChannelGroups", "Selectors"]

#: A group's or layer's name (shell wildcards allowed), a layer class, or a predicate of a layer.
Selector = str | type | Callable[[Any], bool]
Selectors = Selector | Sequence[Selector] | None


class ChannelGroups(Mapping[str, ChannelGroup]):
    """The groups of a model, by name; `find_groups` makes them. Prints as a table.

    Attributes:
        model: The model.
        frozen: What has to stay.
        vetoed: Names of groups that may go, but that `restrict` left out.
    """

    def __init__(
        self,
        analysis: Analysis,
        groups: Sequence[ChannelGroup],
        frozen: Sequence[Frozen],
        every: Sequence[ChannelGroup] | None = None,
    ) -> None:
        self.analysis = analysis
        self.model = analysis.graph.model
        self.frozen = tuple(frozen)
        self._groups = {group.name: group for group in groups}
        self._every = tuple(groups if every is None else every)

    def __getitem__(self, name: str) -> ChannelGroup:
        return self._groups[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._groups)

    def __len__(self) -> int:
        return len(self._groups)

    @property
    def every(self) -> tuple[ChannelGroup, ...]:
        """All groups of the model, those that `restrict` left out too."""
        return self._every

    @property
    def vetoed(self) -> tuple[str, ...]:
        return tuple(group.name for group in self._every if group.name not in self._groups)

    @property
    def fingerprint(self) -> str:
        """Tells models apart whose channels are coupled in another way; weights don't matter."""
        digest = hashlib.blake2b(digest_size=16)
        # Keras numbers layers without a name anew in each copy: their places tell as much.
        place_of = {r.path: i for i, r in enumerate(self.analysis.records.values())}
        for group in self._every:
            digest.update(f"{group.name}|{group.size}\n".encode())
            for member in group.members:
                place = place_of[member.layer]
                digest.update(f"{place}|{member.role}|{member.axis}|".encode())
                digest.update(member.channels.tobytes())
        return digest.hexdigest()

    def restrict(
        self,
        *,
        round_to: int | None = None,
        min_channels: int | None = None,
        layers: Selectors = None,
        veto: Selectors = None,
    ) -> ChannelGroups:
        """Return the groups with limits on what may be cut.

        Args:
            round_to: The channels that are left in a layer are a multiple of this; a layer whose
                channels aren't may stay as it is. Kernels of phones compute 8 or 16 channels at a
                time. Defaults to `None`: as it was, at first 8.
            min_channels: Fewest channels left in a layer. Defaults to `None`: as it was, at
                first 1.
            layers: Only groups made by such layers: names or paths (shell wildcards allowed),
                layer classes, predicates of a layer. Defaults to `None`: all.
            veto: No groups made or read by such layers. Defaults to `None`.

        Raises:
            KerasCompressError: If a number is below 1, or a name or class matches no layer.
        """
        for name, value in (("round_to", round_to), ("min_channels", min_channels)):
            if value is not None and (isinstance(value, bool) or int(value) != value or value < 1):
                raise KerasCompressError(
                    f"`{name}` must be an int of at least 1. Received: {value!r}."
                )
        chosen = list(self.values())
        if layers is not None:
            match = self._matcher(layers, "layers")
            chosen = [g for g in chosen if any(match(path) for path in g.layers)]
        if veto is not None:
            match = self._matcher(veto, "veto")
            chosen = [g for g in chosen if not any(match(m.layer) for m in g.members)]
        changed = [
            dataclasses.replace(
                g,
                round_to=g.round_to if round_to is None else int(round_to),
                min_channels=g.min_channels if min_channels is None else int(min_channels),
            )
            for g in chosen
        ]
        return ChannelGroups(self.analysis, changed, self.frozen, self._every)

    def with_rounding(self, round_to: Mapping[str, int]) -> ChannelGroups:
        """Return the groups with another `round_to` for each of those named."""
        changed = [
            dataclasses.replace(g, round_to=round_to[g.name]) if g.name in round_to else g
            for g in self.values()
        ]
        return ChannelGroups(self.analysis, changed, self.frozen, self._every)

    def keep_mask(self, kept: Mapping[str, NDArray[np.bool_]]) -> NDArray[np.bool_]:
        """Return which labels of the analysis stay, given the channels kept of some groups."""
        of = self.analysis.components.of
        stays = np.ones(int(of.max()) + 1 if of.size else 0, bool)
        by_name = {group.name: group for group in self._every}
        for name, mask in kept.items():
            stays[by_name[name].components] = mask
        return stays[of]

    def table(self) -> Table:
        """Return the groups as a `rich` table, with what is frozen below."""
        table = Table(title=f"Channel groups of {self.model.name!r}")
        for heading in ("group", "channels", "made by", "read by", "why it stays"):
            table.add_column(heading, justify="right" if heading == "channels" else "left")
        for group in self.values():
            readers = {m.layer: None for m in group.members if m.role == "reads"}
            table.add_row(group.name, str(group.size), _listed(group.layers), _listed(readers), "")
        for name in self.vetoed:
            size = next(group.size for group in self._every if group.name == name)
            table.add_row(name, str(size), "", "", "left out by the user")
        for each in self.frozen:
            table.add_row("-", str(each.channels), each.layer, "", "; ".join(each.reasons))
        return table

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Write a picture of the groups: how many channels each has, and what has to stay.

        Args:
            path: File to write, `.png`, `.svg` or `.pdf`.

        Raises:
            KerasCompressError: If matplotlib is not installed, or the ending names no format.
        """
        bars = [
            {
                "name": group.name,
                "before": group.size,
                "kept": 0 if group.name in self else group.size,
                "reason": "" if group.name in self else "left out by the user",
            }
            for group in self._every
        ]
        bars += [
            {"name": f.layer, "before": f.channels, "kept": f.channels, "reason": "has to stay"}
            for f in self.frozen
        ]
        plot_channels(bars, path, title=f"Channel groups of {self.model.name}", label="may go")

    def __str__(self) -> str:
        out = io.StringIO()
        Console(file=out, width=160).print(self.table())
        return out.getvalue()

    def __repr__(self) -> str:
        return f"<ChannelGroups of {self.model.name!r}: {len(self)} groups>"

    def _matcher(self, selectors: object, argument: str) -> Callable[[str], bool]:
        if isinstance(selectors, str | type) or callable(selectors):
            selectors = [selectors]
        selectors = list(selectors) if isinstance(selectors, Iterable) else [selectors]
        layer_of = {r.path: r.operation for r in self.analysis.records.values()}
        named = {group.name: group.layers for group in self._every}

        def matches(selector: Any, path: str) -> bool:
            if isinstance(selector, str):
                names = [path, *path.split("/")]
                names += [name for name, layers in named.items() if path in layers]
                return any(fnmatch.fnmatchcase(name, selector) for name in names)
            if isinstance(selector, type):
                return isinstance(layer_of[path], selector)
            return bool(selector(layer_of[path]))

        for selector in selectors:
            known = isinstance(selector, str | type)
            if known and not any(matches(selector, path) for path in layer_of):
                raise KerasCompressError(
                    f"Each entry of `{argument}` must match a layer or group of the model. "
                    f"Received: {selector!r}, which matches none. The groups are: "
                    f"{', '.join(named) or 'none'}."
                )
            if not known and not callable(selector):
                raise KerasCompressError(
                    f"`{argument}` takes names, layer classes and predicates of a layer. "
                    f"Received: {selector!r}."
                )
        return lambda path: any(matches(selector, path) for selector in selectors)


def _listed(names: Any) -> str:
    names = list(names)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
