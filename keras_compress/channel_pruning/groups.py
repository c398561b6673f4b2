"""Groups of channels: what a model has of them, what may go, and what has to stay and why."""

from __future__ import annotations

import dataclasses
import fnmatch
import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from keras_compress.channel_pruning.analysis import Analysis, analyze
from keras_compress.errors import KerasCompressError

__all__ = ["ChannelGroup", "ChannelGroups", "Frozen", "Member", "find_groups"]

#: A group's or layer's name (shell wildcards allowed), a layer class, or a predicate of a layer.
Selector = str | type | Callable[[Any], bool]
Selectors = Selector | Sequence[Selector] | None


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

    def __str__(self) -> str:
        out = io.StringIO()
        Console(file=out, width=160).print(self.table())
        return out.getvalue()

    def __repr__(self) -> str:
        return f"<ChannelGroups of {self.model.name!r}: {len(self)} groups>"

    def _matcher(self, selectors: Any, argument: str) -> Callable[[str], bool]:
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


def find_groups(model: Any) -> ChannelGroups:
    """Find which channels of `model` go together, and which have to stay and why.

    Channels are followed through each stock layer and `keras.ops` operation that moves, mixes or
    scales them. What reaches an input or an output of the model, or a layer that isn't understood,
    is frozen.

    Example:

    ```python
    groups = channel_pruning.find_groups(model)
    print(groups)
    groups = groups.restrict(round_to=16, veto="conv1")
    ```

    Args:
        model: A built Sequential or functional model, nested or not. It stays as it is.

    Returns:
        `ChannelGroups`, with `round_to=8`.

    Raises:
        KerasCompressError: If the graph of the model is unknown.
    """
    return _Grouping(analyze(model)).groups()


class _Grouping:
    """Makes groups of components."""

    def __init__(self, analysis: Analysis) -> None:
        self._analysis = analysis
        self._of = analysis.components.of
        self._reasons = analysis.components.reasons
        count = int(self._of.max(initial=-1)) + 1
        self._free = np.ones(count, bool)
        self._free[list(self._reasons)] = False
        #: Each thing that a layer makes: record, its name, components of its channels.
        self._made = [
            (record, name, self._of[labels])
            for record in analysis.records.values()
            for name, labels in record.produced.items()
        ]
        #: The group of each component, and its place there; -1 for what is in none.
        self._group_of = np.full(count, -1, np.int64)
        self._place_of = np.full(count, -1, np.int64)

    def groups(self) -> ChannelGroups:
        coupled = self._coupled()
        for number, places in enumerate(coupled):
            made = np.concatenate([self._made[i][2] for i in places])
            made = made[self._free[made]]
            _, first = np.unique(made, return_index=True)
            components = made[np.sort(first)]
            self._group_of[components] = number
            self._place_of[components] = np.arange(len(components))
        members = self._members(len(coupled))
        floors = self._floors(len(coupled))
        groups = [
            self._group(number, places, members[number], floors[number])
            for number, places in enumerate(coupled)
        ]
        return ChannelGroups(self._analysis, groups, self._frozen())

    def _coupled(self) -> list[list[int]]:
        """Return what shares a free component, as places in `_made`."""
        parent = list(range(len(self._made)))

        def root(i: int) -> int:
            while parent[i] != i:
                parent[i] = parent[parent[i]]
                i = parent[i]
            return i

        first = np.full(len(self._free), -1, np.int64)
        for i, (_, _, components) in enumerate(self._made):
            free = components[self._free[components]]
            for other in np.unique(first[free]):
                if other >= 0:
                    parent[root(i)] = root(int(other))
            first[free] = i
        found: dict[int, list[int]] = {}
        for i, (_, _, components) in enumerate(self._made):
            if self._free[components].any():
                found.setdefault(root(i), []).append(i)
        return sorted(found.values())

    def _group(
        self,
        number: int,
        places: list[int],
        members: list[Member],
        floors: dict[bytes, NDArray[np.int64]],
    ) -> ChannelGroup:
        made = [self._made[i] for i in places]
        components = np.flatnonzero(self._group_of == number)
        components = components[np.argsort(self._place_of[components])]
        size = len(components)
        makes, rests = np.zeros((len(made), size), np.int64), []
        for row, (_, _, labels) in zip(makes, made, strict=True):
            own = labels[self._group_of[labels] == number]
            np.add.at(row, self._place_of[own], 1)
            rests.append(len(labels) - len(own))
        record, name, _ = made[0]
        whole = any(name in record.whole for record, name, _ in made)
        return ChannelGroup(
            name=record.path if name == "channels" else f"{record.path}:{name}",
            size=size,
            layers=tuple({record.path: None for record, _, _ in made}),
            members=tuple(members),
            components=components,
            makes=makes,
            rests=np.array(rests, np.int64),
            floors=np.array(list(floors.values()), np.int64).reshape(-1, size),
            round_to=1 if whole else 8,
        )

    def _members(self, count: int) -> list[list[Member]]:
        """Return, for each group, the axes of weights that follow it."""
        found: list[list[Member]] = [[] for _ in range(count)]
        for record in self._analysis.records.values():
            made = {id(labels) for labels in record.produced.values()}
            for each in record.slices:
                components = self._of[each.labels]
                role = "reads" if each.reads else "makes" if id(each.labels) in made else "follows"
                name = record.operation.variables[each.variable].name
                groups = self._group_of[components]
                for number in np.unique(groups[groups >= 0]):
                    channels = np.where(groups == number, self._place_of[components], -1)
                    member = Member(record.path, name, each.variable, each.axis, role, channels)
                    found[number].append(member)
        return found

    def _floors(self, count: int) -> list[dict[bytes, NDArray[np.int64]]]:
        """Return, for each group, further axes that would be empty without some channels of it."""
        rows: list[dict[bytes, NDArray[np.int64]]] = [{} for _ in range(count)]
        axes = [self._analysis.labels(x) for x in self._analysis.tensors()]
        axes += [s.labels for record in self._analysis.records.values() for s in record.slices]
        for labels in {id(each): each for each in axes}.values():
            components = self._of[labels.reshape(-1)]
            numbers = self._group_of[components]
            # Of several groups each has a channel left; and what is frozen stays.
            if labels.size < 2 or numbers[0] < 0 or (numbers != numbers[0]).any():
                continue
            size = int((self._group_of == numbers[0]).sum())
            row = np.zeros(size, np.int64)
            row[self._place_of[components]] = 1
            if not row.all():
                rows[numbers[0]][row.tobytes()] = row
        return rows

    def _frozen(self) -> list[Frozen]:
        found = []
        for record, _, components in self._made:
            fixed = components[~self._free[components]]
            if len(fixed):
                why = {reason: None for c in np.unique(fixed) for reason in self._reasons[int(c)]}
                found.append(Frozen(record.path, len(fixed), len(components), tuple(why)))
        found += self._unknown({row.layer for row in found})
        return found

    def _unknown(self, known: set[str]) -> Iterator[Frozen]:
        """Yield layers with weights that nothing is known of."""
        for record in self._analysis.records.values():
            if record.path in known or record.produced or record.slices:
                continue
            if getattr(record.operation, "weights", ()):
                why = self._analysis.opaque(record) or "nothing in it follows channels"
                yield Frozen(record.path, 0, 0, (why,))


def _listed(names: Any) -> str:
    names = list(names)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
