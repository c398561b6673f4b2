"""`prepare` and `report` of clustering."""

from __future__ import annotations

import keras
import numpy as np

from keras_compress.clustering.clusterer import wrap_with_codebooks
from keras_compress.clustering.config import ClusteringConfig
from keras_compress.clustering.wrapper import Clustered
from keras_compress.engine.effects import technique_report
from keras_compress.engine.report import Report
from keras_compress.engine.technique import Technique, register_technique


def prepare(model: keras.Model, config: ClusteringConfig | None = None) -> keras.Model:
    """Return a copy of `model` whose chosen layers are `Clustered`, on codebooks of its weights.

    The copy computes with the nearest centroids from the start and, if `model` is compiled, has
    the same compilation. Train it as you like; `finalize` gives stock layers back.

    Args:
        model: A built, trained Sequential or functional model, nested or not. For a subclassed
            model use `ClusteringCallback` alone.
        config: The `ClusteringConfig`. Defaults to `None` (16 clusters a weight).

    Raises:
        KerasCompressError: If the model is unbuilt, subclassed, prepared already or has nothing
            to cluster, if there are more clusters than distinct values, or if a weight is NaN
            or infinite.
    """
    config = config or ClusteringConfig()

    def wrap(layer: keras.Layer, indices: list[int]) -> Clustered:
        return Clustered(
            layer,
            config.n_clusters,
            config.gradient_aggregation,
            indices,
            per_channel=config.per_channel,
        )

    return wrap_with_codebooks(model, config, wrap)


def report(model: keras.Model, config: ClusteringConfig | None = None) -> Report:
    """Return per weight what clustering did, or why the weight was left alone.

    Args:
        model: A model during or after clustering, finalized or not.
        config: The `ClusteringConfig` it was clustered by; its `layers` say what was chosen.
            Defaults to `None` (every layer with a kernel).
    """
    selection = (config or ClusteringConfig()).select(model)

    def why_not(values: np.ndarray) -> str | None:
        few = np.unique(values).size <= values.size // 2
        return None if few else "no codebook, values not shared"

    return technique_report("clustering", "clustered", model, selection, why_not)


register_technique(ClusteringConfig, Technique("clustering", prepare, report))
