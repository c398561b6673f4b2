"""How weights are looked up in centroids, and where the gradients of the look-up go."""

from __future__ import annotations

import abc
from enum import Enum
from typing import TYPE_CHECKING, Any

import keras

from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor


class GradientAggregation(str, Enum):  # noqa: UP042 - the bases that tfmot gives it
    """What the gradient of a centroid is: the sum or the mean of those of its members."""

    SUM = "GradientAggregation.SUM"
    AVG = "GradientAggregation.AVG"


class ClusteringAlgorithm(metaclass=abc.ABCMeta):  # noqa: B024 - as in tfmot
    """Looks weights up in centroids; a subclass may look them up in another way.

    Args:
        clusters_centroids: The centroids, a variable of shape `(number_of_clusters,)`.
        cluster_gradient_aggregation: Sum or mean. Defaults to `GradientAggregation.SUM`.
        data_format: That of the layer. Defaults to `None`.

    Raises:
        KerasCompressError: A `ValueError`, if `clusters_centroids` is no variable.
    """

    #: Whether the gradient of the centroids is dense. Keras 3 doesn't add up the entries of a
    #: sparse one before its optimizers square them, so a training asks for this.
    dense_gradient = False

    def __init__(
        self,
        clusters_centroids: Tensor,
        cluster_gradient_aggregation: GradientAggregation = GradientAggregation.SUM,
        data_format: str | None = None,
    ) -> None:
        if not _is_variable(clusters_centroids):
            raise KerasCompressError(
                "clusters_centroids should be a tf.Variable or `keras.Variable`. "
                f"Received: {clusters_centroids!r} of type {type(clusters_centroids).__name__}."
            )
        self.cluster_centroids = clusters_centroids
        self.cluster_gradient_aggregation = cluster_gradient_aggregation
        self.data_format = data_format

    def get_pulling_indices(self, weight: Tensor, centroids: Tensor | None = None) -> Tensor:
        """Return for each value of `weight` the index of the nearest centroid, same shape."""
        ops = keras.ops
        chosen = self.cluster_centroids if centroids is None else centroids
        distance = ops.abs(
            ops.expand_dims(ops.convert_to_tensor(weight), -1) - ops.convert_to_tensor(chosen)
        )
        return ops.cast(ops.argmin(distance, axis=-1), index_dtype())

    def get_clustered_weight(self, pulling_indices: Tensor, original_weight: Tensor) -> Tensor:
        """Return the centroids in the place of the weight, of the shape of `pulling_indices`.

        Its gradient goes to the centroids, summed up or averaged over the members of each, and
        unchanged to `original_weight`.
        """
        ops = keras.ops
        indices = ops.convert_to_tensor(pulling_indices)
        centroids = self._centroids()
        if self._averages():
            sizes = _sizes(ops.reshape(indices, (1, -1)), int(centroids.shape[-1]))[0]
            centroids = self.average_centroids_gradient_by_cluster_size(centroids, sizes)
        clustered = ops.take(centroids, indices, axis=0)
        return self.add_gradient_to_original_weight(clustered, original_weight)

    def average_centroids_gradient_by_cluster_size(
        self, cluster_centroids: Tensor, cluster_sizes: Tensor
    ) -> Tensor:
        """Return the centroids with a gradient divided by the sizes of their clusters.

        That of an empty cluster is zero.
        """
        ops = keras.ops
        centroids = ops.convert_to_tensor(cluster_centroids)
        sizes = ops.stop_gradient(ops.cast(cluster_sizes, centroids.dtype))
        share = ops.where(sizes > 0, 1.0 / ops.maximum(sizes, 1.0), ops.zeros_like(sizes))
        scaled = centroids * share
        # Not a bit of the values changes: what is added is zero, with a gradient.
        return ops.stop_gradient(centroids) + (scaled - ops.stop_gradient(scaled))

    def add_gradient_to_original_weight(
        self, clustered_weight: Tensor, original_weight: Tensor
    ) -> Tensor:
        """Return the clustered weight with its gradient to the original one as well."""
        original = keras.ops.convert_to_tensor(original_weight)
        return clustered_weight + (original - keras.ops.stop_gradient(original))

    def _centroids(self) -> Tensor:
        values = keras.ops.convert_to_tensor(self.cluster_centroids)
        return values * keras.ops.ones_like(values) if self.dense_gradient else values

    def _averages(self) -> bool:
        if self.cluster_gradient_aggregation not in list(GradientAggregation):
            raise KerasCompressError(
                "`cluster_gradient_aggregation` must be a `GradientAggregation`. "
                f"Received: {self.cluster_gradient_aggregation!r}."
            )
        return self.cluster_gradient_aggregation == GradientAggregation.AVG


class ClusteringAlgorithmPerChannel(ClusteringAlgorithm):
    """Looks the channels of a convolution up in centroids of their own.

    Centroids are of shape `(channels, number_of_clusters)`; channels are axis 1 of the weight
    with the data format `"channels_first"` and its last axis else.
    """

    def get_pulling_indices(self, weight: Tensor, centroids: Tensor | None = None) -> Tensor:
        ops = keras.ops
        chosen = ops.convert_to_tensor(self.cluster_centroids if centroids is None else centroids)
        channels = ops.moveaxis(ops.convert_to_tensor(weight), self._axis, 0)
        flat = ops.reshape(channels, (int(channels.shape[0]), -1, 1))
        nearest = ops.argmin(ops.abs(flat - ops.expand_dims(chosen, 1)), axis=-1)
        found = ops.reshape(ops.cast(nearest, index_dtype()), channels.shape)
        return ops.moveaxis(found, 0, self._axis)

    def get_clustered_weight(self, pulling_indices: Tensor, original_weight: Tensor) -> Tensor:
        ops = keras.ops
        centroids = self._centroids()
        channels = ops.moveaxis(ops.convert_to_tensor(pulling_indices), self._axis, 0)
        flat = ops.reshape(channels, (int(channels.shape[0]), -1))
        if self._averages():
            sizes = _sizes(flat, int(centroids.shape[-1]))
            centroids = self.average_centroids_gradient_by_cluster_size(centroids, sizes)
        clustered = ops.take_along_axis(centroids, flat, axis=1)
        clustered = ops.moveaxis(ops.reshape(clustered, channels.shape), 0, self._axis)
        return self.add_gradient_to_original_weight(clustered, original_weight)

    @property
    def _axis(self) -> int:
        return 1 if self.data_format == "channels_first" else -1


def index_dtype() -> str:
    """Return the type of indices: tfmot's, where the back end has it."""
    return "int32" if keras.backend.backend() == "jax" else "int64"


def _sizes(rows: Any, clusters: int) -> Tensor:
    """Return the members of each cluster, float32 `(rows, clusters)`."""
    ops = keras.ops
    count = int(rows.shape[0])
    first = clusters * ops.expand_dims(ops.arange(count, dtype=rows.dtype), -1)
    flat = ops.cast(ops.reshape(rows + first, (-1,)), "int32")
    ones = ops.ones_like(flat, dtype="float32")
    return ops.reshape(ops.segment_sum(ones, flat, count * clusters), (count, clusters))


def _is_variable(thing: object) -> bool:
    if isinstance(thing, keras.Variable):
        return True
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return isinstance(thing, tf.Variable)
