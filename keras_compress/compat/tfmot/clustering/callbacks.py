"""`ClusteringSummaries`."""

from __future__ import annotations

from typing import Any

import keras

from keras_compress.compat.tfmot.clustering.wrapper import ClusterWeights
from keras_compress.compat.tfmot.event_files import (
    event_writer,
    require_event_files,
    require_log_dir,
)
from keras_compress.layers import iter_layers


class ClusteringSummaries(keras.callbacks.TensorBoard):
    """TensorBoard with the variables of each clustered layer as histograms.

    Needs TensorFlow and TensorBoard for the writing, whichever back end trains.

    Args:
        log_dir: Folder of the logs, a text that isn't empty. Defaults to `"logs"`.
        cluster_update_freq: `"epoch"`, `"batch"` or a number of batches. Defaults to `"epoch"`.
        **kwargs: More arguments of `keras.callbacks.TensorBoard`.

    Raises:
        KerasCompressError: A `ValueError`, if `log_dir` is no text, or TensorFlow or TensorBoard
            isn't installed.
    """

    def __init__(
        self, log_dir: str = "logs", cluster_update_freq: Any = "epoch", **kwargs: Any
    ) -> None:
        require_log_dir(log_dir)
        require_event_files("ClusteringSummaries")
        super().__init__(log_dir=log_dir, **kwargs)
        self.cluster_update_freq = 1 if cluster_update_freq == "batch" else cluster_update_freq
        self.writer: Any = event_writer(self.log_dir)
        #: Batches of all epochs.
        self.continuous_batch = 0

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        super().on_train_batch_begin(batch, logs)
        self.continuous_batch += 1

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        super().on_train_batch_end(batch, logs)
        if self.cluster_update_freq == "epoch":
            return
        if self.continuous_batch % self.cluster_update_freq == 0:
            self._write()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        super().on_epoch_end(epoch, logs)
        if self.cluster_update_freq == "epoch":
            self._write()

    def _write(self) -> None:
        import tensorflow as tf

        with self.writer.as_default(step=self.continuous_batch):
            for _, layer in iter_layers(self.model):
                if isinstance(layer, ClusterWeights) and layer.cluster_centroids:
                    for variable in layer.variables:
                        values = keras.ops.convert_to_numpy(variable)
                        tf.summary.histogram(f"clustering/{variable.path}", values)
        self.writer.flush()
