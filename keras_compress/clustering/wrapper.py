"""The wrapper of clustering: a layer whose kernels are looked up in a trained codebook."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras

from keras_compress.clustering.channels import codebook_size
from keras_compress.clustering.codebook import Codebook
from keras_compress.clustering.config import ClusteringConfig
from keras_compress.engine.wrapper import SubstitutedLayer

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor


@keras.saving.register_keras_serializable(package="keras_compress")
class Clustered(SubstitutedLayer):
    """Runs a layer with `centroids[assignment]` in the place of its kernels.

    The centroids, of shape `(n_clusters,)`, are trained in the kernel's stead: the gradient of
    a look-up is the sum over the members of each cluster (Deep Compression, eq. 3). Until
    `set_codebooks` (by `clustering.prepare`, `ClusteringCallback` or `Clusterer`) the layer runs
    on its own kernels.

    Args:
        layer: The layer to wrap.
        n_clusters: Distinct values of each clustered weight. Defaults to `16`.
        gradient_aggregation: `"sum"` or `"mean"`. Defaults to `"sum"`.
        indices: Places in `layer.variables` of the weights to cluster. Defaults to `None`: the
            layer's kernels.
        initialized: Whether the centroids hold (or are about to be loaded with) a codebook; part
            of the saved configuration. Defaults to `False`.
        per_channel: Whether each output channel has a codebook of its own; `centroids` are then
            those of the channels end to end. Defaults to `False`.

    Raises:
        KerasCompressError: If the layer is wrapped already or has no kernel.
    """

    action = "clustered"

    def __init__(
        self,
        layer: keras.Layer,
        n_clusters: int = 16,
        gradient_aggregation: str = "sum",
        indices: Sequence[int] | None = None,
        initialized: bool = False,
        per_channel: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(layer, indices, **kwargs)
        # Checks the ranges of both.
        config = ClusteringConfig(n_clusters, gradient_aggregation=gradient_aggregation)  # type: ignore[arg-type]
        self.n_clusters = config.n_clusters
        self.gradient_aggregation = config.gradient_aggregation
        self.initialized = initialized
        self.per_channel = per_channel
        self.centroids: list[Any] = []
        self.assignments: list[Any] = []
        self.counts: list[Any] = []
        #: 0 where a centroid is the fixed zero of pruned weights, else 1.
        self.free: list[Any] = []

    def build(self, input_shape: tuple[int | None, ...] | None = None) -> None:
        super().build(input_shape)
        if self.initialized:
            self._freeze_kernels()

    def add_state(self, variable: keras.Variable) -> None:
        def add(what: str, **arguments: Any) -> keras.Variable:
            size = codebook_size(variable, self.n_clusters, self.per_channel)
            each = {"shape": (size,), "dtype": variable.dtype, "initializer": "zeros"}
            return self.add_weight(name=f"{variable.name}_{what}", **{**each, **arguments})

        # Where a training step moves them, all replicas find the same.
        state = {"trainable": False, "aggregation": "only_first_replica"}
        self.centroids.append(add("centroids"))
        self.assignments.append(add("assignment", shape=variable.shape, dtype="int32", **state))
        self.counts.append(add("counts", initializer="ones", **state))
        self.free.append(add("free", initializer="ones", trainable=False))

    def set_codebooks(self, codebooks: Sequence[Codebook]) -> None:
        """Start from `codebooks`, one for each of `substituted_weights()`."""
        for place, codebook in enumerate(codebooks):
            self.centroids[place].assign(codebook.centroids)
            self.assignments[place].assign(codebook.assignment)
            self.counts[place].assign(codebook.counts())
            self.free[place].assign(codebook.free())
        self.initialized = True
        self._freeze_kernels()

    def substitutes(self) -> list[tuple[keras.Variable, Tensor]]:
        if not self.initialized:
            return []
        pairs = []
        for place, variable in enumerate(self.substituted_weights()):
            assignment = keras.ops.convert_to_tensor(self.assignments[place])
            centroids = self._effective_centroids(place)
            pairs.append((variable, keras.ops.take(centroids, assignment)))
        return pairs

    def _effective_centroids(self, place: int) -> Tensor:
        centroids = keras.ops.convert_to_tensor(self.centroids[place])
        centroids = centroids * keras.ops.convert_to_tensor(self.free[place])
        if self.gradient_aggregation == "sum":
            return centroids
        # The same value with a gradient smaller by the number of members.
        share = centroids / keras.ops.convert_to_tensor(self.counts[place])
        return share + keras.ops.stop_gradient(centroids - share)

    def _freeze_kernels(self) -> None:
        for variable in self.substituted_weights():
            variable.trainable = False

    def get_config(self) -> dict[str, object]:
        return {
            **super().get_config(),
            "n_clusters": self.n_clusters,
            "gradient_aggregation": self.gradient_aggregation,
            "initialized": self.initialized,
            "per_channel": self.per_channel,
        }
