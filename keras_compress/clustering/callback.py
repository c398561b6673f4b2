"""The callback's door of clustering: an untouched model, trained on shared weights."""

from __future__ import annotations

from typing import Any

from keras_compress.clustering.clusterer import Clusterer, clustered_layers
from keras_compress.clustering.config import ClusteringConfig
from keras_compress.engine.callback import StepCallback
from keras_compress.engine.optimizer import attach_optimizer


class ClusteringCallback(StepCallback):
    """Clusters a model when `fit` begins and trains the shared centroids from there.

    On an untouched model, Sequential, functional or subclassed, the members of each cluster are
    kept equal in the training graph; on a model from `clustering.prepare` the centroids are
    those of its `Clustered` layers. The clusters stay in force after `fit`, for further
    training, until `clustering.finalize(model)` or the next `compile`. A model whose weights
    are clustered already, such as one loaded to go on with, keeps its values.

    Example:

    ```python
    model.compile(keras.optimizers.Adam(1e-4), loss="sparse_categorical_crossentropy")
    model.fit(x, y, epochs=3, callbacks=[ClusteringCallback(ClusteringConfig(n_clusters=16))])
    small = clustering.finalize(model)
    ```

    Use several callbacks, each with its own `layers`, for different cluster counts in one model.

    Args:
        config: A `ClusteringConfig`, or a number of clusters.
        initial_step: Training steps done before the first `fit`, for data sets of unknown
            length only. Defaults to `None`.
    """

    def __init__(self, config: ClusteringConfig | int, initial_step: int | None = None) -> None:
        super().__init__(initial_step)
        self.config = config if isinstance(config, ClusteringConfig) else ClusteringConfig(config)
        self.clusterer: Clusterer | None = None

    def attach(self, model: Any, step: int) -> bool:
        optimizer = None if clustered_layers(model) else attach_optimizer(model)
        self.clusterer = Clusterer(model, self.config, optimizer=optimizer, resumed=step > 0)
        return self.clusterer.changed_graph
