"""One optimizer for some variables of a model and another for the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import keras

from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

__all__ = ["CaseOptimizer"]


class _TrainedVariables:
    """The model's variables: a list as an attribute, Keras would take for the optimizer's own."""

    def __init__(self, order: Sequence[object]) -> None:
        self.order = list(order)


@keras.saving.register_keras_serializable(package="keras_compress")
class CaseOptimizer(keras.optimizers.Optimizer):
    """Hands each variable to the optimizer of the first case that it meets.

    The learning rate and the step count it shows are the default optimizer's. Clipping and
    decay are set on the optimizers within.

    Args:
        cases: Pairs of a predicate `variable -> bool`, registered with Keras where the model is
            to be saved, and an optimizer or its name.
        default_optimizer: The optimizer, or its name, for variables that meet no case.
        name: Name of the optimizer. Defaults to `"case_optimizer"`.

    Raises:
        KerasCompressError: If `cases` is empty or not made of such pairs.
    """

    def __init__(
        self,
        cases: Sequence[tuple[Callable[[Any], bool], Any]],
        default_optimizer: keras.Optimizer,
        name: str = "case_optimizer",
    ) -> None:
        pairs = [tuple(case) if isinstance(case, list | tuple) else () for case in cases]
        if not pairs or not all(len(pair) == 2 and callable(pair[0]) for pair in pairs):
            raise KerasCompressError(
                "`cases` must be pairs of a predicate of a variable and an optimizer. "
                f"Received: cases={cases!r}."
            )
        super().__init__(learning_rate=0.0, name=name)
        self.predicates = [pair[0] for pair in pairs]
        self.optimizers = [keras.optimizers.get(pair[1]) for pair in pairs]
        self.optimizers.append(keras.optimizers.get(default_optimizer))

    @property
    def default_optimizer(self) -> keras.Optimizer:
        return self.optimizers[-1]

    def _case_of(self, variable: keras.Variable) -> int:
        met = (i for i, predicate in enumerate(self.predicates) if predicate(variable))
        return next(met, len(self.predicates))

    def build(self, variables: Sequence[keras.Variable]) -> None:
        if self.built:
            return
        for case, optimizer in enumerate(self.optimizers):
            mine = [variable for variable in variables if self._case_of(variable) == case]
            if mine and not optimizer.built:
                optimizer.build(mine)
        self._trained = _TrainedVariables(variables)
        super().build(variables)

    @property
    def variables(self) -> list[keras.Variable]:
        within = [variable for optimizer in self.optimizers for variable in optimizer.variables]
        return [*super().variables, *within]

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
        order = self._trained.order if trainable_variables is None else list(trainable_variables)
        cases = [self._case_of(variable) for variable in order]
        for case, optimizer in enumerate(self.optimizers):
            pairs = [
                (gradient, variable)
                for gradient, variable, found in zip(grads, order, cases, strict=True)
                if found == case
            ]
            if pairs:
                optimizer.apply([p[0] for p in pairs], [p[1] for p in pairs])

    def finalize_variable_values(self, var_list: Sequence[object]) -> None:
        for case, optimizer in enumerate(self.optimizers):
            mine = [variable for variable in var_list if self._case_of(variable) == case]
            if mine:
                optimizer.finalize_variable_values(mine)

    @property
    def learning_rate(self) -> Any:
        return self.default_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: object) -> None:
        self.default_optimizer.learning_rate = learning_rate

    @property
    def iterations(self) -> keras.Variable:
        return self.default_optimizer.iterations

    def get_config(self) -> dict[str, object]:
        serialize = keras.saving.serialize_keras_object
        within = [serialize(optimizer) for optimizer in self.optimizers]
        names = [keras.saving.get_registered_name(predicate) for predicate in self.predicates]
        return {
            "name": self.name,
            "cases": [list(pair) for pair in zip(names, within[:-1], strict=True)],
            "default_optimizer": within[-1],
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> CaseOptimizer:
        config = dict(config)
        cases = []
        for name, optimizer in config.pop("cases"):
            predicate = keras.saving.get_registered_object(name, custom_objects)
            if predicate is None:
                raise KerasCompressError(
                    "A saved `CaseOptimizer` needs the predicates of its cases. Received: the "
                    f"unknown {name!r}. Register it with "
                    "`keras.saving.register_keras_serializable`."
                )
            cases.append(
                (predicate, keras.saving.deserialize_keras_object(optimizer, custom_objects))
            )
        default = keras.saving.deserialize_keras_object(
            config.pop("default_optimizer"), custom_objects
        )
        return cls(cases, default, **config)
