"""The layer that `cluster_weights` returns: `clustering.Reassigned` with tfmot's arguments."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_compress.clustering.clusterer import codebook_for
from keras_compress.clustering.codebook import Codebook
from keras_compress.clustering.config import ClusteringConfig
from keras_compress.clustering.reassignment import Reassigned
from keras_compress.clustering.wrapper import Clustered
from keras_compress.compat.tfmot.clustering.algorithms import (
    CentroidInitialization,
    ClusterableLayer,
    ClusteringAlgorithm,
    GradientAggregation,
)
from keras_compress.compat.tfmot.wrapping import declared_input
from keras_compress.engine.report import values_of
from keras_compress.engine.weights import WeightRef, iter_weights, kernel_indices
from keras_compress.errors import KerasCompressError

_INIT: dict[CentroidInitialization, Any] = {
    CentroidInitialization.LINEAR: "linear",
    CentroidInitialization.RANDOM: "random",
    CentroidInitialization.DENSITY_BASED: "density",
    CentroidInitialization.KMEANS_PLUS_PLUS: "kmeans",
}


@keras.saving.register_keras_serializable(package="keras_compress.tfmot")
class ClusterWeights(Reassigned):
    """Runs a layer on kernels looked up in trained centroids.

    As in tfmot the weights behind the centroids are trained as well, and each training step
    begins by assigning them to the nearest ones.

    Args:
        layer: The layer to cluster: one of Keras', or a `ClusterableLayer`.
        number_of_clusters: Distinct values of each clustered weight, at least 2.
        cluster_centroids_init: How they start. Defaults to `KMEANS_PLUS_PLUS`.
        preserve_sparsity: Whether zeros stay zero. Defaults to `False`.
        cluster_per_channel: Whether each output channel has centroids of its own. Defaults to
            `False`.
        cluster_gradient_aggregation: Sum or mean. Defaults to `SUM`.
        initialized: Whether the centroids are about to be loaded. Defaults to `False`.

    Raises:
        KerasCompressError: A `ValueError`, if the layer can't be clustered or an argument is
            wrong.
    """

    needs_kernel = False

    def __init__(
        self,
        layer: Any,
        number_of_clusters: int,
        cluster_centroids_init: CentroidInitialization = CentroidInitialization.KMEANS_PLUS_PLUS,
        preserve_sparsity: bool = False,
        cluster_per_channel: bool = False,
        cluster_gradient_aggregation: GradientAggregation = GradientAggregation.SUM,
        initialized: bool = False,
        **kwargs: Any,
    ) -> None:
        _require_clusterable(layer)
        if cluster_centroids_init not in list(CentroidInitialization):
            raise KerasCompressError(
                "`cluster_centroids_init` must be a `CentroidInitialization`. "
                f"Received: {cluster_centroids_init!r}."
            )
        aggregation = GradientAggregation(cluster_gradient_aggregation)
        super().__init__(
            layer,
            n_clusters=number_of_clusters,
            gradient_aggregation="sum" if aggregation is GradientAggregation.SUM else "mean",
            initialized=initialized,
            per_channel=cluster_per_channel,
            **{**declared_input(layer), **kwargs},
        )
        self.number_of_clusters = number_of_clusters
        self.cluster_centroids_init = CentroidInitialization(cluster_centroids_init)
        self.preserve_sparsity = preserve_sparsity
        self.cluster_per_channel = cluster_per_channel
        self.cluster_gradient_aggregation = aggregation
        self._awaits_weights = False

    def await_weights(self) -> None:
        """Leave the centroids to `start`, for the kernels are about to be filled."""
        self._awaits_weights = True

    def build(self, input_shape: Any = None) -> None:
        super().build(input_shape)
        if not self.initialized and not self._awaits_weights:
            self._start_while_built()

    def start(self) -> None:
        """Make the centroids from the kernels as they are."""
        refs = {id(ref.variable): ref for ref in iter_weights(self.layer)}
        weights = self.substituted_weights()
        codebooks = [self._codebook(refs[id(variable)]) for variable in weights]
        if codebooks:
            self.set_codebooks(codebooks)
        self._use_own_algorithms()

    def _start_while_built(self) -> None:
        try:
            self.start()
        except KerasCompressError:
            raise
        except Exception as error:
            raise KerasCompressError(
                "Centroids start from the weights, which must be there before a training step "
                f"is traced. Received: {self.name!r}, built by that step. Begin the model with "
                "a `keras.Input`, or call its `build(input_shape)`."
            ) from error

    def choose_indices(self) -> list[int]:
        if isinstance(self.layer, ClusterableLayer):
            wanted = {id(variable) for _, variable in self.layer.get_clusterable_weights()}
            layer: Any = self.layer
            return [i for i, v in enumerate(layer.variables) if id(v) in wanted]
        return kernel_indices(self.layer)

    @property
    def cluster_centroids(self) -> dict[str, Any]:
        """Centroids by weight, `(number_of_clusters,)`; per channel `(channels, clusters)`."""
        names = self._weight_names()
        if not self.per_channel:
            return dict(zip(names, self.centroids, strict=True))
        shape = (-1, self.n_clusters)
        return {n: keras.ops.reshape(c, shape) for n, c in zip(names, self.centroids, strict=True)}

    @property
    def pulling_indices(self) -> dict[str, Any]:
        """Index of the centroid of each value, by weight, shaped like the weight."""
        return dict(zip(self._weight_names(), self.assignments, strict=True))

    @property
    def original_clusterable_weights(self) -> dict[str, Any]:
        """The variables of the wrapped layer that are clustered, by name."""
        return dict(zip(self._weight_names(), self.substituted_weights(), strict=True))

    def call(self, *args: Any, training: Any = None, **kwargs: Any) -> Any:
        if training and self.initialized:
            self._move()
        return super().call(*args, **kwargs)

    def substitutes(self) -> list[tuple[Any, Any]]:
        pairs = super().substitutes()
        own = self._own_algorithms()
        if not own or not pairs:
            return pairs
        replaced = []
        for place, (variable, tensor) in enumerate(pairs):
            if place in own:
                indices = keras.ops.convert_to_tensor(self.assignments[place])
                tensor = own[place].get_clustered_weight(indices, variable)
                tensor = own[place].add_gradient_to_original_weight(tensor, variable)
            replaced.append((variable, tensor))
        return replaced

    def _move(self) -> None:
        own = self._own_algorithms()
        if not own:
            self.move_to_nearest()
            return
        for place, variable in enumerate(self.substituted_weights()):
            if place in own:
                weight = keras.ops.convert_to_tensor(variable)
                nearest = own[place].get_pulling_indices(weight)
            else:
                nearest = self._nearest(place, variable)
            self.assign_in_graph(place, nearest)

    def _codebook(self, ref: WeightRef) -> Codebook:
        config = ClusteringConfig(
            self.n_clusters,
            init=_INIT[self.cluster_centroids_init],
            preserve_sparsity=self.preserve_sparsity,
            per_channel=self.per_channel,
        )
        # A weight with fewer distinct values than clusters keeps them, as in tfmot.
        return codebook_for(ref, values_of(ref.variable), config, resumed=True)

    def _own_algorithms(self) -> dict[int, ClusteringAlgorithm]:
        """The algorithms that a custom layer brings, by the place of their weight."""
        if not isinstance(self.layer, ClusterableLayer) or not self.centroids:
            return {}
        found = {}
        for place, name in enumerate(self._weight_names()):
            algorithm = self.layer.get_clusterable_algorithm(name)
            if algorithm is not None:
                found[place] = algorithm(
                    self.centroids[place], self.cluster_gradient_aggregation, None
                )
        return found

    def _use_own_algorithms(self) -> None:
        for place, algorithm in self._own_algorithms().items():
            variable = self.substituted_weights()[place]
            indices = algorithm.get_pulling_indices(keras.ops.convert_to_tensor(variable))
            given = np.asarray(keras.ops.convert_to_numpy(indices))
            if given.shape != tuple(variable.shape):
                raise KerasCompressError(
                    "`get_pulling_indices` must give an index for each value of the weight. "
                    f"Received: shape {given.shape} for a weight of shape {variable.shape}."
                )
            self.assignments[place].assign(given.astype(np.int32))

    def _weight_names(self) -> list[str]:
        if isinstance(self.layer, ClusterableLayer):
            name_of = {id(v): name for name, v in self.layer.get_clusterable_weights()}
            return [name_of[id(variable)] for variable in self.substituted_weights()]
        names = [str(variable.name) for variable in self.substituted_weights()]
        # The cells of a recurrent layer, numbered as in tfmot.
        twice = len(set(names)) < len(names) or isinstance(self.layer, keras.layers.RNN)
        if not twice:
            return names
        return [f"{name}/{names[:i].count(name)}" for i, name in enumerate(names)]

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        for name in ("indices", "n_clusters", "gradient_aggregation", "per_channel"):
            config.pop(name)
        return {
            **config,
            "number_of_clusters": self.number_of_clusters,
            "cluster_centroids_init": self.cluster_centroids_init.value,
            "preserve_sparsity": self.preserve_sparsity,
            "cluster_per_channel": self.cluster_per_channel,
            "cluster_gradient_aggregation": self.cluster_gradient_aggregation.value,
        }


def _require_clusterable(layer: Any) -> None:
    wrapped = isinstance(layer, Clustered)
    stock = type(layer).__module__.split(".")[0] in ("keras", "keras_compress")
    if wrapped or not (stock or isinstance(layer, ClusterableLayer)):
        why = "it is wrapped already" if wrapped else "it does not say what may be clustered"
        raise KerasCompressError(
            "A layer to cluster must be one of Keras' own or a `ClusterableLayer` with "
            f"`get_clusterable_weights()`. Received: {getattr(layer, 'name', layer)!r} of type "
            f"{type(layer).__name__}; {why}."
        )
