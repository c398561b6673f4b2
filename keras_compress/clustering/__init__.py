"""Weight clustering (trained quantization): few shared values a weight, trained as centroids."""

from keras_compress.clustering.callback import ClusteringCallback
from keras_compress.clustering.clusterer import Clusterer
from keras_compress.clustering.codebook import Codebook, initial_centroids, make_codebook
from keras_compress.clustering.config import ClusteringConfig
from keras_compress.clustering.kmeans import kmeans_1d
from keras_compress.clustering.lifecycle import finalize, prepare, report
from keras_compress.clustering.wrapper import Clustered

__all__ = [
    "Clustered",
    "Clusterer",
    "ClusteringCallback",
    "ClusteringConfig",
    "Codebook",
    "finalize",
    "initial_centroids",
    "kmeans_1d",
    "make_codebook",
    "prepare",
    "report",
]
