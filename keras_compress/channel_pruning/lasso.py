"""Channel selection by LASSO (He, Zhang, Sun 2017, arXiv 1707.06168, section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from keras_compress.channel_pruning.criteria import CRITERIA, Criterion, Data
from keras_compress.channel_pruning.groups import ChannelGroups
from keras_compress.channel_pruning.moments import (
    Moments,
    contributions,
    group_moments,
    places_of,
)
from keras_compress.channel_pruning.reading_layers import Reader, kernel_matrix
from keras_compress.errors import KerasCompressError

__all__ = ["Lasso"]


@keras.saving.register_keras_serializable(package="keras_compress")
@dataclass(frozen=True, kw_only=True)
class Lasso(Criterion):
    """How strong a penalty a channel stands, in the reconstruction of what its readers compute.

    Of `min 1/2N || Y - sum_i beta_i X_i W_i ||^2 + lambda || beta ||_1` with `|| W_i || = 1`, each
    channel scores the largest lambda at which its `beta_i` isn't zero, relative to the variance of
    Y: a cut at any lambda keeps those above it. The whole path is found at once, by scikit-learn's
    LARS. Coupled layers that read a group are reconstructed together.

    With `prune(..., compensate=True)` the second step of the paper follows, least squares by the
    channels left, from what the cut layers before hand on.

    Args:
        positions: Places drawn from each sample's image. Defaults to `10`, as in the paper.
        seed: Of the places. Defaults to `0`.
    """

    positions: int = 10
    seed: int = 0

    def scores(self, groups: ChannelGroups, data: Data | None = None) -> dict[str, NDArray]:
        if data is None:
            raise KerasCompressError(
                "Lasso looks at what layers read. Received: no samples. Pass `x`."
            )
        problems: dict[str, _Problem] = {}
        for name, reader, moments in group_moments(groups, data, self.positions, self.seed):
            problem = problems.setdefault(name, _Problem(groups[name].size))
            problem.add(reader, moments, name)
        return {name: problem.entries() for name, problem in problems.items()}


CRITERIA["lasso"] = Lasso


class _Problem:
    """The reconstruction of all readers of one group, as products of what channels contribute."""

    def __init__(self, size: int) -> None:
        self._gram = np.zeros((size, size))
        self._norms = np.zeros(size)

    def add(self, reader: Reader, moments: Moments, name: str) -> None:
        """Take in a reader; the variance of its outputs counts as 1."""
        kernel = kernel_matrix(reader.layer)
        places = places_of(reader, name, len(self._gram))
        products = contributions(reader, moments.covariance)
        total = max(float(products.sum()), 1e-30)
        self._gram += places @ products @ places.T / total
        count = len(reader.channels)
        squares = np.square(kernel).reshape(reader.taps, count, -1).sum(axis=(0, 2))
        self._norms += places @ squares / max(float(squares.mean()), 1e-30)

    def entries(self) -> NDArray[np.float64]:
        """Return the penalty at which each channel comes in."""
        from sklearn.linear_model import lars_path_gram

        scores = np.zeros(len(self._gram))
        variances = np.diag(self._gram)
        alive = (variances > 1e-12 * max(float(variances.max()), 1e-300)) & (self._norms > 0)
        if not alive.any():
            return scores
        gram = self._gram[np.ix_(alive, alive)]
        # With kernels of norm 1 the norm they had is what beta is to be in the whole model.
        scale = 1 / np.sqrt(self._norms[alive])
        target = scale * gram.sum(axis=1)
        gram = gram * scale[:, None] * scale[None]
        gram[np.diag_indices_from(gram)] *= 1 + 1e-9
        alphas, _, path = lars_path_gram(
            target, gram, n_samples=1, method="lasso", max_iter=8 * len(gram)
        )
        found = np.zeros(len(gram))
        for i, coefficients in enumerate(path):
            steps = np.flatnonzero(coefficients)
            if len(steps):
                found[i] = alphas[max(steps[0] - 1, 0)]
        scores[alive] = found
        return scores
