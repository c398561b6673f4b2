"""`tfmot.clustering.keras`."""

from types import SimpleNamespace

from keras_compress.compat.tfmot.clustering import algorithms as clusterable_layer
from keras_compress.compat.tfmot.clustering.algorithms import (
    CentroidInitialization,
    ClusterableLayer,
    ClusteringAlgorithm,
    GradientAggregation,
)
from keras_compress.compat.tfmot.clustering.callbacks import ClusteringSummaries
from keras_compress.compat.tfmot.clustering.cluster import (
    cluster_scope,
    cluster_weights,
    strip_clustering,
)

#: Empty in tfmot 0.8.1, too: what was experimental are arguments of `cluster_weights`.
experimental = SimpleNamespace()

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
