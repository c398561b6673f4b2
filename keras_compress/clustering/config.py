"""What to cluster, into how many values and how they start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import keras
import numpy as np

from keras_compress.argument_checks import check_count
from keras_compress.clustering.codebook import INITIALIZATIONS, Initialization
from keras_compress.engine.technique import TechniqueConfig
from keras_compress.engine.weights import Selectors
from keras_compress.errors import KerasCompressError


@keras.saving.register_keras_serializable(package="keras_compress")
@dataclass(frozen=True)
class ClusteringConfig(TechniqueConfig):
    """Settings of weight clustering, the same for the wrapper and the callback.

    Example:

    ```python
    config = ClusteringConfig(n_clusters=16, layers=["dense*"])
    ```

    Args:
        n_clusters: Distinct values of each clustered weight, at least 2. The zero of pruned
            weights is one of them. Defaults to `16`.
        init: How centroids start: `"kmeans"` (the optimum), `"linear"`, `"density"` or
            `"random"`. Defaults to `"kmeans"`.
        layers: Which layers: name, path, wildcard, class or predicate, or a list of these.
            Defaults to `None`: every layer with a kernel.
        preserve_sparsity: Whether exact zeros keep a centroid of their own that stays zero.
            Defaults to `True`.
        gradient_aggregation: `"sum"`: a centroid's gradient is the sum of those of its members,
            as in Deep Compression (eq. 3); `"mean"`: their mean, gentler on large layers under
            optimizers that don't normalize the gradient. Defaults to `"sum"`.
        per_channel: Whether each output channel of a weight has a codebook of its own, so that
            sharing survives int8 with a scale for each channel. Defaults to `False`.
        seed: Seed of the `"random"` initialisation. Defaults to `0`.
        rate_weight: Price of a bit in the assignment: the squared error, in mean squares of the
            kept weights, that one bit a weight is worth. 0.01 is a lot at 16 clusters. Defaults
            to `0.0`, the nearest centroid (see `entropy_constrained`).
        importance: How much the error of each value counts, by `path/name` of the weight, as
            `fisher_importance` returns it. Defaults to `None` (all alike).

    Raises:
        KerasCompressError: If an argument is out of range.
    """

    n_clusters: int = 16
    init: Initialization = "kmeans"
    layers: Selectors = None
    preserve_sparsity: bool = True
    gradient_aggregation: Literal["sum", "mean"] = "sum"
    seed: int = 0
    per_channel: bool = False
    rate_weight: float = 0.0
    importance: Mapping[str, np.ndarray] | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        check_count("n_clusters", self.n_clusters, minimum=2)
        if self.init not in INITIALIZATIONS:
            raise KerasCompressError(
                f"`init` must be one of {', '.join(INITIALIZATIONS)}. Received: init={self.init!r}."
            )
        if not 0.0 <= self.rate_weight < float("inf"):
            raise KerasCompressError(
                "`rate_weight` must be a finite number of at least 0. "
                f"Received: rate_weight={self.rate_weight!r}."
            )
        if self.per_channel and (self.rate_weight or self.importance is not None):
            raise KerasCompressError(
                "`rate_weight` and `importance` take one codebook a weight. Received: "
                "per_channel=True beside them. Leave one of them out."
            )
        if self.gradient_aggregation not in ("sum", "mean"):
            raise KerasCompressError(
                '`gradient_aggregation` must be "sum" or "mean". '
                f"Received: gradient_aggregation={self.gradient_aggregation!r}."
            )
