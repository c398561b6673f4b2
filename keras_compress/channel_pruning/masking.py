"""Removed channels held at zero while a model is trained, before any surgery.

A channel that no kernel reads might as well not be there, so the kernels' entries that read it are
zero, and the optimizer keeps them so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_compress.channel_pruning.analysis import Analysis
from keras_compress.engine.graph import trace_graph
from keras_compress.engine.optimizer import ProjectedOptimizer
from keras_compress.engine.projection import Projection

__all__ = ["ReadMasks"]


class _ReadMask(Projection):
    """Zero where a kernel reads what was removed."""

    kind = "channels"
    action = "channels removed"

    def create_state(self, optimizer: Any) -> list[Any]:
        shape = tuple(self.variable.shape)
        return [optimizer.add_variable(shape, initializer="ones", name="reads")]

    def prepare_gradient(self, gradient: Any) -> Any:
        return gradient * keras.ops.cast(self.state[0], gradient.dtype)

    def project(self, weight: Any, state: Sequence[Any]) -> Any:
        return weight * keras.ops.cast(state[0], weight.dtype)

    def nearest(self, values: NDArray[Any]) -> NDArray[Any]:
        return values * keras.ops.convert_to_numpy(self.state[0])


class ReadMasks:
    """What the layers of a model read, to be taken away bit by bit.

    Args:
        analysis: What is known of a model.
        model: A copy of it, that is trained.
        optimizer: What it is trained by; kernels that aren't trained are masked once.
    """

    def __init__(self, analysis: Analysis, model: Any, optimizer: ProjectedOptimizer) -> None:
        self._axes: list[tuple[Any, Projection | None, list[tuple[int, NDArray[np.int64]]]]] = []
        done: set[int] = set()
        for node, twin in zip(analysis.graph.walk(), trace_graph(model).walk(), strict=True):
            if id(node.operation) in done:
                continue
            done.add(id(node.operation))
            axes: dict[int, list[tuple[int, NDArray[np.int64]]]] = {}
            for each in analysis.records[id(node.operation)].slices:
                if each.reads:
                    axes.setdefault(each.variable, []).append((each.axis, each.labels))
            for place, of in axes.items():
                variable = twin.operation.variables[place]
                mask = optimizer.add_projection(_ReadMask(variable)) if variable.trainable else None
                self._axes.append((variable, mask, of))

    def set(self, keep: NDArray[np.bool_]) -> None:
        """Set to zero all that reads other labels than those in `keep`."""
        for variable, projection, axes in self._axes:
            mask = np.ones(tuple(variable.shape), "float32")
            for axis, labels in axes:
                index: list[Any] = [slice(None)] * mask.ndim
                index[axis % mask.ndim] = ~keep[labels]
                mask[tuple(index)] = 0
            variable.assign(keras.ops.convert_to_numpy(variable) * mask)
            if projection is not None:
                projection.state[0].assign(mask)
                projection.pull_averages()
