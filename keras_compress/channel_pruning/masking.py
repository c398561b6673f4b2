"""Removed channels held at zero in a model that still has them all.

A channel that no kernel reads might as well not be there, so the kernels' entries that read it are
zero. In training the optimizer keeps them so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_compress.channel_pruning.analysis import Analysis
from keras_compress.engine.graph import trace_graph
from keras_compress.engine.optimizer import ProjectedOptimizer
from keras_compress.engine.projection import Projection

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

__all__ = ["ReadMasks", "ReadVariable", "read_variables"]


class ReadVariable:
    """A variable that reads channels.

    Args:
        variable: The variable.
        axes: Along which of its axes, with the labels there.
    """

    def __init__(self, variable: keras.Variable, axes: list[tuple[int, NDArray[np.int64]]]) -> None:
        self.variable = variable
        self._axes = axes

    def mask(self, keep: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Return 0 where it reads other labels than those in `keep`, elsewhere 1."""
        mask = np.ones(tuple(self.variable.shape), "float32")
        for axis, labels in self._axes:
            index: list[Any] = [slice(None)] * mask.ndim
            index[axis % mask.ndim] = ~keep[labels]
            mask[tuple(index)] = 0
        return mask


def read_variables(analysis: Analysis, model: keras.Model) -> list[ReadVariable]:
    """Return the variables of `model` that read channels.

    Args:
        analysis: What is known of a model.
        model: That model, or a copy of it.
    """
    found: list[ReadVariable] = []
    done: set[int] = set()
    for node, counterpart in zip(analysis.graph.walk(), trace_graph(model).walk(), strict=True):
        if id(node.operation) in done:
            continue
        done.add(id(node.operation))
        axes: dict[int, list[tuple[int, NDArray[np.int64]]]] = {}
        for each in analysis.records[id(node.operation)].slices:
            if each.reads:
                axes.setdefault(each.variable, []).append((each.axis, each.labels))
        found += [
            ReadVariable(counterpart.operation.variables[place], of) for place, of in axes.items()
        ]
    return found


class _ReadMask(Projection):
    """Zero where a kernel reads what was removed."""

    kind = "channels"
    action = "channels removed"

    def create_state(self, optimizer: keras.Optimizer) -> list[keras.Variable]:
        shape = tuple(self.variable.shape)
        return [optimizer.add_variable(shape, initializer="ones", name="reads")]

    def prepare_gradient(self, gradient: Tensor) -> Tensor:
        return gradient * keras.ops.cast(self.state[0], gradient.dtype)

    def project(self, weight: Tensor, state: Sequence[object]) -> Tensor:
        return weight * keras.ops.cast(state[0], weight.dtype)

    def nearest(self, values: NDArray[Any]) -> NDArray[Any]:
        return values * keras.ops.convert_to_numpy(self.state[0])


class ReadMasks:
    """What the layers of a model in training read, to be taken away bit by bit.

    Args:
        analysis: What is known of a model.
        model: That model, or a copy of it, that is trained.
        optimizer: What it is trained by; kernels that aren't trained are masked once.
    """

    def __init__(
        self, analysis: Analysis, model: keras.Model, optimizer: ProjectedOptimizer
    ) -> None:
        self._reads = [
            (each, optimizer.add_projection(_ReadMask(each.variable)))
            if each.variable.trainable
            else (each, None)
            for each in read_variables(analysis, model)
        ]

    def set(self, keep: NDArray[np.bool_]) -> None:
        """Set to zero all that reads other labels than those in `keep`."""
        for each, projection in self._reads:
            mask = each.mask(keep)
            each.variable.assign(keras.ops.convert_to_numpy(each.variable) * mask)
            if projection is not None:
                projection.state[0].assign(mask)
                projection.pull_averages()
