"""What a custom layer may say of its clustering, and how a weight is looked up."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from enum import Enum
from typing import Any

import keras


class CentroidInitialization(str, Enum):  # noqa: UP042 - the bases that tfmot gives it
    """How centroids start. `KMEANS_PLUS_PLUS` is the exact optimum of k-means here."""

    LINEAR = "CentroidInitialization.LINEAR"
    RANDOM = "CentroidInitialization.RANDOM"
    DENSITY_BASED = "CentroidInitialization.DENSITY_BASED"
    KMEANS_PLUS_PLUS = "CentroidInitialization.KMEANS_PLUS_PLUS"


class GradientAggregation(str, Enum):  # noqa: UP042
    """What the gradient of a centroid is: the sum or the mean of those of its members."""

    SUM = "GradientAggregation.SUM"
    AVG = "GradientAggregation.AVG"


class ClusterableLayer(metaclass=abc.ABCMeta):
    """Mixin of custom layers that say what may be clustered."""

    @abc.abstractmethod
    def get_clusterable_weights(self) -> Sequence[tuple[str, Any]]:
        """Return `(name, variable)` pairs of the built layer."""

    def get_clusterable_algorithm(self, weight_name: str) -> type[ClusteringAlgorithm] | None:
        """Return the `ClusteringAlgorithm` class of a weight, or `None` for the usual look-up."""
        return None


class ClusteringAlgorithm(metaclass=abc.ABCMeta):  # noqa: B024 - as in tfmot
    """Looks weights up in centroids; a subclass may look them up in another way.

    Args:
        clusters_centroids: The centroids, a variable of shape `(number_of_clusters,)`.
        cluster_gradient_aggregation: Sum or mean. Defaults to `GradientAggregation.SUM`.
        data_format: That of the layer. Defaults to `None`.
    """

    def __init__(
        self,
        clusters_centroids: Any,
        cluster_gradient_aggregation: GradientAggregation = GradientAggregation.SUM,
        data_format: str | None = None,
    ) -> None:
        self.cluster_centroids = clusters_centroids
        self.cluster_gradient_aggregation = cluster_gradient_aggregation
        self.data_format = data_format

    def get_pulling_indices(self, weight: Any, centroids: Any = None) -> Any:
        """Return for each value of `weight` the index of the nearest centroid, same shape."""
        ops = keras.ops
        chosen = self.cluster_centroids if centroids is None else centroids
        distance = ops.abs(ops.expand_dims(weight, -1) - ops.convert_to_tensor(chosen))
        return ops.argmin(distance, axis=-1)

    def get_clustered_weight(self, pulling_indices: Any, original_weight: Any) -> Any:
        """Return `original_weight` with the centroids in its place, same shape."""
        ops = keras.ops
        clustered = ops.take(ops.convert_to_tensor(self.cluster_centroids), pulling_indices)
        return ops.reshape(clustered, ops.shape(original_weight))

    def average_centroids_gradient_by_cluster_size(
        self, cluster_centroids: Any, cluster_sizes: Any
    ) -> Any:
        """Return the centroids with a gradient divided by the sizes of their clusters."""
        ops = keras.ops
        share = cluster_centroids / ops.maximum(ops.cast(cluster_sizes, "float32"), 1.0)
        return share + ops.stop_gradient(cluster_centroids - share)

    def add_gradient_to_original_weight(self, clustered_weight: Any, original_weight: Any) -> Any:
        """Return the clustered weight with a gradient to the original one as well."""
        original = keras.ops.convert_to_tensor(original_weight)
        return clustered_weight + (original - keras.ops.stop_gradient(original))
