"""The summaries write event files that can be read back."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_compress.compat import tfmot
from tests import training

sparsity, clustering = tfmot.sparsity.keras, tfmot.clustering.keras
pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="summaries are written by TensorFlow"
)


def events(folder):
    """Return tag -> [(step, value)] of all event files under `folder`."""
    import tensorflow as tf

    found = {}
    for path in sorted(folder.rglob("events.out.tfevents.*")):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                array = tf.make_ndarray(value.tensor)
                found.setdefault(value.tag, []).append((event.step, array))
    return found


def rows_of(found, layer, what):
    """Return the rows of the one tag that names a layer and what is written of it."""
    (tag,) = [tag for tag in found if layer in tag and tag.endswith(what)]
    return found[tag]


def compiled(model):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    return model


def test_sparsity_of_each_weight_in_each_epoch(tmp_path):
    schedule = sparsity.PolynomialDecay(0.2, 0.8, 1, 13, frequency=6)
    model = compiled(sparsity.prune_low_magnitude(training.sequential(), schedule))
    callbacks = [sparsity.UpdatePruningStep(), sparsity.PruningSummaries(log_dir=str(tmp_path))]
    training.fit(model, 3, callbacks)
    found = events(tmp_path)
    for name in ("conv", "hidden", "logits"):
        steps, values = zip(*rows_of(found, name, "mask/sparsity"), strict=True)
        # Six steps an epoch, and what the masks were as each epoch began.
        assert steps == (0, 6, 12)
        assert float(values[0]) == 0.0
        assert 0.15 < float(values[1]) < float(values[2]) < 0.81
    assert "epoch_loss" in found


def test_summaries_in_a_loop_of_ones_own(tmp_path):
    model = sparsity.prune_low_magnitude(training.sequential())
    model.optimizer = keras.optimizers.Adam()
    summaries = sparsity.PruningSummaries(log_dir=str(tmp_path))
    summaries.set_model(model)
    summaries.on_epoch_begin(epoch=-1)
    ((step, value),) = rows_of(events(tmp_path), "hidden", "mask/sparsity")
    assert (step, float(value)) == (0, 0.0)


@pytest.mark.parametrize(("frequency", "times"), [("epoch", 2), ("batch", 12), (4, 3)])
def test_centroids_of_each_weight(frequency, times, tmp_path):
    model = compiled(clustering.cluster_weights(training.sequential(), 4))
    summaries = clustering.ClusteringSummaries(str(tmp_path), cluster_update_freq=frequency)
    training.fit(model, 2, [summaries])
    rows = rows_of(events(tmp_path), "cluster_hidden", "cluster_centroids_kernel")
    assert len(rows) == times
    # Buckets of a histogram: left edge, right edge, count.
    last = rows[-1][1]
    centroids = keras.ops.convert_to_numpy(
        model.get_layer("cluster_hidden").cluster_centroids["kernel"]
    )
    assert last[:, 2].sum() == 4
    np.testing.assert_allclose(
        [last[0, 0], last[-1, 1]], [centroids.min(), centroids.max()], rtol=1e-4
    )
