"""`ClusteringSummaries`."""

from __future__ import annotations

from typing import Any

import keras

from keras_compress.compat.tfmot.clustering.wrapper import ClusterWeights
from keras_compress.compat.tfmot.event_files import event_writer, require_event_files
from keras_compress.layers import iter_layers


class ClusteringSummaries(keras.callbacks.TensorBoard):
    """TensorBoard with the centroids of each clustered weight as histograms.

    Needs TensorFlow and TensorBoard for the writing, whichever back end trains.

    Args:
        log_dir: Folder of the logs. Defaults to `"logs"`.
        cluster_update_freq: `"epoch"`, `"batch"` or a number of batches. Defaults to `"epoch"`.
        **kwargs: More arguments of `keras.callbacks.TensorBoard`.

    Raises:
        KerasCompressError: A `ValueError`, if TensorFlow or TensorBoard isn't installed.
    """

    def __init__(
        self, log_dir: str = "logs", cluster_update_freq: Any = "epoch", **kwargs: Any
    ) -> None:
        require_event_files("ClusteringSummaries")
        super().__init__(log_dir=log_dir, **kwargs)
        self.cluster_update_freq = 1 if cluster_update_freq == "batch" else cluster_update_freq
        self._cluster_writer: Any = None
        self._batches = 0

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_train_batch_end(batch, logs)
        self._batches += 1
        if self.cluster_update_freq != "epoch" and self._batches % self.cluster_update_freq == 0:
            self._write(self._batches)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_epoch_end(epoch, logs)
        if self.cluster_update_freq == "epoch":
            self._write(epoch)

    def _write(self, step: int) -> None:
        import tensorflow as tf

        if self._cluster_writer is None:
            self._cluster_writer = event_writer(self.log_dir, "clusters")
        with self._cluster_writer.as_default(step=step):
            for _, layer in iter_layers(self.model):
                if isinstance(layer, ClusterWeights):
                    for name, centroids in layer.cluster_centroids.items():
                        values = keras.ops.convert_to_numpy(centroids)
                        tf.summary.histogram(f"{layer.name}/{name}/centroids", values)
        self._cluster_writer.flush()
