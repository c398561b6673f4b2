"""Collects, in the training graph, what a criterion makes of the gradients of a weight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_compress.engine.optimizer import ProjectedOptimizer
from keras_compress.engine.projection import Projection
from keras_compress.engine.report import values_of
from keras_compress.pruning.criteria import Criterion

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor


class GradientScores(Projection):
    """Adds up `criterion.observed(weight, gradient)`; the weight itself is left as it is.

    Args:
        variable: The trainable variable.
        criterion: The criterion.
        optimizer: The optimizer that sees the gradients.
    """

    kind = "gradient scores"

    def __init__(
        self, variable: keras.Variable, criterion: Criterion, optimizer: ProjectedOptimizer
    ) -> None:
        super().__init__(variable)
        self.criterion = criterion
        self._optimizer = optimizer
        self._begun_at = optimizer.updates

    def create_state(self, optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
        return [
            optimizer.add_variable(
                shape=self.variable.shape, dtype="float32", initializer="zeros", name="scores"
            )
        ]

    def prepare_gradient(self, gradient: Tensor) -> Tensor:
        ops = keras.ops
        dense = ops.convert_to_tensor(gradient)
        weight = ops.cast(ops.convert_to_tensor(self.variable), "float32")
        # A loss that is scaled for float16 has scaled gradients, and now and then infinite ones.
        unscaled = ops.cast(dense, "float32") / self._optimizer.scale_loss(1.0)
        term = self.criterion.observed(weight, unscaled)
        _add(self.state[0], ops.where(ops.isfinite(term), term, ops.zeros_like(term)))
        return dense

    def project(self, weight: Tensor, state: Sequence[object]) -> Tensor:
        return weight

    def nearest(self, values: np.ndarray) -> np.ndarray:
        return values

    @property
    def ready(self) -> bool:
        """Whether there was a training step since `restart`."""
        return self._optimizer.updates > self._begun_at

    def sums(self) -> np.ndarray:
        """Return the sums since `restart`, an array of float32."""
        return values_of(self.state[0])

    def restart(self) -> None:
        """Begin anew."""
        self.state[0].assign(np.zeros(self.state[0].shape, np.float32))
        self._begun_at = self._optimizer.updates


def _add(variable: keras.Variable, term: Tensor) -> None:
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if tf.distribute.has_strategy() and not tf.distribute.in_cross_replica_context():
            # Each replica sees the gradients of its own part of the batch.
            context = tf.distribute.get_replica_context()
            context.merge_call(_add_over_replicas, args=(variable, term))
            return
    variable.assign(variable + term)


def _add_over_replicas(strategy: Any, variable: keras.Variable, term: Tensor) -> None:
    import tensorflow as tf

    total = strategy.extended.reduce_to(
        tf.distribute.ReduceOp.SUM, term, destinations=variable.value
    )
    strategy.extended.update(
        variable.value, lambda local, added: local.assign_add(added), args=(total,), group=False
    )
