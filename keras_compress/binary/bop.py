"""Bop, the optimizer that flips binary weights and knows no latent ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

__all__ = ["Bop"]


@keras.saving.register_keras_serializable(package="keras_compress")
class Bop(keras.optimizers.Optimizer):
    """Flips a binary weight when its gradient has pushed against its sign for long enough.

    Helwegen et al., "Latent Weights Do Not Exist" (arXiv 1906.02107, algorithm 1):
    `m <- (1 - gamma) * m + gamma * gradient`; where `m` has the weight's sign and
    `abs(m) > threshold`, the weight is flipped. It writes -1 and +1 into every variable it gets,
    so give it the binary ones alone:

    ```python
    optimizer = binary.CaseOptimizer(
        [(binary.is_binary_variable, binary.Bop(threshold=1e-8, gamma=1e-4))],
        default_optimizer="adam",
    )
    ```

    Args:
        threshold: How large the averaged gradient must be to flip a weight. Defaults to `1e-8`.
        gamma: How fast the average adapts, a number or a `LearningRateSchedule`; also the
            optimizer's `learning_rate`. Defaults to `1e-4`.
        name: Name of the optimizer. Defaults to `"bop"`.
        **kwargs: Everything else `keras.optimizers.Optimizer` takes.
    """

    def __init__(
        self, threshold: float = 1e-8, gamma: object = 1e-4, name: str = "bop", **kwargs: Any
    ) -> None:
        if isinstance(threshold, bool) or not threshold >= 0:
            raise KerasCompressError(
                f"`threshold` must be a number from 0 up. Received: threshold={threshold!r}."
            )
        gamma = kwargs.pop("learning_rate", gamma)
        super().__init__(learning_rate=gamma, name=name, **kwargs)
        self.threshold = float(threshold)

    def build(self, variables: Sequence[keras.Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        self.averages = [
            self.add_variable_from_reference(variable, name="average") for variable in variables
        ]

    def update_step(
        self, gradient: Tensor, variable: keras.Variable, learning_rate: object
    ) -> None:
        # The look-up that the docstring of keras.optimizers.Optimizer gives to its subclasses.
        average = self.averages[self._get_variable_index(variable)]
        gradient = ops.cast(gradient, variable.dtype)
        gamma = ops.cast(learning_rate, variable.dtype)
        moved = average + gamma * (gradient - average)
        self.assign(average, moved)
        one = ops.ones((), dtype=variable.dtype)
        weight = ops.where(ops.greater_equal(variable, 0), one, -one)
        self.assign(variable, ops.where(weight * moved > self.threshold, -weight, weight))

    def get_config(self) -> dict[str, object]:
        return {**super().get_config(), "threshold": self.threshold}
