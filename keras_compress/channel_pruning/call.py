"""What a rule gets to see of one call of a layer, and what it may say about it."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_compress.channel_pruning.coupling import Coupling, Labels
from keras_compress.engine.graph import GraphNode

if TYPE_CHECKING:
    import keras

__all__ = ["LayerCall", "LayerRecord", "NotUnderstoodError", "Slice"]

#: Takes which labels stay, one bool for each, and returns the new value of a setting.
Setting = Callable[[np.ndarray], Any]


class NotUnderstoodError(Exception):
    """Raised by a rule: what the layer reads and makes has to stay, for the reason given."""


@dataclass(frozen=True)
class Slice:
    """An axis of a variable that follows channels.

    Attributes:
        variable: Place of the variable in the `variables` of the layer.
        axis: The axis.
        labels: The label of each index along it.
        reads: Whether this is where channels are read: with the kernel zero there, what they hold
            no longer matters.
    """

    variable: int
    axis: int
    labels: Labels
    reads: bool


@dataclass(eq=False)
class LayerRecord:
    """What the rules said about an operation, over all its calls.

    Attributes:
        operation: The layer or operation.
        path: Where its first call stands.
        produced: Labels of the channels that it makes, by a name for them.
        slices: Axes of its variables.
        settings: New values in its configuration, by the way of keys to them.
        arguments: New arguments of a call, by the `id` of the node and their place or name.
        whole: Names of what it produces that isn't rounded to multiples, such as heads.
    """

    operation: keras.Operation
    path: str
    produced: dict[str, Labels] = field(default_factory=dict)
    slices: list[Slice] = field(default_factory=list)
    settings: dict[tuple[str, ...], Setting] = field(default_factory=dict)
    arguments: dict[int, dict[int | str, Setting]] = field(default_factory=dict)
    whole: set[str] = field(default_factory=set)


class LayerCall:
    """One call of a layer, as a rule sees it.

    A rule is a function of a `LayerCall` that returns the labels of what the layer returns: an
    integer array of the rank of the output without the batch, of size 1 along each axis that no
    channel runs along. It raises `NotUnderstoodError` where it can't tell.

    Attributes:
        layer: The layer, or the operation of `keras.ops`.
        inputs: Labels of each symbolic tensor that it is given.
        args: Its positional arguments, symbolic tensors among them.
        kwargs: Its arguments by name.
        input_shapes: Shapes of the tensors without the batch.
        output_shapes: Shapes of what it returns without the batch.
    """

    def __init__(
        self, node: GraphNode, inputs: list[Labels], record: LayerRecord, coupling: Coupling
    ) -> None:
        self.layer = node.operation
        self.inputs = inputs
        self.args = node.args
        self.kwargs = node.kwargs
        self.input_shapes = [tuple(x.shape[1:]) for x in node.inputs]
        self.output_shapes = [tuple(x.shape[1:]) for x in node.outputs]
        self._node = node
        self._record = record
        self._outer = node.operation
        self._within: tuple[str, ...] = ()
        self._coupling = coupling
        self._slices: list[Slice] = []
        self._settings: dict[tuple[str, ...], Setting] = {}
        self._arguments: dict[int | str, Setting] = {}

    def of_steps(self, layer: keras.Layer, key: str) -> LayerCall:
        """Return the call of a layer that is called for each step, the first axis, by itself.

        Args:
            layer: The layer within this one.
            key: Where it stands in the configuration of this one.

        Raises:
            NotUnderstoodError: If channels run along the steps.
        """
        if any(labels.shape[0] > 1 for labels in self.inputs):
            raise NotUnderstoodError("channels run along its steps")
        inner = copy.copy(self)
        inner.layer = layer
        inner.inputs = [labels[0] for labels in self.inputs]
        inner.args, inner.kwargs = (), {}
        inner.input_shapes = [shape[1:] for shape in self.input_shapes]
        inner.output_shapes = [shape[1:] for shape in self.output_shapes]
        inner._within = (*self._within, key, "config")
        return inner

    @property
    def rank(self) -> int:
        """Axes of the first input, without the batch."""
        return len(self.input_shapes[0])

    def channel_axis(self) -> int:
        """Return the axis of the channels, without the batch, by the layer's `data_format`."""
        first = getattr(self.layer, "data_format", "channels_last") == "channels_first"
        return 0 if first else self.rank - 1

    def channels(self, axis: int, index: int = 0) -> Labels:
        """Return the labels of input `index` along `axis`, one for each index along it.

        Raises:
            NotUnderstoodError: If channels run along another axis.
        """
        labels, shape = self.inputs[index], self.input_shapes[index]
        axis %= labels.ndim
        if math.prod(labels.shape) != labels.shape[axis]:
            raise NotUnderstoodError("its channels run along an axis that it doesn't treat as such")
        flat = labels.reshape(-1)
        if flat.size == shape[axis]:
            return flat
        if shape[axis] is None:
            raise NotUnderstoodError("its number of channels isn't known")
        return np.broadcast_to(flat, (shape[axis],))

    def only_along(self, axis: int, index: int = 0) -> Labels:
        """Return the labels of input `index`, which must not vary along another axis than `axis`.

        Raises:
            NotUnderstoodError: If channels run along another axis.
        """
        labels = self.inputs[index]
        if math.prod(labels.shape) != labels.shape[axis % labels.ndim]:
            raise NotUnderstoodError("its channels run along an axis that it mixes")
        return labels

    def constant_along(self, axes: Any, index: int = 0) -> Labels:
        """Return the labels of input `index`, which must not vary along any of `axes`.

        Raises:
            NotUnderstoodError: If channels run along one of them.
        """
        labels = self.inputs[index]
        if any(labels.shape[axis] > 1 for axis in axes):
            raise NotUnderstoodError("it mixes channels")
        return labels

    def produce(self, count: int, name: str = "channels", *, whole: bool = False) -> Labels:
        """Return labels of `count` channels that the layer makes, the same in each of its calls.

        Args:
            count: How many.
            name: What they are called, where a layer makes several kinds.
            whole: Whether their number needs no rounding to multiples, as that of heads.
        """
        if name not in self._record.produced:
            self._record.produced[name] = self._coupling.fresh(count)
        if whole:
            self._record.whole.add(name)
        return self._record.produced[name]

    def fresh(self, count: int) -> Labels:
        """Return labels of things that come from nowhere, such as zeros of a padding."""
        return self._coupling.fresh(count)

    def along(self, axis: int, labels: Labels, index: int = 0) -> Labels:
        """Return labels of output `index` that run along `axis`."""
        shape = [1] * len(self.output_shapes[index])
        shape[axis] = len(labels)
        return labels.reshape(shape)

    def one_axis(self, labels: Labels) -> Labels:
        """Return labels that vary along one axis alone, by tying them along the others."""
        return self._coupling.one_axis(labels)

    def tie(self, one: Labels, other: Labels) -> None:
        """Say that labels at one place, broadcast, go together."""
        self._coupling.tie(one, other)

    def freeze(self, labels: Labels, reason: str) -> None:
        """Say that what has these labels has to stay."""
        self._coupling.freeze(labels, f"{self._node.path}: {reason}")

    def slice(self, variable: keras.Variable, axis: int, labels: Labels) -> None:
        """Say that a variable follows channels along `axis`. `None` is no variable, and passes."""
        self._add(variable, axis, labels, reads=False)

    def read(self, variable: keras.Variable, axis: int, labels: Labels) -> None:
        """Say that a kernel reads channels along `axis`."""
        self._add(variable, axis, labels, reads=True)

    def set(self, key: str | tuple[str, ...], value: Setting) -> None:
        """Say what becomes of an entry of the layer's configuration.

        Args:
            key: The entry, or the keys that lead to it.
            value: Takes which labels stay, one bool for each, and returns the new value.
        """
        keys = (key,) if isinstance(key, str) else key
        self._settings[self._within + keys] = value

    def count(self, key: str | tuple[str, ...], labels: Labels) -> None:
        """Say that an entry of the configuration is the number of channels with these labels."""
        self.set(key, lambda keep: int(keep[labels].sum()))

    def argument(self, place: int | str, value: Setting) -> None:
        """Say what becomes of an argument of this call, by its place or name."""
        self._arguments[place] = value

    def commit(self) -> None:
        """Write what was said into the record; a rule that failed leaves nothing there."""
        known = {(s.variable, s.axis): s for s in self._record.slices}
        for each in self._slices:
            before = known.get((each.variable, each.axis))
            if before is None:
                known[each.variable, each.axis] = each
                self._record.slices.append(each)
            else:
                # One weight in several calls, or for several things: they go together.
                self._coupling.tie(before.labels, each.labels)
        for key, value in self._settings.items():
            self._record.settings.setdefault(key, value)
        if self._arguments:
            self._record.arguments[id(self._node)] = self._arguments

    def _add(self, variable: keras.Variable, axis: int, labels: Labels, *, reads: bool) -> None:
        if variable is None:
            return
        places = [i for i, v in enumerate(self._outer.variables) if v is variable]
        if not places:
            raise NotUnderstoodError("its weights are kept in a way that isn't known")
        axis %= len(variable.shape)
        if len(labels) != variable.shape[axis]:
            raise NotUnderstoodError(
                f"its {variable.name!r} has {variable.shape[axis]} entries where there are "
                f"{len(labels)} channels"
            )
        self._slices.append(Slice(places[0], axis, labels, reads))
