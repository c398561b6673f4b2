"""The layers that `cluster_weights` returns: tfmot's wrappers, with their attributes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_compress.compat.tfmot.clustering.algorithms import (
    ClusteringAlgorithm,
    ClusteringAlgorithmPerChannel,
    GradientAggregation,
    index_dtype,
)
from keras_compress.compat.tfmot.clustering.centroids import (
    CentroidInitialization,
    starting_centroids,
    starting_centroids_by_channel,
)
from keras_compress.compat.tfmot.clustering.clusterable_layer import ClusterableLayer
from keras_compress.compat.tfmot.clustering.registry import CONV2D, cells_of, make_clusterable
from keras_compress.compat.tfmot.wrapping import TfmotWrapper, outside_of_graphs
from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor


@dataclass(eq=False)
class _ClusteredWeight:
    """What the wrapper keeps of one weight; Keras tracks the variables where they are made."""

    variable: keras.Variable
    centroids: Tensor
    algorithm: ClusteringAlgorithm
    indices: Any
    zero: Any = None
    mask: Tensor = None


@keras.saving.register_keras_serializable(package="keras_compress.tfmot")
class ClusterWeights(TfmotWrapper):
    """Runs a layer on kernels looked up in trained centroids.

    As in tfmot the weights behind the centroids are trained as well, and each call begins by
    assigning them to the nearest ones.

    Args:
        layer: The layer to cluster: one that tfmot clusters, or a `ClusterableLayer`.
        number_of_clusters: Distinct values of each clustered weight, at least 2; 3 with
            `preserve_sparsity`.
        cluster_centroids_init: How they start. Defaults to `KMEANS_PLUS_PLUS`.
        preserve_sparsity: Whether zeros stay zero. Defaults to `False`.
        cluster_per_channel: Whether each channel of a two-dimensional convolution has centroids
            of its own; unused in other layers. Defaults to `False`.
        cluster_gradient_aggregation: Sum or mean. Defaults to `SUM`.

    Raises:
        KerasCompressError: A `ValueError`, if the layer can't be clustered or an argument is
            wrong.
    """

    action = "values shared"
    prefix = "cluster"

    def __init__(
        self,
        layer: keras.Layer,
        number_of_clusters: int,
        cluster_centroids_init: CentroidInitialization = CentroidInitialization.KMEANS_PLUS_PLUS,
        preserve_sparsity: bool = False,
        cluster_per_channel: bool = False,
        cluster_gradient_aggregation: GradientAggregation = GradientAggregation.SUM,
        **kwargs: Any,
    ) -> None:
        if not isinstance(layer, keras.Layer):
            raise KerasCompressError(
                f"Please initialize `Cluster` layer with a `Layer` instance. Received: {layer!r}."
            )
        make_clusterable(layer)
        _check_number(number_of_clusters, 3 if preserve_sparsity else 2)
        super().__init__(layer, **kwargs)
        self.number_of_clusters = number_of_clusters
        self.cluster_centroids_init = CentroidInitialization(cluster_centroids_init)
        self.preserve_sparsity = preserve_sparsity
        self.cluster_per_channel = bool(cluster_per_channel) and isinstance(layer, CONV2D)
        self.cluster_gradient_aggregation = GradientAggregation(cluster_gradient_aggregation)
        self.data_format = getattr(layer, "data_format", "channels_last")
        self.num_channels: int | None = None
        self.build_input_shape: Any = None
        self._weights_of = _Held()

    def build(self, input_shape: object = None, **shapes: Any) -> None:
        with outside_of_graphs():
            super().build(input_shape, **shapes)
        self.build_input_shape = input_shape

    def choose_weights(self) -> list[keras.Variable]:
        layer: Any = self.layer
        return [variable for _, variable in layer.get_clusterable_weights()]

    def add_state(self, variable: keras.Variable) -> None:
        layer: Any = self.layer
        name = next(n for n, v in layer.get_clusterable_weights() if v is variable)
        start = self._start(variable)
        centroids = self.add_weight(
            name=f"cluster_centroids_{_plain(name)}",
            shape=start.shape,
            dtype=variable.dtype,
            initializer=lambda shape, dtype=None: keras.ops.cast(self._start(variable), dtype),
            trainable=True,
            aggregation="mean",
        )
        held = _ClusteredWeight(
            variable,
            centroids,
            self._algorithm(name)(
                clusters_centroids=centroids,
                cluster_gradient_aggregation=self.cluster_gradient_aggregation,
                data_format=self.data_format,
            ),
            None,
        )
        held.algorithm.dense_gradient = True

        def indices(shape: object = None, dtype: object = None) -> Tensor:
            found = held.algorithm.get_pulling_indices(keras.ops.convert_to_tensor(variable))
            if tuple(found.shape) != tuple(variable.shape):
                raise KerasCompressError(
                    "`get_pulling_indices` must give an index for each value of the weight. "
                    f"Received: shape {tuple(found.shape)} for {variable.path} of shape "
                    f"{tuple(variable.shape)}."
                )
            return found if dtype is None else keras.ops.cast(found, dtype)

        held.indices = self._state(f"pulling_indices_{_plain(name)}", variable.shape, indices)
        if self.preserve_sparsity:

            def kept(shape: object, dtype: object = None) -> Tensor:
                clustered = held.algorithm.get_clustered_weight(indices(), variable)
                return keras.ops.cast(keras.ops.not_equal(clustered, 0), dtype)

            def zero(shape: object, dtype: object = None) -> Tensor:
                found = keras.ops.argmin(keras.ops.abs(centroids), axis=-1)
                return keras.ops.cast(found, dtype)

            held.mask = self._state(
                f"sparsity_mask_{_plain(name)}", variable.shape, kept, variable.dtype
            )
            held.zero = self._state(f"zero_idx_{_plain(name)}", centroids.shape[:-1], zero)
        self._weights_of.by_name[name] = held

    def _state(
        self, name: str, shape: object, initializer: object, dtype: str | None = None
    ) -> keras.Variable:
        return self.add_weight(
            name=name,
            shape=shape,
            dtype=dtype or index_dtype(),
            initializer=initializer,
            trainable=False,
            aggregation="only_first_replica",
        )

    def _start(self, variable: keras.Variable) -> np.ndarray:
        """Return the centroids that `variable` starts from."""
        number, init = self.number_of_clusters, self.cluster_centroids_init
        axis = 1 if self.data_format == "channels_first" else -1
        if self.cluster_per_channel:
            self.num_channels = int(variable.shape[axis])
        values = _known_values(variable)
        if values is None:
            shape = (number,) if self.num_channels is None else (self.num_channels, number)
            return np.zeros(shape, np.float32)
        if self.cluster_per_channel:
            return starting_centroids_by_channel(
                values, number, init, axis=axis, preserve_sparsity=self.preserve_sparsity
            )
        return starting_centroids(values, number, init, preserve_sparsity=self.preserve_sparsity)

    def _algorithm(self, name: str) -> type[ClusteringAlgorithm]:
        if self.cluster_per_channel:
            return ClusteringAlgorithmPerChannel
        own = None
        if isinstance(self.layer, ClusterableLayer):
            own = self.layer.get_clusterable_algorithm(name)
        return own or ClusteringAlgorithm

    def update_clustered_weights_associations(self) -> None:
        """Assign each weight to the nearest centroid, and hold what is pruned at zero."""
        for held in self._weights_of.by_name.values():
            if held.zero is not None:
                held.centroids.assign(_zeroed(held.centroids, held.zero))
            held.indices.assign(held.algorithm.get_pulling_indices(_behind(held)))

    def substitutes(self) -> list[tuple[keras.Variable, Tensor]]:
        return [
            (held.variable, held.algorithm.get_clustered_weight(held.indices, _behind(held)))
            for held in self._weights_of.by_name.values()
        ]

    def call(self, *args: Any, training: bool | None = None, **kwargs: Any) -> Tensor:
        self.update_clustered_weights_associations()
        return super().call(*args, **kwargs)

    def get_weight_from_layer(self, weight_name: str) -> keras.Variable:
        """Return the variable of the layer behind the clustered weight of that name."""
        return getattr(self.layer, weight_name)

    @property
    def cluster_centroids(self) -> dict[str, Any]:
        """Centroids by weight, `(number_of_clusters,)`; per channel `(channels, clusters)`."""
        return self._each("centroids")

    @property
    def pulling_indices(self) -> dict[str, Any]:
        """Index of the centroid of each value, by weight, shaped like the weight."""
        return self._each("indices")

    @property
    def original_clusterable_weights(self) -> dict[str, Any]:
        """The variables of the wrapped layer that are clustered, by name."""
        return self._each("variable")

    @property
    def clustering_algorithms(self) -> dict[str, ClusteringAlgorithm]:
        """What looks each weight up, by name."""
        return self._each("algorithm")

    @property
    def sparsity_masks(self) -> dict[str, Any]:
        """Where a weight isn't pruned, as 1.0, by name; empty unless sparsity is preserved."""
        return self._each("mask") if self.preserve_sparsity else {}

    @property
    def zero_idx(self) -> dict[str, Any]:
        """Index of the centroid that stays zero, by name; empty unless sparsity is preserved."""
        return self._each("zero") if self.preserve_sparsity else {}

    @property
    def position_original_weights(self) -> dict[int, str]:
        """Name of each clustered weight, by its place in the weights of the layer."""
        name_of = {id(held.variable): n for n, held in self._weights_of.by_name.items()}
        places = enumerate(self.layer.weights)
        return {i: name_of[id(weight)] for i, weight in places if id(weight) in name_of}

    def _each(self, what: str) -> dict[str, Any]:
        return {name: getattr(held, what) for name, held in self._weights_of.by_name.items()}

    def get_config(self) -> dict[str, object]:
        return {
            **super().get_config(),
            "number_of_clusters": self.number_of_clusters,
            "cluster_centroids_init": self.cluster_centroids_init.value,
            "preserve_sparsity": self.preserve_sparsity,
            "cluster_gradient_aggregation": self.cluster_gradient_aggregation.value,
            "cluster_per_channel": self.cluster_per_channel,
        }


