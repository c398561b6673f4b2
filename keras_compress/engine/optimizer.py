"""The callback's door: an optimizer that keeps chosen weights on a constraint set.

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
from typing import Any

import keras

from keras_compress.errors import KerasCompressError


class Projection:
    """A constraint on one weight: how its gradient is prepared and where its value is put back.

    Args:
        variable: The trainable `keras.Variable` to constrain.
    """

    #: Short name of the technique; a weight holds one projection of each kind at most.
    kind = ""

    def __init__(self, variable: Any) -> None:
        self.variable = variable
        self.state: list[Any] = []

    def create_state(self, optimizer: keras.optimizers.Optimizer) -> list[Any]:
        """Create, by `optimizer.add_variable`, and return the variables the projection reads."""
        raise NotImplementedError

    def prepare_gradient(self, gradient: Any) -> Any:
        """Return the gradient that the wrapped optimizer gets (same shape)."""
        return gradient

    def project(self, weight: Any, state: Sequence[Any]) -> Any:
        """Return the value nearest to `weight` that keeps the constraint (same shape).

        `state` are the values of `self.state`, as tensors local to the replica.
        """
        raise NotImplementedError


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
    def around(cls, optimizer: Any, variables: Sequence[Any]) -> ProjectedOptimizer:
        """Return `optimizer` itself if it is one of ours, else a new one around it, built."""
        with _scope_of(optimizer):
            wrapped = optimizer if isinstance(optimizer, cls) else cls(optimizer)
            if not wrapped.built:
                wrapped.build(list(variables))
        return wrapped

    def build(self, variables: Sequence[Any]) -> None:
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
        with _scope_of(self):
            projection.state = projection.create_state(self)
        self._constraints.by_weight[id(projection.variable), projection.kind] = projection
        return projection

    def projection(self, variable: Any, kind: str) -> Projection | None:
        """Return the projection of this `kind` in force on `variable`, or `None`."""
        return self._constraints.by_weight.get((id(variable), kind))

    @property
    def projections(self) -> list[Projection]:
        """The projections in force, in the order in which they are applied."""
        return list(self._constraints.by_weight.values())

    @property
    def variables(self) -> list[Any]:
        return [*super().variables, *self.inner_optimizer.variables]

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
        if not self.built:
            if trainable_variables is None:
                raise KerasCompressError(
                    "`apply(grads)` without variables needs a built optimizer. "
                    "Call `optimizer.build(model.trainable_variables)` first."
                )
            self.build(list(trainable_variables))
        prepared = self._prepare(grads, list(trainable_variables or self._constraints.order))
        self.inner_optimizer.apply(
            prepared, None if trainable_variables is None else list(trainable_variables)
        )
        self.project()

    def stateless_apply(
        self,
        optimizer_variables: Sequence[Any],
        grads: Sequence[Any],
        trainable_variables: Sequence[Any],
    ) -> tuple[list[Any], list[Any]]:
        # The wrapped optimizer's own version is called, as loss scaling depends on it.
        own = super().variables
        values = list(optimizer_variables[: len(own)])
        with keras.StatelessScope(list(zip(own, values, strict=True))):
            prepared = self._prepare(grads, self._constraints.order)
        updated, inner = self.inner_optimizer.stateless_apply(
            list(optimizer_variables[len(own) :]), prepared, list(trainable_variables)
        )
        updated = list(updated)
        value_of = {id(variable): value for variable, value in zip(own, values, strict=True)}
        place_of = {id(variable): i for i, variable in enumerate(self._constraints.order)}
        for projection in self._constraints.by_weight.values():
            place = place_of[id(projection.variable)]
            state = [value_of[id(variable)] for variable in projection.state]
            updated[place] = projection.project(updated[place], state)
        return updated, values + list(inner)

    def _prepare(self, grads: Sequence[Any], variables: Sequence[Any]) -> list[Any]:
        by_variable: dict[int, list[Projection]] = {}
        for projection in self._constraints.by_weight.values():
            by_variable.setdefault(id(projection.variable), []).append(projection)
        prepared = []
        for gradient, variable in zip(grads, variables, strict=True):
            if gradient is not None:
                for projection in by_variable.get(id(variable), ()):
                    gradient = projection.prepare_gradient(gradient)
            prepared.append(gradient)
        return prepared

    def project(self) -> None:
        """Put every constrained weight back onto its constraint, now."""
        for projection in self._constraints.by_weight.values():
            _assign_projected(projection)

    def finalize_variable_values(self, var_list: Sequence[Any]) -> None:
        self.inner_optimizer.finalize_variable_values(var_list)
        if _averages_weights(self.inner_optimizer):
            # A moving average of weights forgets which of them are zero or shared.
            self.project()

    def scale_loss(self, loss: Any) -> Any:
        return self.inner_optimizer.scale_loss(loss)

    @property
    def learning_rate(self) -> Any:
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        self.inner_optimizer.learning_rate = learning_rate

    @property
    def iterations(self) -> Any:
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


def projections_of(model: Any, kind: str) -> dict[int, Projection]:
    """Return the projections of `kind` in force on `model`, by the `id` of their variable."""
    optimizer = getattr(model, "optimizer", None)
    if not isinstance(optimizer, ProjectedOptimizer):
        return {}
    return {id(p.variable): p for p in optimizer.projections if p.kind == kind}


def attach_optimizer(model: Any) -> ProjectedOptimizer:
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


def _averages_weights(optimizer: Any) -> bool:
    inner = getattr(optimizer, "inner_optimizer", None)
    return bool(optimizer.use_ema) or (inner is not None and _averages_weights(inner))


def _assign_projected(projection: Projection) -> None:
    variable = projection.variable
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if tf.distribute.has_strategy() and not tf.distribute.in_cross_replica_context():
            # A mirrored variable may only be assigned on every replica together.
            tf.distribute.get_replica_context().merge_call(_update_replicas, args=(projection,))
            return
        if tf.distribute.has_strategy():
            _update_replicas(tf.distribute.get_strategy(), projection)
            return
    weight = keras.ops.convert_to_tensor(variable)
    state = [keras.ops.convert_to_tensor(each) for each in projection.state]
    variable.assign(projection.project(weight, state))


def _update_replicas(strategy: Any, projection: Projection) -> None:
    def update(local: Any, *state: Any) -> None:
        values = [keras.ops.convert_to_tensor(each) for each in state]
        local.assign(projection.project(keras.ops.convert_to_tensor(local), values))

    strategy.extended.update(
        projection.variable.value,
        update,
        args=tuple(variable.value for variable in projection.state),
        group=False,
    )


def _scope_of(optimizer: Any) -> contextlib.AbstractContextManager[Any]:
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
