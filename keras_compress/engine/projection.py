"""Constraints on single weights, as a `ProjectedOptimizer` keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_compress.engine.report import values_of

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor


class Projection:
    """A constraint on one weight: how its gradient is prepared and where its value is put back.

    Args:
        variable: The trainable `keras.Variable` to constrain.

    Attributes:
        state: What `create_state` returned.
        averages: Variables in which the optimizer keeps moving averages of `variable`; they are
            kept on the constraint too, for they may be put in its place.
        settled: Whether the constraint stays as it is, so that another one may build on it.
        settles_at: The training step from which it does; `None` if it can't be known.
    """

    #: Short name of the technique; a weight holds one projection of each kind at most.
    kind = ""

    #: What is done to the weight, for reports, as the wrapper of the technique calls it.
    action = ""

    def __init__(self, variable: keras.Variable) -> None:
        self.variable = variable
        self.state: list[keras.Variable] = []
        self.averages: list[keras.Variable] = []
        self.settled = True
        self.settles_at: int | None = 0

    def create_state(self, optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
        """Create, by `optimizer.add_variable`, and return the variables the projection reads."""
        raise NotImplementedError

    def prepare_gradient(self, gradient: Tensor) -> Tensor:
        """Return the gradient that the wrapped optimizer gets (same shape)."""
        return gradient

    def project(self, weight: Tensor, state: Sequence[object]) -> Tensor:
        """Return what an updated `weight` is put back to (same shape), inside the graph.

        `state` are the values of `self.state`, as tensors local to the replica.
        """
        raise NotImplementedError

    def nearest(self, values: np.ndarray) -> np.ndarray:
        """Return the array nearest to `values`, wherever they are from, on the constraint."""
        raise NotImplementedError

    def holds(self) -> bool:
        """Whether the weight is on its constraint now."""
        values = values_of(self.variable)
        return np.array_equal(values, self.nearest(values), equal_nan=True)

    def pull_averages(self) -> None:
        """Put the moving averages onto a constraint that has just changed."""
        for average in self.averages:
            average.assign(self.nearest(values_of(average)))


def assign_projected(projection: Projection, variable: keras.Variable) -> None:
    """Project `variable`, the constrained one or an average of it, in the graph or outside."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if tf.distribute.has_strategy() and not tf.distribute.in_cross_replica_context():
            # A mirrored variable may only be assigned on every replica together.
            context = tf.distribute.get_replica_context()
            context.merge_call(_update_replicas, args=(projection, variable))
            return
        if tf.distribute.has_strategy():
            _update_replicas(tf.distribute.get_strategy(), projection, variable)
            return
    weight = keras.ops.convert_to_tensor(variable)
    state = [keras.ops.convert_to_tensor(each) for each in projection.state]
    variable.assign(projection.project(weight, state))


def _update_replicas(strategy: Any, projection: Projection, variable: keras.Variable) -> None:
    def update(local: Any, *state: Any) -> None:
        values = [keras.ops.convert_to_tensor(each) for each in state]
        local.assign(projection.project(keras.ops.convert_to_tensor(local), values))

    strategy.extended.update(
        variable.value,
        update,
        args=tuple(each.value for each in projection.state),
        group=False,
    )
