"""The engine of clustering: makes codebooks for the wrappers and for the optimizer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from keras_compress.clustering.channels import channel_axis, make_channel_codebook
from keras_compress.clustering.codebook import Codebook, existing_codebook, make_codebook
from keras_compress.clustering.config import ClusteringConfig
from keras_compress.clustering.entropy_constrained import entropy_constrained_codebook
from keras_compress.clustering.importance import importance_for
from keras_compress.clustering.projection import CodebookProjection
from keras_compress.clustering.wrapper import Clustered
from keras_compress.engine.cloning import require_copyable, require_removable, wrap_layers
from keras_compress.engine.optimizer import ProjectedOptimizer
from keras_compress.engine.preparation import require_chosen, require_effective, weights_to_wrap
from keras_compress.engine.report import values_of
from keras_compress.engine.weights import (
    WeightRef,
    iter_weights,
    require_finite,
)
from keras_compress.errors import KerasCompressError
from keras_compress.layers import iter_layers

if TYPE_CHECKING:
    import keras


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
            infinite, an optimizer is needed and not given, or a layer is such that `finalize`
            couldn't copy it.
    """

    def __init__(
        self,
        model: keras.Model,
        config: ClusteringConfig,
        optimizer: keras.Optimizer | None = None,
        resumed: bool = False,
    ) -> None:
        self.config = config
        self.optimizer = optimizer
        self.resumed = resumed
        #: Whether a training graph traced before now lacks what was added.
        self.changed_graph = False
        #: What keeps the clusters of an untouched model; behind wrappers there is nothing.
        self.projections: list[CodebookProjection] = []
        wrappers = clustered_layers(model)
        if wrappers:
            require_removable(model)
            self._fill_wrappers(model, wrappers)
            return
        chosen = weights_to_constrain(model, config)
        require_copyable(model)
        if optimizer is None:
            raise KerasCompressError(
                "The clusters of an untouched model live in its optimizer. Received: "
                "optimizer=None. Pass `optimizer=`, or wrap the model by "
                "`clustering.prepare(model, config)`."
            )
        self._constrain(model, chosen)

    def codebook(self, ref: WeightRef) -> Codebook:
        """Return the codebook to start `ref` from.

        Weights that have as many distinct values as there are clusters (or fewer, when resumed)
        are clustered already: their values are the codebook.
        """
        values = values_of(ref.variable)
        return codebook_for(ref, values, self.config, resumed=self.resumed)

    def _fill_wrappers(self, model: keras.Model, wrappers: Sequence[Clustered]) -> None:
        refs = {id(ref.variable): ref for ref in iter_weights(model)}
        for wrapper in wrappers:
            if not wrapper.initialized:
                if wrapper.n_clusters != self.config.n_clusters:
                    raise KerasCompressError(
                        "`Clustered` layers get as many clusters as they were made for. Received: "
                        f"{self.config.n_clusters} clusters for {wrapper.name!r}, which has "
                        f"{wrapper.n_clusters}. Give the callback the same number."
                    )
                wrapper.set_codebooks(
                    [self.codebook(refs[id(v)]) for v in wrapper.substituted_weights()]
                )
                self.changed_graph = True

    def _constrain(self, model: keras.Model, chosen: Sequence[WeightRef]) -> None:
        self.optimizer = ProjectedOptimizer.around(self.optimizer, model.trainable_variables)
        if not settled(chosen, self.optimizer, self.config):
            raise KerasCompressError(
                "Clusters are made once the masks of a weight stand. Received: masks that their "
                "schedule is still to move. Drive the `Pruner` to its end first."
            )
        # All codebooks first: an error must not leave the optimizer half changed.
        codebooks = [self.codebook(ref) for ref in chosen]
        for ref, codebook in zip(chosen, codebooks, strict=True):
            projection = self.optimizer.projection(ref.variable, CodebookProjection.kind)
            if not self._fits(projection):
                projection = CodebookProjection(ref.variable, self.config)
                self.optimizer.add_projection(projection)
                self.changed_graph = True
            projection.set_codebook(codebook)
            self.projections.append(projection)

    def _fits(self, projection: Any) -> TypeGuard[CodebookProjection]:
        return (
            projection is not None
            and projection.n_clusters == self.config.n_clusters
            and projection.per_channel == self.config.per_channel
            and projection.gradient_aggregation == self.config.gradient_aggregation
        )


def weights_to_constrain(model: keras.Model, config: ClusteringConfig) -> tuple[WeightRef, ...]:
    """Return the weights of an untouched model that the optimizer is to keep clustered."""
    selection = config.select(model)
    require_chosen(model, selection, "cluster")
    require_effective(selection.chosen, "cluster", zeros_only=False)
    return selection.chosen


def settled(
    chosen: Sequence[WeightRef], optimizer: keras.Optimizer, config: ClusteringConfig
) -> bool:
    """Whether the masks that the optimizer keeps on `chosen` weights no longer move.

    Raises:
        KerasCompressError: If it isn't known when they will, or the clusters wouldn't keep them.
    """
    stand = True
    for ref in chosen:
        for projection in optimizer.projections_on(ref.variable):
            if projection.kind == CodebookProjection.kind:
                continue
            if not config.preserve_sparsity:
                raise KerasCompressError(
                    "Clusters of a pruned weight must keep its zeros. Received: "
                    f"preserve_sparsity=False for {ref.label}, whose mask is in force."
                )
            stand = stand and projection.settled
            if not projection.settled and projection.settles_at is None:
                raise KerasCompressError(
                    "Weights are clustered when their pruning has come to its end. Received: "
                    f"{ref.label}, pruned by a schedule without `end_step`. Give it one, or "
                    "cluster in a `fit` of its own."
                )
    return stand


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


def clustered_layers(model: keras.Model) -> list[Clustered]:
    """Return the `Clustered` layers of `model`, nested ones included."""
    return [layer for _, layer in iter_layers(model) if isinstance(layer, Clustered)]


def weights_to_cluster(model: keras.Model, config: ClusteringConfig) -> tuple[WeightRef, ...]:
    """Return the weights that a first `prepare` of `model` is to wrap."""
    selection = config.select(model)
    return weights_to_wrap(model, selection, clustered_layers(model), "clustering", "cluster")


def wrap_with_codebooks(
    model: keras.Model,
    config: ClusteringConfig,
    wrap: Callable[[keras.Layer, list[int]], Clustered],
) -> keras.Model:
    """Return a copy of `model` whose chosen layers are wrapped, on codebooks of their weights.

    Args:
        model: A built Sequential or functional model, nested or not.
        config: Says which weights, and how many values.
        wrap: Called with a copy of a layer and the places of its chosen weights in its
            `variables`; returns the wrapper.

    Raises:
        KerasCompressError: As `clustering.prepare`.
    """
    chosen = weights_to_cluster(model, config)
    codebooks = {
        id(ref.variable): codebook_for(ref, values_of(ref.variable), config, resumed=False)
        for ref in chosen
    }
    wrapped: list[tuple[Clustered, list[Codebook]]] = []

    def wrap_one(layer: keras.Layer, indices: list[int], refs: list[WeightRef]) -> Clustered:
        wrapper = wrap(layer, indices)
        wrapped.append((wrapper, [codebooks[id(ref.variable)] for ref in refs]))
        return wrapper

    def fill() -> None:
        for wrapper, its_codebooks in wrapped:
            wrapper.set_codebooks(its_codebooks)

    return wrap_layers(model, chosen, wrap_one, fill)
