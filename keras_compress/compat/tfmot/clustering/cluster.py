"""`cluster_weights`, `strip_clustering` and `cluster_scope`."""

from __future__ import annotations

from typing import Any

import keras

from keras_compress.compat.tfmot.clustering.centroids import CentroidInitialization
from keras_compress.compat.tfmot.clustering.registry import CONV2D, has_enough_weights, is_recurrent
from keras_compress.compat.tfmot.clustering.wrapper import (
    ClusterWeights,
    ClusterWeightsMHA,
    ClusterWeightsRNN,
)
from keras_compress.compat.tfmot.wrapping import with_layers
from keras_compress.copying.layer_copy import copy_layer, copy_value
from keras_compress.errors import KerasCompressError


def cluster_weights(
    to_cluster: object,
    number_of_clusters: int,
    cluster_centroids_init: CentroidInitialization = CentroidInitialization.KMEANS_PLUS_PLUS,
    **kwargs: Any,
) -> Any:
    """Return `to_cluster` in layers that train on shared weights.

    As in tfmot the layers within are those of `to_cluster` themselves, so that the original is
    trained too, and the result has no optimizer; a convolution with no more weights than
    clusters is left as it is, with a warning. Never `None`: what can't be clustered is an error.

    Args:
        to_cluster: A layer, a list of layers, or a Sequential or functional model, nested or not.
        number_of_clusters: Distinct values of each weight, at least 2.
        cluster_centroids_init: How centroids start. Defaults to `KMEANS_PLUS_PLUS`.
        **kwargs: `preserve_sparsity`, `cluster_per_channel` and `cluster_gradient_aggregation`
            (see `ClusterWeights`), and arguments of a Keras layer.

    Raises:
        KerasCompressError: A `ValueError`, if it can't be clustered or an argument is wrong.
    """
    if cluster_centroids_init not in list(CentroidInitialization):
        raise KerasCompressError(
            f"Cluster centroid initialization {cluster_centroids_init} not supported. "
            f"Received: cluster_centroids_init={cluster_centroids_init!r}. Choose a "
            "`CentroidInitialization`."
        )
    by_channel = kwargs.pop("cluster_per_channel", False)

    def put(layer: keras.Layer) -> Any:
        if isinstance(layer, keras.Model):
            return with_layers("cluster_weights", layer, put)
        if isinstance(layer, ClusterWeights):
            return layer
        if isinstance(layer, keras.layers.InputLayer):
            return type(layer).from_config(layer.get_config())
        kind: type[ClusterWeights] = ClusterWeights
        if is_recurrent(layer):
            kind = ClusterWeightsRNN
        elif isinstance(layer, keras.layers.MultiHeadAttention):
            kind = ClusterWeightsMHA
        elif isinstance(layer, CONV2D) and not has_enough_weights(
            layer, number_of_clusters, by_channel
        ):
            return layer
        return kind(
            layer,
            number_of_clusters,
            cluster_centroids_init,
            cluster_per_channel=by_channel,
            **kwargs,
        )

    if isinstance(to_cluster, list):
        return [put(layer) for layer in to_cluster]
    if isinstance(to_cluster, keras.Layer):
        return put(to_cluster)
    raise KerasCompressError(
        "`cluster_weights` takes a Sequential or functional model, a layer or a list of layers. "
        f"Received: {to_cluster!r} of type {type(to_cluster).__name__}."
    )


def strip_clustering(model: keras.Model) -> keras.Model:
    """Return a model like `model` in stock layers, its kernels made of shared values.

    Raises:
        KerasCompressError: A `ValueError`, if `model` is no Sequential or functional model, or
            isn't built.
    """
    if not isinstance(model, keras.Model):
        raise KerasCompressError(
            "Expected model to be a `keras.Model` instance but got something else. "
            f"Received: {model!r} of type {type(model).__name__}."
        )

    def put(layer: keras.Layer) -> Any:
        return _stripped(layer) if isinstance(layer, ClusterWeights) else layer

    return with_layers("strip_clustering", model, put)


def _stripped(wrapper: ClusterWeights) -> keras.Layer:
    if not wrapper.built:
        raise KerasCompressError(
            "`strip_clustering` needs a built model: before, it has no weights to share. "
            f"Received: {wrapper.name!r}, which isn't built. Call the model on data first, or "
            "begin it with `keras.Input`."
        )
    # Centroids have moved since the last step, or weights have been loaded.
    wrapper.update_clustered_weights_associations()
    clean = copy_layer(wrapper.layer)
    replaced = {id(variable): value for variable, value in wrapper.substitutes()}
    for source, target in zip(wrapper.layer.variables, clean.variables, strict=True):
        if id(source) in replaced:
            copy_value(replaced[id(source)], target)
    return clean


def cluster_scope() -> Any:
    """Return a scope in which clustered models load. (They load outside of it, too.)"""
    classes = (ClusterWeights, ClusterWeightsRNN, ClusterWeightsMHA)
    return keras.saving.custom_object_scope({each.__name__: each for each in classes})
