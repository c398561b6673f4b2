"""What the callbacks work through: an optimizer that keeps chosen weights on a constraint set.

A callback may not touch the layers of a model, and what it does between two batches is too late
for `steps_per_execution`. The update step, though, belongs to the optimizer, and an optimizer
may wrap another one in public, as `keras.optimizers.LossScaleOptimizer` does. So the constraint
(zeros stay zeros, members of a cluster stay equal) is applied here, inside the training graph,
on every back end, right after the update of the optimizer that the user chose.

Its state is derived from the weights (zeros and equal values) whenever training starts, so a
model saved halfway is a stock Keras file that holds the user's own optimizer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras

from keras_compress.engine.inner_optimizers import (
    averages_weights,
    moving_averages,
    updating_optimizers,
)
from keras_compress.engine.projection import Projection, assign_projected
from keras_compress.engine.weight_decay import carry_exclusions
from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor


class _Constraints:
    """Book of a `ProjectedOptimizer`: a plain object, for Keras would track a list or dict."""

    def __init__(self) -> None:
        self.by_weight: dict[tuple[int, str], Projection] = {}
        self.order: list[Any] = []


@keras.saving.register_keras_serializable(package="keras_compress")
class ProjectedOptimizer(keras.optimizers.Optimizer):
    """Wraps an optimizer and projects weights back onto their constraints after each update.

    The callbacks of `keras_compress` put it in place; a custom loop makes it through
    `keras_compress.pruning.Pruner` or `keras_compress.clustering.Clusterer`. Everything else
    (learning rate, iterations, loss scaling, saved variables) is the wrapped optimizer's.

    Args:
        inner_optimizer: The `keras.optimizers.Optimizer` that computes the updates.
        name: Name of the optimizer. Defaults to `None` (made from the class).
    """

    def __init__(self, inner_optimizer: Any, name: str | None = None) -> None:
        super().__init__(learning_rate=0.0, name=name)
        self.inner_optimizer = inner_optimizer
        self._constraints = _Constraints()

    @classmethod
    def around(
        cls, optimizer: keras.Optimizer, variables: Sequence[keras.Variable]
    ) -> ProjectedOptimizer:
        """Return `optimizer` itself if it is one of ours, else a new one around it, built."""
        with _scope_of(optimizer):
            wrapped = optimizer if isinstance(optimizer, cls) else cls(optimizer)
            if not wrapped.built:
                wrapped.build(list(variables))
        return wrapped

    def build(self, variables: Sequence[keras.Variable]) -> None:
        if self.built:
            return
        if not self.inner_optimizer.built:
            self.inner_optimizer.build(variables)
        self._constraints.order = list(variables)
        super().build(variables)

    def add_projection(self, projection: Projection) -> Projection:
        """Create the state of `projection` and put it in force, in the place of an earlier one.

        Raises:
            KerasCompressError: If its variable isn't one this optimizer trains.
        """
        if not any(v is projection.variable for v in self._constraints.order):
            raise KerasCompressError(
                "A projection needs a variable that the optimizer was built with. "
                f"Received: {projection.variable.path}."
            )
        averages = moving_averages(
            self.inner_optimizer, projection.variable, self._constraints.order
        )
        with _scope_of(self):
            projection.state = projection.create_state(self)
        projection.averages = averages
        self._constraints.by_weight[id(projection.variable), projection.kind] = projection
        return projection

    def projection(self, variable: keras.Variable, kind: str) -> Projection | None:
        """Return the projection of this `kind` in force on `variable`, or `None`."""
        return self._constraints.by_weight.get((id(variable), kind))

    @property
    def projections(self) -> list[Projection]:
        """The projections in force, in the order in which they are applied."""
        return list(self._constraints.by_weight.values())

    def projections_on(self, variable: keras.Variable) -> list[Projection]:
        """Return the projections in force on `variable`, of each kind."""
        return [each for each in self.projections if each.variable is variable]

    @property
    def variables(self) -> list[keras.Variable]:
        return [*super().variables, *self.inner_optimizer.variables]

    def apply(
        self, grads: Sequence[Tensor], trainable_variables: Sequence[keras.Variable] | None = None
    ) -> None:
        if not self.built:
            if trainable_variables is None:
                raise KerasCompressError(
                    "`apply(grads)` without variables needs a built optimizer. "
                    "Call `optimizer.build(model.trainable_variables)` first."
                )
            self.build(list(trainable_variables))
        given = None if trainable_variables is None else list(trainable_variables)
        prepared = self._prepare(grads, self._constraints.order if given is None else given)
        self.inner_optimizer.apply(prepared, given)
        super().iterations.assign_add(1)
        if given is None or averages_weights(self.inner_optimizer):
            # Averages of all weights move with each update, and may be put in their place.
            self.project()
            return
        # A weight that another optimizer updates is not put right here as if this one did it.
        moved = {id(each) for each in given}
        for projection in self.projections:
            if moved & _ids_of(projection.variable):
                assign_projected(projection, projection.variable)

    def stateless_apply(
        self,
        optimizer_variables: Sequence[Any],
        grads: Sequence[Tensor],
        trainable_variables: Sequence[keras.Variable],
    ) -> tuple[list[Any], list[Any]]:
        # The wrapped optimizer's own version is called, as loss scaling depends on it.
        own = super().variables
        values = list(optimizer_variables[: len(own)])
        mapping = [
            *zip(own, values, strict=True),
            # A projection may look at the weights, and at the scale of the loss.
            *zip(self._constraints.order, trainable_variables, strict=True),
            *zip(self.inner_optimizer.variables, optimizer_variables[len(own) :], strict=True),
        ]
        with keras.StatelessScope(mapping) as scope:
            prepared = self._prepare(grads, self._constraints.order)
            super().iterations.assign_add(1)
            values = [scope.get_current_value(variable) for variable in own]
        weights, inner = self.inner_optimizer.stateless_apply(
            list(optimizer_variables[len(own) :]), prepared, list(trainable_variables)
        )
        updated = dict(zip(map(id, self._constraints.order), weights, strict=True))
        updated |= zip(map(id, self.inner_optimizer.variables), inner, strict=True)
        value_of = dict(zip(map(id, own), values, strict=True))
        for projection in self.projections:
            state = [value_of[id(variable)] for variable in projection.state]
            for variable in (projection.variable, *projection.averages):
                updated[id(variable)] = projection.project(updated[id(variable)], state)
        weights = [updated[id(variable)] for variable in self._constraints.order]
        return weights, values + [updated[id(v)] for v in self.inner_optimizer.variables]

    def _prepare(self, grads: Sequence[Tensor], variables: Sequence[keras.Variable]) -> list[Any]:
        by_variable: dict[int, list[Projection]] = {}
        for projection in self.projections:
            for key in _ids_of(projection.variable):
                by_variable.setdefault(key, []).append(projection)
        prepared = []
        for gradient, variable in zip(grads, variables, strict=True):
            if gradient is not None:
                for projection in by_variable.get(id(variable), ()):
                    gradient = projection.prepare_gradient(gradient)
            prepared.append(gradient)
        return prepared

    def project(self) -> None:
        """Put every constrained weight, and its averages, back onto the constraint, now."""
        for projection in self.projections:
            for variable in (projection.variable, *projection.averages):
                assign_projected(projection, variable)

    @property
    def updates(self) -> int:
        """How many updates went through this optimizer since it was made."""
        return int(keras.ops.convert_to_numpy(super().iterations))

    def finalize_variable_values(self, var_list: Sequence[Any]) -> None:
        self.inner_optimizer.finalize_variable_values(var_list)
        if averages_weights(self.inner_optimizer):
            self.project()

    def exclude_from_weight_decay(self, var_list: Any = None, var_names: Any = None) -> None:
        self.inner_optimizer.exclude_from_weight_decay(var_list, var_names)

    def scale_loss(self, loss: Any) -> Tensor:
        return self.inner_optimizer.scale_loss(loss)

    @property
    def learning_rate(self) -> Any:
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        self.inner_optimizer.learning_rate = learning_rate

    @property
    def iterations(self) -> keras.Variable:
        return self.inner_optimizer.iterations

    def save_own_variables(self, store: Any) -> None:
        # Under the keys of the wrapped optimizer, which is what `compile` put into the file.
        self.inner_optimizer.save_own_variables(store)

    def load_own_variables(self, store: Any) -> None:
        self.inner_optimizer.load_own_variables(store)

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "inner_optimizer": keras.saving.serialize_keras_object(self.inner_optimizer),
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> ProjectedOptimizer:
        config = dict(config)
        inner = keras.saving.deserialize_keras_object(
            config.pop("inner_optimizer"), custom_objects=custom_objects
        )
        return cls(inner, **config)


def attach_optimizer(model: keras.Model) -> ProjectedOptimizer:
    """Put a `ProjectedOptimizer` around the optimizer of a compiled `model`; return it.

    Raises:
        KerasCompressError: If the model is not compiled.
    """
    if getattr(model, "optimizer", None) is None:
        raise KerasCompressError(
            "A callback needs a compiled model. "
            f"Received: {model.name!r} without an optimizer. Call `model.compile(...)` first."
        )
    wrapped = ProjectedOptimizer.around(model.optimizer, model.trainable_variables)
    if wrapped is not model.optimizer:
        model.optimizer = wrapped
    return wrapped


def rebuild_optimizer(model: keras.Model) -> None:
    """Build the optimizer of a `model` anew of which other weights are trained than before.

    Keras' JAX trainer builds it before the callbacks begin, for the weights of that moment, and
    pairs weights and state by their order. Settings and the count of steps are kept, momenta begin
    anew. On other back ends an optimizer needs no such thing.

    Raises:
        KerasCompressError: If a callback keeps constraints in the optimizer already.
    """
    old = getattr(model, "optimizer", None)
    if keras.backend.backend() != "jax" or old is None or not old.built:
        return
    if isinstance(old, ProjectedOptimizer):
        raise KerasCompressError(
            "Under JAX the codebooks of `Clustered` layers are made before another callback takes "
            f"the optimizer. Received: {model.name!r}, whose optimizer keeps constraints. Make "
            "them by `clustering.prepare(model, config)`, or put `ClusteringCallback` first."
        )
    new = type(old).from_config(old.get_config())
    carry_exclusions(old, new, {id(v): (v, v) for v in model.variables}, model)
    new.build(model.trainable_variables)
    for one, other in zip(updating_optimizers(old), updating_optimizers(new), strict=True):
        other.iterations.assign(one.iterations)
    new.iterations.assign(old.iterations)
    model.optimizer = new


def _ids_of(variable: keras.Variable) -> set[int]:
    """The identities by which `apply` may be told of a variable."""
    if keras.backend.backend() == "tensorflow":
        # As a tape lists those it has watched.
        return {id(variable), id(variable.value)}
    return {id(variable)}


def _scope_of(optimizer: keras.Optimizer) -> contextlib.AbstractContextManager[Any]:
    """The distribution strategy that `optimizer`'s variables live in, as a context."""
    if keras.backend.backend() != "tensorflow":
        return contextlib.nullcontext()
    import tensorflow as tf

    if tf.distribute.has_strategy():
        return contextlib.nullcontext()
    for variable in optimizer.variables:
        strategy = getattr(variable.value, "distribute_strategy", None)
        if strategy is not None:
            return strategy.scope()
    return contextlib.nullcontext()
