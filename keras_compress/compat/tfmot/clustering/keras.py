"""`tfmot.clustering.keras`."""

from types import SimpleNamespace

from keras_compress.compat.tfmot.clustering import clusterable_layer
from keras_compress.compat.tfmot.clustering.algorithms import (
    ClusteringAlgorithm,
    GradientAggregation,
)
from keras_compress.compat.tfmot.clustering.callbacks import ClusteringSummaries
from keras_compress.compat.tfmot.clustering.centroids import CentroidInitialization
from keras_compress.compat.tfmot.clustering.cluster import (
    cluster_scope,
    cluster_weights,
    strip_clustering,
)
from keras_compress.compat.tfmot.clustering.clusterable_layer import ClusterableLayer

#: What was experimental are arguments of `cluster_weights`; guides still ask for it here.
experimental = SimpleNamespace(cluster=SimpleNamespace(cluster_weights=cluster_weights))

__all__ = [
    "CentroidInitialization",
    "ClusterableLayer",
    "ClusteringAlgorithm",
    "ClusteringSummaries",
    "GradientAggregation",
    "cluster_scope",
    "cluster_weights",
    "clusterable_layer",
    "experimental",
    "strip_clustering",
]
