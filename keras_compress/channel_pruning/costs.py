"""What channels cost: MACs, parameters, activation memory, and how these fall as channels go."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_compress.channel_pruning.coupling import Labels
from keras_compress.channel_pruning.groups import ChannelGroups
from keras_compress.engine.graph import GraphNode
from keras_compress.engine.profile import (
    Call,
    is_uncounted,
    layer_calls,
    observed_calls,
    weight_uses,
)
from keras_compress.errors import KerasCompressError
from keras_compress.layers import iter_layers

__all__ = ["COSTS", "ChannelCosts"]

#: What can be counted without running anything.
COSTS = ("macs", "parameters", "activations")

Masks = Mapping[str, NDArray[np.bool_]]


@dataclass(eq=False)
class _Axis:
    """An axis of weights or activations: how many of its channels are of which group."""

    fixed: int
    parts: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    left: int = 0


@dataclass(frozen=True, eq=False)
class _Term:
    """A product of axes, and how much each unit of it costs."""

    cost: str
    factor: float
    axes: tuple[int, ...]


class ChannelCosts:
    """Counts what is left of a model as channels of its groups go.

    * `"macs"`: multiply-accumulates by weights, for one sample;
    * `"parameters"`: weights of any kind;
    * `"activations"`: values that layers with channels of their own return, for one sample: the
      memory of Group Fisher pruning (Liu et al. 2021, section 3.3).

    Args:
        groups: The groups of the model.
        input_shape: Shape of one sample, without the batch, where the model leaves sides open.
            Defaults to `None`.

    Raises:
        KerasCompressError: If the size of an input isn't known.
    """

    def __init__(self, groups: ChannelGroups, input_shape: object = None) -> None:
        self._groups = {group.name: group for group in groups.every}
        of = groups.analysis.components.of
        count = int(of.max(initial=-1)) + 1
        self._of = of
        self._group_of = np.full(count, -1, np.int64)
        self._place_of = np.full(count, -1, np.int64)
        self._names = list(self._groups)
        for number, group in enumerate(groups.every):
            self._group_of[group.components] = number
            self._place_of[group.components] = np.arange(group.size)
        self._axes: list[_Axis] = []
        self._axis_of: dict[bytes, int] = {}
        self._terms: list[_Term] = []
        self._build(groups, input_shape)
        self._terms_of: dict[str, list[_Term]] = {name: [] for name in self._groups}
        for term in self._terms:
            names = {name for a in term.axes for name in self._axes[a].parts}
            for name in names:
                self._terms_of[name].append(term)
        #: What the whole model costs.
        self.full = self.total({})
        self.reset({})

    def total(self, masks: Masks) -> dict[str, int]:
        """Return what the model costs with only the channels in `masks` of some groups."""
        left = [self._length(axis, masks) for axis in self._axes]
        found = dict.fromkeys(COSTS, 0.0)
        for term in self._terms:
            found[term.cost] += term.factor * math.prod(left[a] for a in term.axes)
        return {cost: round(value) for cost, value in found.items()}

    def reset(self, masks: Masks) -> None:
        """Count from here on from these channels."""
        for axis in self._axes:
            axis.left = self._length(axis, masks)

    def saved(self, name: str, channels: NDArray[np.int64]) -> dict[str, float]:
        """Return what the removal of some channels of one group saves, from where it stands."""
        found = dict.fromkeys(COSTS, 0.0)
        gone = self._gone(name, channels)
        for term in self._terms_of[name]:
            before = after = term.factor
            for a in term.axes:
                before *= self._axes[a].left
                after *= self._axes[a].left - gone.get(a, 0)
            found[term.cost] += before - after
        return found

    def remove(self, name: str, channels: NDArray[np.int64]) -> None:
        """Take some channels of one group away."""
        for a, number in self._gone(name, channels).items():
            self._axes[a].left -= number

    def neighbours(self, name: str) -> set[str]:
        """Return the groups whose savings change with channels of one group."""
        return {
            other
            for term in self._terms_of[name]
            for a in term.axes
            for other in self._axes[a].parts
        }

    def _gone(self, name: str, channels: NDArray[np.int64]) -> dict[int, int]:
        axes = {a for term in self._terms_of[name] for a in term.axes}
        parts = ((a, self._axes[a].parts.get(name)) for a in axes)
        return {a: int(part[channels].sum()) for a, part in parts if part is not None}

    def _length(self, axis: _Axis, masks: Masks) -> int:
        length = axis.fixed
        for name, part in axis.parts.items():
            length += int(part[masks[name]].sum() if name in masks else part.sum())
        return length

    def _axis(self, labels: Labels) -> int:
        """Return the number of the axis that these labels run along."""
        key = self._of[labels].tobytes()
        if key not in self._axis_of:
            components = self._of[labels]
            numbers = self._group_of[components]
            axis = _Axis(int((numbers < 0).sum()))
            for number in np.unique(numbers[numbers >= 0]):
                part = np.zeros(self._groups[self._names[number]].size, np.int64)
                np.add.at(part, self._place_of[components[numbers == number]], 1)
                axis.parts[self._names[number]] = part
            self._axis_of[key] = len(self._axes)
            self._axes.append(axis)
        return self._axis_of[key]

    def _build(self, groups: ChannelGroups, input_shape: object) -> None:
        analysis = groups.analysis
        uses: dict[int, float] = {}
        uncounted: dict[str, None] = {}
        for node, layer, calls in _calls(groups, input_shape):
            for given, made in calls:
                for variable, times in weight_uses(layer, given, made):
                    uses[id(variable)] = uses.get(id(variable), 0) + times
            record = analysis.records[id(node.operation)]
            if layer is node.operation and record.produced and calls:
                self._activations(groups, node, calls[0][1])
            if isinstance(layer, keras.Layer) and is_uncounted(layer, calls):
                uncounted[record.path] = None
        #: Paths of layers of whose multiply-accumulates nothing is known: they count as none.
        self.uncounted = tuple(uncounted)
        for record in analysis.records.values():
            for place, variable in enumerate(getattr(record.operation, "variables", ())):
                if "seed" in variable.path:
                    continue
                slices = [s for s in record.slices if s.variable == place]
                axes = tuple(self._axis(s.labels) for s in slices)
                cut = {s.axis % len(variable.shape) for s in slices}
                rest = math.prod(n for a, n in enumerate(variable.shape) if a not in cut)
                self._terms.append(_Term("parameters", rest, axes))
                if uses.get(id(variable)):
                    self._terms.append(_Term("macs", rest * uses[id(variable)], axes))

    def _activations(self, groups: ChannelGroups, node: Any, made: tuple[int, ...]) -> None:
        labels = groups.analysis.labels(node.outputs[0])
        varying = [a for a, size in enumerate(labels.shape) if size > 1]
        rest = math.prod(n for a, n in enumerate(made) if a not in varying)
        axes = tuple(self._axis(labels.reshape(-1)) for _ in varying)
        self._terms.append(_Term("activations", rest, axes))


def _calls(
    groups: ChannelGroups, input_shape: Any
) -> Iterator[tuple[GraphNode, keras.Operation, list[Call]]]:
    """Yield each node, its operation and the layers within that, and the shapes of their calls."""
    graph = groups.analysis.graph
    flat = keras.tree.flatten(graph.inputs)
    given = all(None not in x.shape[1:] for x in flat)
    if given and _is_known(graph):
        repeats = graph.runs()
        for node in graph.walk():
            if not node.inputs:
                continue
            sides = tuple(node.inputs[0].shape[1:]), tuple(node.outputs[0].shape[1:])
            yield node, node.operation, [sides] * repeats[id(node)]
            below = [layer for _, layer in iter_layers(node.operation)]
            if below and node.operation.weights:
                inner = _inner_calls(node)
                for layer in below:
                    yield node, layer, inner.get(id(layer), []) * repeats[id(node)]
        return
    if given and len(flat) == 1:
        # A layer within may leave open what it could know.
        input_shape = flat[0].shape[1:]
    if input_shape is None or len(flat) > 1:
        raise KerasCompressError(
            "Costs depend on the size of the input: pass `input_shape`, without the batch axis. "
            f"Received: {groups.model.name!r} with inputs {[tuple(x.shape) for x in flat]}."
        )
    calls = layer_calls(groups.model, tuple(input_shape))
    for nodes in graph.calls().values():
        # The calls of a shared layer all count for its first node.
        operation = nodes[0].operation
        yield nodes[0], operation, calls.get(id(operation), [])
        for _, layer in iter_layers(operation):
            yield nodes[0], layer, calls.get(id(layer), [])


def _inner_calls(node: GraphNode) -> dict[int, list[Call]]:
    """Run a layer that holds others on zeros, and return the shapes of the calls of these."""

    def zeros(value: Any) -> Any:
        if not isinstance(value, keras.KerasTensor):
            return value
        return keras.ops.zeros((1, *value.shape[1:]), value.dtype)

    args, kwargs = keras.tree.map_structure(zeros, (node.args, node.kwargs))
    with observed_calls(node.operation) as found:
        node.operation(*args, **kwargs)
    return found


def _is_known(graph: Any) -> bool:
    nodes = [node for node in graph.walk() if getattr(node.operation, "weights", ())]
    return all(None not in x.shape[1:] for node in nodes for x in (node.inputs[0], node.outputs[0]))
