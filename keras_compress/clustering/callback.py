"""The callback of clustering: an untouched model, trained on shared weights."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from keras_compress.clustering.clusterer import (
    Clusterer,
    clustered_layers,
    settled,
    weights_to_constrain,
)
from keras_compress.clustering.config import ClusteringConfig
from keras_compress.engine.constraint_callback import ConstraintCallback
from keras_compress.engine.optimizer import attach_optimizer, rebuild_optimizer
from keras_compress.engine.weights import WeightRef

if TYPE_CHECKING:
    import keras


class ClusteringCallback(ConstraintCallback):
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

    def forget(self) -> None:
        super().forget()
        self.clusterer: Clusterer | None = None
        self._resumed = False
        self._chosen: tuple[WeightRef, ...] = ()
        self._optimizer: Any = None

    def attach(self, model: keras.Model, step: int) -> bool:
        self._resumed = step > 0
        self.clusterer = None
        self._watch = None
        if clustered_layers(model):
            self.clusterer = Clusterer(model, self.config, resumed=self._resumed)
            if self.clusterer.changed_graph:
                # Centroids are trained in the kernels' stead from here on.
                rebuild_optimizer(model)
            return self.clusterer.changed_graph
        self._chosen = weights_to_constrain(model, self.config)
        self._optimizer = attach_optimizer(model)
        return False

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        # Not at the begin of an epoch: by now every callback has said what it does to the masks.
        if self.clusterer is None and settled(self._chosen, self._optimizer, self.config):
            model = self.model
            self.clusterer = Clusterer(model, self.config, self._optimizer, self._resumed)
            self.watch(self._optimizer, self.clusterer.projections)
            if self.clusterer.changed_graph:
                model.make_train_function(force=True)

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        if self._attached and self.clusterer is None:
            warnings.warn(
                "The weights are not clustered: `fit` ended before the pruning in it had come to "
                "its end, which `ClusteringCallback` waits for. Train on, or let the schedule of "
                "the pruning end earlier.",
                stacklevel=2,
            )