@keras.saving.register_keras_serializable(package="keras_compress.tfmot")
class ClusterWeightsRNN(ClusterWeights):
    """Clusters the cells of a recurrent layer; names of weights end in the number of the cell."""

    def get_weight_from_layer(self, weight_name: str) -> keras.Variable:
        name, number = weight_name.split("/")
        return getattr(cells_of(self.layer)[int(number)], name)


@keras.saving.register_keras_serializable(package="keras_compress.tfmot")
class ClusterWeightsMHA(ClusterWeights):
    """Clusters the four projections of `MultiHeadAttention`."""

    def get_weight_from_layer(self, weight_name: str) -> keras.Variable:
        part, _, name = weight_name.lstrip("_").rpartition(".")
        return getattr(getattr(self.layer, part), name)


class _Held:
    """Clustered weights by name, out of the sight of Keras' tracking of attributes."""

    def __init__(self) -> None:
        self.by_name: dict[str, _ClusteredWeight] = {}


def _behind(held: _ClusteredWeight) -> Tensor:
    """Return the weight behind the centroids, zero where it is pruned."""
    weight = keras.ops.convert_to_tensor(held.variable)
    return weight if held.mask is None else weight * keras.ops.convert_to_tensor(held.mask)


def _zeroed(centroids: Tensor, zero: Tensor) -> Tensor:
    """Return the centroids with zero at the index `zero`, and wherever the same value stands."""
    ops = keras.ops
    values = ops.convert_to_tensor(centroids)
    fixed = ops.cast(ops.one_hot(ops.convert_to_tensor(zero), int(values.shape[-1])), values.dtype)
    at_zero = ops.sum(values * fixed, axis=-1, keepdims=True)
    return ops.where(ops.equal(values, at_zero), ops.zeros_like(values), values)


def _known_values(variable: keras.Variable) -> np.ndarray | None:
    """Return the values of `variable`, or `None` while it is only a symbol of a graph."""
    try:
        return np.asarray(keras.ops.convert_to_numpy(variable))
    except (NotImplementedError, TypeError, AttributeError):
        return None


def _plain(name: str) -> str:
    # Keras allows no slash in the name of a weight.
    return name.replace("/", "_")


def _check_number(number: object, least: int) -> None:
    if isinstance(number, bool) or not isinstance(number, int):
        raise KerasCompressError(
            "number_of_clusters must be an integer. "
            f"Received: number_of_clusters={number!r} of type {type(number).__name__}."
        )
    if number < least:
        raise KerasCompressError(
            f"number_of_clusters must be greater than {least - 1}"
            f"{', for one of them is zero with preserve_sparsity' if least == 3 else ''}. "
            f"Received: number_of_clusters={number}."
        )
