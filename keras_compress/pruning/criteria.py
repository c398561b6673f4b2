"""Criteria: how much each value of a weight matters.

A criterion gives a score to each value; a pattern says which values are kept or pruned together,
and a schedule how many and when.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_compress.argument_checks import check_count
from keras_compress.engine.frozen import Frozen
from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

# What is not zero has a higher score than what is, so that pruned values stay pruned.
_LOWEST = np.finfo(np.float32).tiny


class Criterion(Frozen):
    """Base class of the criteria; a subclass gives `scores`, and `observed` where it needs it."""

    #: Whether the scores are made of gradients, which the optimizer then collects.
    needs_gradients: bool = False

    def scores(
        self, values: np.ndarray, *, place: int = 0, sums: np.ndarray | None = None
    ) -> np.ndarray:
        """Return a score of at least 0 for each value; the lowest ones are pruned.

        Args:
            values: The values of the weight.
            place: Which of the chosen weights of the model it is. Defaults to `0`.
            sums: The sums of what `observed` returned in the training steps since the masks were
                made last, shaped like `values`; given where `needs_gradients`. Defaults to `None`.
        """
        raise NotImplementedError

    def observed(self, weight: Tensor, gradient: Tensor) -> Any:
        """Return what a training step adds to the sums, inside the graph.

        Args:
            weight: Tensor of the weight before the step.
            gradient: Tensor of the gradient of the loss, of the same shape.
        """
        raise NotImplementedError


@keras.saving.register_keras_serializable(package="keras_compress.pruning")
@dataclass(frozen=True)
class Magnitude(Criterion):
    """The absolute value (Han et al., arXiv 1506.02626, section 3)."""

    def scores(
        self, values: np.ndarray, *, place: int = 0, sums: np.ndarray | None = None
    ) -> np.ndarray:
        magnitude: np.ndarray = np.abs(values)
        return magnitude


@keras.saving.register_keras_serializable(package="keras_compress.pruning")
@dataclass(frozen=True)
class Random(Criterion):
    """Chance, the baseline that a criterion has to beat (Blalock et al., arXiv 2003.03033).

    The scores follow from the seed and the place of the weight alone, so what is pruned stays so.

    Args:
        seed: An int of at least 0. Defaults to `0`.

    Raises:
        KerasCompressError: If the seed is out of range.
    """

    seed: int = 0

    def __post_init__(self) -> None:
        check_count("seed", self.seed, minimum=0)

    def scores(
        self, values: np.ndarray, *, place: int = 0, sums: np.ndarray | None = None
    ) -> np.ndarray:
        drawn = np.random.default_rng([self.seed, place]).random(values.shape)
        return np.where(values == 0, 0.0, drawn + _LOWEST)


@keras.saving.register_keras_serializable(package="keras_compress.pruning")
@dataclass(frozen=True)
class Taylor(Criterion):
    """The squared product of weight and gradient, summed over the steps between two masks.

    What the loss would change by without the weight, to the first order (Molchanov et al.,
    arXiv 1906.10771, section 3). Before the first gradient there are no scores, so masks that are
    due then are made one step later. The sums begin anew with each mask and aren't saved: a
    training that is resumed at a step at which masks are made goes on exactly, between two such
    steps the next masks are made of the gradients since. The optimizer holds a float32 for each
    value more than without.
    """

    needs_gradients = True

    def scores(
        self, values: np.ndarray, *, place: int = 0, sums: np.ndarray | None = None
    ) -> np.ndarray:
        if sums is None:
            raise KerasCompressError(
                "`Taylor` scores are made of gradients. Received: sums=None. Train the model with "
                "a `PruningCallback`, or with the optimizer of a `Pruner`."
            )
        return np.where(values == 0, 0.0, np.maximum(sums, _LOWEST))

    def observed(self, weight: Tensor, gradient: Tensor) -> Tensor:
        return keras.ops.square(weight * gradient)


_NAMED: dict[str, type[Criterion]] = {
    "magnitude": Magnitude,
    "random": Random,
    "taylor": Taylor,
}


def get_criterion(criterion: Criterion | str) -> Criterion:
    """Return a criterion, given as such or by its name.

    Args:
        criterion: A `Criterion`, `"magnitude"`, `"random"` or `"taylor"`.

    Raises:
        KerasCompressError: If there is no such criterion.
    """
    if isinstance(criterion, Criterion):
        return criterion
    if isinstance(criterion, str) and criterion in _NAMED:
        return _NAMED[criterion]()
    raise KerasCompressError(
        f"`criterion` must be a `Criterion` or one of {', '.join(_NAMED)}. "
        f"Received: criterion={criterion!r}."
    )
