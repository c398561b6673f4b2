"""`cluster_weights`, `strip_clustering` and `cluster_scope`."""

from __future__ import annotations

from typing import Any

import keras

from keras_compress.clustering.config import ClusteringConfig
from keras_compress.compat.tfmot.clustering.algorithms import CentroidInitialization
from keras_compress.compat.tfmot.clustering.wrapper import ClusterWeights
from keras_compress.compat.tfmot.wrapping import strip, wrap


def cluster_weights(
    to_cluster: Any,
    number_of_clusters: int,
    cluster_centroids_init: CentroidInitialization = CentroidInitialization.KMEANS_PLUS_PLUS,
    **kwargs: Any,
) -> Any:
    """Return `to_cluster` in layers that train on shared weights.

    A model is copied, with its weights; a layer is wrapped itself. Never `None`: what can't be
    clustered is an error.

    Args:
        to_cluster: A layer, a list of layers, or a Sequential or functional model, nested or not.
        number_of_clusters: Distinct values of each weight, at least 2.
        cluster_centroids_init: How centroids start. Defaults to `KMEANS_PLUS_PLUS`.
        **kwargs: `preserve_sparsity`, `cluster_per_channel` and `cluster_gradient_aggregation`
            (see `ClusterWeights`), and arguments of a Keras layer.

    Raises:
        KerasCompressError: A `ValueError`, if it can't be clustered or an argument is wrong.
    """
    ClusteringConfig(number_of_clusters)  # The error comes before any layer is touched.

    def around(layer: Any) -> Any:
        return ClusterWeights(layer, number_of_clusters, cluster_centroids_init, **kwargs)

    def await_copy(layer: Any) -> Any:
        wrapper = around(layer)
        if isinstance(to_cluster, keras.Model) and to_cluster.built:
            wrapper.await_weights()
        return wrapper

    # tfmot hands an input layer back as it is.
    if isinstance(to_cluster, keras.layers.InputLayer):
        return to_cluster
    return wrap(
        "cluster_weights",
        to_cluster,
        ClusterWeights,
        await_copy,
        fill=lambda wrapper: wrapper.start(),
    )


def strip_clustering(model: Any) -> Any:
    """Return a copy of `model` in stock layers, its kernels made of shared values.

    Raises:
        KerasCompressError: A `ValueError`, if `model` is no model.
    """
    return strip("strip_clustering", model)


def cluster_scope() -> Any:
    """Return a scope in which clustered models load. (They load outside of it, too.)"""
    return keras.saving.custom_object_scope({"ClusterWeights": ClusterWeights})
