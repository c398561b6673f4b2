"""How a model runs on integers, as nodes: one an operator, and which of their ranges are one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import keras

__all__ = ["Node", "Plan", "RangeGroup"]

#: What becomes of a node's result: it gets a range of its own, has its input's and lies on its
#: grid, has its input's and is rounded to it, has one by the operator, or is not rounded: it is
#: later, or stays in float.
Result = Literal["own", "same", "rounded", "fixed", "none"]


class RangeGroup:
    """Results that have one range; groups that meet become one.

    Attributes:
        fixed: The range that the operator has, or `None`.
    """

    def __init__(self, name: str, fixed: tuple[float, float] | None = None) -> None:
        self.name = name
        self.fixed = fixed
        self._into: RangeGroup | None = None

    @property
    def root(self) -> RangeGroup:
        """The group that this one has become a part of."""
        return self if self._into is None else self._into.root

    def join(self, other: RangeGroup) -> None:
        """Make the two groups one."""
        mine, theirs = self.root, other.root
        if mine is not theirs:
            theirs._into = mine


@dataclass(eq=False)
class Node:
    """One operator on integers.

    Attributes:
        name: Name of the layer it comes from.
        make: Returns the operator's symbolic result from those of `inputs`; for a node with a
            kernel `None`.
        inputs: The nodes whose results it takes.
        result: What becomes of its result.
        group: The range of its result; `None` where that is none.
        layer: The layer with a kernel, or `None`.
        norm: The normalization that is folded into it.
        activation: The activation that is.
        is_float: Whether its result is in float, for no operator on integers takes it so far.
        sum_of: The two nodes whose results it adds up, where it is a sum, with a ReLU or without.
    """

    name: str
    make: Callable[..., Any] | None
    inputs: list[Node]
    result: Result
    group: RangeGroup | None
    layer: keras.Layer = None
    norm: Any = None
    activation: str = "linear"
    is_float: bool = False
    sum_of: tuple[Node, Node] | None = None

    def take_range(self) -> None:
        """Let the result, in float so far, be rounded to a range of its own."""
        if self.is_float:
            self.is_float, self.result, self.group = False, "own", RangeGroup(self.name)


@dataclass(eq=False)
class Plan:
    """The nodes of a graph, each after its inputs.

    Attributes:
        nodes: The nodes.
        inputs: For each input of the graph, in flat order, its node.
        outputs: For each output, in flat order, its node.
        kernels: The node of each layer with a kernel, in the order of the graph; `None` for one
            that stays in float.
    """

    nodes: list[Node] = field(default_factory=list)
    inputs: list[Node] = field(default_factory=list)
    outputs: list[Node] = field(default_factory=list)
    kernels: list[Node | None] = field(default_factory=list)
