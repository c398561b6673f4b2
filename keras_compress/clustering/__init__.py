"""Weight clustering (trained quantization): few shared values a weight, trained as centroids."""

from keras_compress.clustering.callback import ClusteringCallback
from keras_compress.clustering.clusterer import Clusterer
from keras_compress.clustering.codebook import Codebook, initial_centroids, make_codebook
from keras_compress.clustering.config import ClusteringConfig
from keras_compress.clustering.entropy_constrained import entropy_constrained_codebook
from keras_compress.clustering.error_feedback import Block, RoundedKernel, round_with_feedback
from keras_compress.clustering.importance import fisher_importance
from keras_compress.clustering.kmeans import kmeans_1d
from keras_compress.clustering.lifecycle import prepare, report
from keras_compress.clustering.precision import align_channels, int8_preservation, round_codebooks
from keras_compress.clustering.reassignment import (
    Reassigned,
    ReassignmentCallback,
    prepare_reassignment,
)
from keras_compress.clustering.wrapper import Clustered
from keras_compress.engine.lifecycle import finalize

__all__ = [
    "Block",
    "Clustered",
    "Clusterer",
    "ClusteringCallback",
    "ClusteringConfig",
    "Codebook",
    "Reassigned",
    "ReassignmentCallback",
    "align_channels",
    "RoundedKernel",
    "entropy_constrained_codebook",
    "finalize",
    "fisher_importance",
    "initial_centroids",
    "int8_preservation",
    "kmeans_1d",
    "make_codebook",
    "prepare",
    "prepare_reassignment",
    "report",
    "round_with_feedback",
    "round_codebooks",
]
