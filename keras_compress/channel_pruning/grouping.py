"""Finds the groups of a model: components of the analysis that layers make together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from keras_compress.channel_pruning.analysis import Analysis, analyze
from keras_compress.channel_pruning.group import ChannelGroup, Frozen, Member
from keras_compress.channel_pruning.groups import ChannelGroups

if TYPE_CHECKING:
    import keras

__all__ = ["find_groups"]


def find_groups(model: keras.Model) -> ChannelGroups:
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
