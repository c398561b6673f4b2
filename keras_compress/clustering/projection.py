"""What the callback of clustering works by: members of a cluster kept equal in the optimizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import keras
import numpy as np

from keras_compress.clustering.channels import codebook_size
from keras_compress.clustering.codebook import Codebook
from keras_compress.clustering.config import ClusteringConfig
from keras_compress.engine.inner_optimizers import clips_by_norm, updating_optimizers
from keras_compress.engine.projection import Projection
from keras_compress.engine.report import values_of
from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

# Their updates of a value depend on the other values of its weight.
_NOT_ELEMENTWISE = (keras.optimizers.Adafactor, keras.optimizers.Lamb, keras.optimizers.Muon)


class CodebookProjection(Projection):
    """Keeps the members of each cluster equal, and trains them as one.

    Every member gets the summed gradient of its cluster. Optimizers treat equal values with
    equal gradients alike, so this *is* training the centroid with that optimizer; what the
    optimizer remembers of the time before clustering is averaged out.

    Where gradients are clipped by their norm, in which a centroid counts once, one member of each
    cluster gets the gradient and the others follow it.

    Args:
        variable: The `keras.Variable` to constrain.
        config: Its `ClusteringConfig`.
    """

    kind = "codebook"
    action = "clustered"

    def __init__(self, variable: keras.Variable, config: ClusteringConfig) -> None:
        super().__init__(variable)
        self.n_clusters = config.n_clusters
        self.per_channel = config.per_channel
        self.size = codebook_size(variable, config.n_clusters, config.per_channel)
        self.gradient_aggregation = config.gradient_aggregation
        #: Whether one member alone carries the gradient of its cluster.
        self.carried = False

    def create_state(self, optimizer: keras.Optimizer) -> list[keras.Variable]:
        self.carried = clips_by_norm(optimizer.inner_optimizer)
        if self.carried:
            _require_elementwise(optimizer.inner_optimizer)
        k = (self.size,)
        return [
            optimizer.add_variable(shape=self.variable.shape, dtype="int32", name="assignment"),
            optimizer.add_variable(shape=k, initializer="ones", name="counts"),
            optimizer.add_variable(shape=k, initializer="ones", name="free"),
            optimizer.add_variable(shape=k, dtype="int32", name="first_member"),
        ]

    def set_codebook(self, codebook: Codebook) -> None:
        """Put `codebook` in force, and the weight and its moving averages onto it."""
        assignment, counts, free, first = self.state
        first_member = np.zeros(self.size, dtype=np.int32)
        present, where = np.unique(codebook.assignment, return_index=True)
        first_member[present] = where
        assignment.assign(codebook.assignment)
        counts.assign(codebook.counts())
        free.assign(codebook.free())
        first.assign(first_member)
        self.variable.assign(codebook.values())
        self.pull_averages()

    def prepare_gradient(self, gradient: Tensor) -> Tensor:
        ops = keras.ops
        assignment, counts, free, first = map(ops.convert_to_tensor, self.state)
        gradient = ops.convert_to_tensor(gradient)
        total = _segment_sum(gradient, assignment, self.size)
        total = total * ops.cast(free, total.dtype)
        if self.gradient_aggregation == "mean":
            total = total / ops.cast(counts, total.dtype)
        shared = ops.take(total, assignment)
        if not self.carried:
            return shared
        place = ops.reshape(ops.arange(int(np.prod(shared.shape)), dtype="int32"), shared.shape)
        carries = ops.equal(place, ops.take(first, assignment))
        return ops.where(carries, shared, ops.zeros_like(shared))

    def project(self, weight: Tensor, state: Sequence[object]) -> Tensor:
        assignment, counts, free, first = state
        # Averaging what differs from one member, not the members: equal members stay bit-equal.
        centroids = keras.ops.take(keras.ops.reshape(weight, (-1,)), first)
        if not self.carried:
            spread = weight - keras.ops.take(centroids, assignment)
            moved = _segment_sum(spread, assignment, self.size)
            centroids = centroids + moved / keras.ops.cast(counts, moved.dtype)
        return keras.ops.take(centroids * keras.ops.cast(free, centroids.dtype), assignment)

    def nearest(self, values: np.ndarray) -> np.ndarray:
        assignment, counts, free, first = (values_of(each) for each in self.state)
        places = assignment.ravel()
        centroids = values.ravel()[first]
        spread = (values.ravel() - centroids[places]).astype(np.float64)
        moved = np.bincount(places, spread, minlength=self.size) / counts
        means = ((centroids + moved) * free).astype(values.dtype)
        return np.asarray(means[assignment])


def _require_elementwise(optimizer: keras.Optimizer) -> None:
    for each in updating_optimizers(optimizer):
        if isinstance(each, _NOT_ELEMENTWISE):
            raise KerasCompressError(
                "Clipping by norm, in which a centroid counts once, takes an optimizer that "
                f"updates each value by itself. Received: {type(each).__name__} with `clipnorm` "
                "or `global_clipnorm`. Clip by `clipvalue`, or train what "
                "`clustering.prepare(model, config)` returns."
            )


def _segment_sum(values: Tensor, assignment: Tensor, n_clusters: int) -> Tensor:
    flat = keras.ops.reshape(values, (-1,))
    segments = keras.ops.reshape(assignment, (-1,))
    return keras.ops.segment_sum(flat, segments, num_segments=n_clusters)
