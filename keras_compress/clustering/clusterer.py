"""The engine of clustering: makes codebooks and puts them behind either door."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_compress.clustering.channels import (
    channel_axis,
    codebook_size,
    make_channel_codebook,
)
from keras_compress.clustering.codebook import Codebook, existing_codebook, make_codebook
from keras_compress.clustering.config import ClusteringConfig
from keras_compress.clustering.entropy_constrained import entropy_constrained_codebook
from keras_compress.clustering.importance import importance_for
from keras_compress.clustering.wrapper import Clustered
from keras_compress.engine.optimizer import ProjectedOptimizer, Projection
from keras_compress.engine.preparation import require_chosen, weights_to_wrap
from keras_compress.engine.report import values_of
from keras_compress.engine.weights import (
    Selectors,
    WeightRef,
    iter_weights,
    require_finite,
    select_weights,
)
from keras_compress.errors import KerasCompressError
from keras_compress.layers import iter_layers


class CodebookProjection(Projection):
    """Keeps the members of each cluster equal, and trains them as one.

    Every member gets the summed gradient of its cluster. Optimizers treat equal values with
    equal gradients alike, so this *is* training the centroid with that optimizer; what the
    optimizer remembers of the time before clustering is averaged out.

    Args:
        variable: The `keras.Variable` to constrain.
        config: Its `ClusteringConfig`.
    """

    kind = "codebook"

    def __init__(self, variable: Any, config: ClusteringConfig) -> None:
        super().__init__(variable)
        self.n_clusters = config.n_clusters
        self.per_channel = config.per_channel
        self.size = codebook_size(variable, config.n_clusters, config.per_channel)
        self.gradient_aggregation = config.gradient_aggregation

    def create_state(self, optimizer: keras.optimizers.Optimizer) -> list[Any]:
        k = (self.size,)
        return [
            optimizer.add_variable(shape=self.variable.shape, dtype="int32", name="assignment"),
            optimizer.add_variable(shape=k, initializer="ones", name="counts"),
            optimizer.add_variable(shape=k, initializer="ones", name="free"),
            optimizer.add_variable(shape=k, dtype="int32", name="first_member"),
        ]

    def set_codebook(self, codebook: Codebook) -> None:
        """Put `codebook` in force and the weight onto it."""
        assignment, counts, free, first = self.state
        first_member = np.zeros(self.size, dtype=np.int32)
        present, where = np.unique(codebook.assignment, return_index=True)
        first_member[present] = where
        assignment.assign(codebook.assignment)
        counts.assign(codebook.counts())
        free.assign(codebook.free())
        first.assign(first_member)
        self.variable.assign(codebook.values())

    def prepare_gradient(self, gradient: Any) -> Any:
        assignment, counts, free, _ = map(keras.ops.convert_to_tensor, self.state)
        gradient = keras.ops.convert_to_tensor(gradient)
        total = _segment_sum(gradient, assignment, self.size)
        total = total * keras.ops.cast(free, total.dtype)
        if self.gradient_aggregation == "mean":
            total = total / keras.ops.cast(counts, total.dtype)
        return keras.ops.take(total, assignment)

    def project(self, weight: Any, state: Sequence[Any]) -> Any:
        assignment, counts, free, first = state
        # Averaging what differs from one member, not the members: equal members stay bit-equal.
        centroids = keras.ops.take(keras.ops.reshape(weight, (-1,)), first)
        spread = weight - keras.ops.take(centroids, assignment)
        moved = _segment_sum(spread, assignment, self.size)
        centroids = (centroids + moved / keras.ops.cast(counts, moved.dtype)) * keras.ops.cast(
            free, moved.dtype
        )
        return keras.ops.take(centroids, assignment)


class Clusterer:
    """Clusters a model by a `ClusteringConfig`.

    `ClusteringCallback` uses it in `fit`. In a custom training loop:

    ```python
    clusterer = Clusterer(model, config, optimizer=keras.optimizers.Adam(1e-4))
    ...
    clusterer.optimizer.apply(gradients, model.trainable_variables)
    ```

    Args:
        model: A built model. If it holds `Clustered` layers, their codebooks are trained;
            otherwise the clusters live in the optimizer.
        config: A `ClusteringConfig`.
        optimizer: The optimizer of an untouched model; `self.optimizer` is then a
            `ProjectedOptimizer` around it. Not needed with `Clustered` layers. Defaults to
            `None`.
        resumed: Whether the weights were clustered before, so that their values are the codebook
            even if some have merged. Defaults to `False`.

    Raises:
        KerasCompressError: If the model is unbuilt, a layer name matches nothing, nothing is
            left to cluster, there are more clusters than distinct values, weights are NaN or
            infinite, or an optimizer is needed and not given.
    """

    def __init__(
        self, model: Any, config: ClusteringConfig, optimizer: Any = None, resumed: bool = False
    ) -> None:
        self.config = config
        self.optimizer = optimizer
        self.resumed = resumed
        #: Whether a training graph traced before now lacks what was added.
        self.changed_graph = False
        wrappers = clustered_layers(model)
        if wrappers:
            self._fill_wrappers(model, wrappers)
            return
        selection = select_weights(model, config.layers)
        require_chosen(model, selection, "cluster")
        if optimizer is None:
            raise KerasCompressError(
                "The clusters of an untouched model live in its optimizer. Received: "
                "optimizer=None. Pass `optimizer=`, or wrap the model by "
                "`clustering.prepare(model, config)`."
            )
        self._constrain(model, selection.chosen)

    def codebook(self, ref: WeightRef) -> Codebook:
        """Return the codebook to start `ref` from.

        Weights that have as many distinct values as there are clusters (or fewer, when resumed)
        are clustered already: their values are the codebook.
        """
        values = values_of(ref.variable)
        return codebook_for(ref, values, self.config, resumed=self.resumed)

    def _fill_wrappers(self, model: Any, wrappers: Sequence[Clustered]) -> None:
        refs = {id(ref.variable): ref for ref in iter_weights(model)}
        for wrapper in wrappers:
            if not wrapper.initialized:
                wrapper.set_codebooks(
                    [self.codebook(refs[id(v)]) for v in wrapper.substituted_weights()]
                )
                self.changed_graph = True

    def _constrain(self, model: Any, chosen: Sequence[WeightRef]) -> None:
        # All codebooks first: an error must not leave the optimizer half changed.
        codebooks = [self.codebook(ref) for ref in chosen]
        self.optimizer = ProjectedOptimizer.around(self.optimizer, model.trainable_variables)
        for ref, codebook in zip(chosen, codebooks, strict=True):
            projection = self.optimizer.projection(ref.variable, CodebookProjection.kind)
            if not self._fits(projection):
                projection = CodebookProjection(ref.variable, self.config)
                self.optimizer.add_projection(projection)
                self.changed_graph = True
            projection.set_codebook(codebook)

    def _fits(self, projection: Any) -> bool:
        return (
            projection is not None
            and projection.n_clusters == self.config.n_clusters
            and projection.per_channel == self.config.per_channel
            and projection.gradient_aggregation == self.config.gradient_aggregation
        )


def codebook_for(
    ref: WeightRef, values: np.ndarray, config: ClusteringConfig, *, resumed: bool
) -> Codebook:
    """Return the codebook that the weight `ref` with `values` starts from."""
    require_finite(ref, values)
    if config.per_channel:
        return make_channel_codebook(
            values,
            config.n_clusters,
            channel_axis(ref.variable),
            init=config.init,
            preserve_sparsity=config.preserve_sparsity,
            seed=config.seed,
        )
    distinct = np.unique(values).size
    # An entropy-constrained codebook may have left some of its centroids without members.
    fewer = distinct < config.n_clusters and (resumed or config.rate_weight > 0)
    if distinct == config.n_clusters or fewer:
        return existing_codebook(values, config.n_clusters, config.preserve_sparsity)
    importance = importance_for(ref.label, values, config.importance)
    codebook = make_codebook(
        values,
        config.n_clusters,
        init=config.init,
        preserve_sparsity=config.preserve_sparsity,
        seed=config.seed,
        label=ref.label,
        importance=importance,
    )
    if not config.rate_weight:
        return codebook
    return entropy_constrained_codebook(values, codebook, config.rate_weight, importance)


def clustered_layers(model: Any) -> list[Clustered]:
    """Return the `Clustered` layers of `model`, nested ones included."""
    return [layer for _, layer in iter_layers(model) if isinstance(layer, Clustered)]


def weights_to_cluster(model: Any, layers: Selectors) -> tuple[WeightRef, ...]:
    """Return the weights that a first `prepare` of `model` is to wrap."""
    selection = select_weights(model, layers)
    return weights_to_wrap(model, selection, clustered_layers(model), "clustering", "cluster")


def _segment_sum(values: Any, assignment: Any, n_clusters: int) -> Any:
    flat = keras.ops.reshape(values, (-1,))
    segments = keras.ops.reshape(assignment, (-1,))
    return keras.ops.segment_sum(flat, segments, num_segments=n_clusters)
