"""What tfmot's users complained of most doesn't happen here."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_compress.clustering import ClusteringCallback
from keras_compress.compat import tfmot
from keras_compress.layers import iter_layers
from keras_compress.pruning import PruningCallback
from tests import training

pytestmark = pytest.mark.backend_independent

sparsity, clustering = tfmot.sparsity.keras, tfmot.clustering.keras
NOW = sparsity.ConstantSparsity(0.5, 0, frequency=1)
exports = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TFLite conversion is TensorFlow's"
)


def values_of(variable):
    return np.asarray(keras.ops.convert_to_numpy(variable))


def names_of(model):
    layers = [layer for _, layer in iter_layers(model)]
    return [layer.name for layer in layers if not isinstance(layer, keras.layers.InputLayer)]


def fitted(model, callbacks=(), epochs=1, rate=1e-3):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss)
    training.fit(model, epochs, callbacks)
    return model


def wrapped(technique, model):
    if technique == "prune":
        return sparsity.prune_low_magnitude(model, NOW), [sparsity.UpdatePruningStep()]
    return clustering.cluster_weights(model, 4), []


@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize("technique", ["prune", "cluster"])
def test_a_nested_model_reloads_under_its_own_names_and_strips(technique, suffix, tmp_path):
    plain = training.nested()
    names = names_of(plain)
    model = fitted(*wrapped(technique, plain))
    model.save(tmp_path / f"m.{suffix}")
    loaded = keras.models.load_model(tmp_path / f"m.{suffix}")
    prefix = "prune_low_magnitude" if technique == "prune" else "cluster"
    assert loaded.get_layer("body").get_layer(f"{prefix}_conv").layer.filters == 4
    strip = sparsity.strip_pruning if technique == "prune" else clustering.strip_clustering
    small = strip(loaded)
    assert names_of(small) == names
    kernel = values_of(small.get_layer("body").get_layer("conv").kernel)
    assert (kernel == 0).mean() == 0.5 if technique == "prune" else np.unique(kernel).size <= 4
    # Stock layers of the same names and shapes: weights go from the one to the other.
    small.save_weights(tmp_path / "s.weights.h5")
    plain.load_weights(tmp_path / "s.weights.h5")
    x = training.data()[0]
    np.testing.assert_allclose(plain.predict(x, verbose=0), loaded.predict(x, verbose=0), atol=1e-5)


@pytest.mark.parametrize("technique", ["prune", "cluster"])
def test_a_subclassed_model_is_refused_by_name_and_the_callback_takes_it(technique):
    model = training.subclassed()
    with pytest.raises(ValueError, match="Subclassed"):
        wrapped(technique, model)
    callback = PruningCallback(0.5) if technique == "prune" else ClusteringCallback(4)
    fitted(model, [callback])
    kernel = values_of(model.conv.kernel)
    assert (kernel == 0).mean() == 0.5 if technique == "prune" else np.unique(kernel).size <= 4


def stored_kernels(model, **arguments):
    """Return `(packed size, kernels as int8)` of a full-int8 export."""
    from keras_compress import exporter, pack, tflite

    x = training.data()[0]
    exported = exporter.convert(
        model, precision="int8", representative_data=x, verify=False, **arguments
    )
    tensors = tflite.read_tflite(exported.tflite).tensors
    kernels = [t.array() for t in tensors if t.is_readable and t.dtype == "INT8" and t.shape[1:]]
    return len(pack(exported.tflite)), kernels


def max_per_channel(kernels):
    # The first axis is the output channel, in TFLite's kernels of both kinds.
    return max(np.unique(channel).size for kernel in kernels for channel in kernel)


@exports
@pytest.mark.filterwarnings("ignore::keras_compress.exporter.ExportWarning")
@pytest.mark.parametrize("by_channel", [True, False])
def test_clusters_live_through_int8_and_the_packed_file_is_smaller(by_channel):
    keras.utils.set_random_seed(0)
    # Its convolution is followed by a BatchNormalization, which the converter folds into it.
    plain = fitted(training.sequential(), epochs=2)
    size, kernels = stored_kernels(plain)
    assert max_per_channel(kernels) > 8
    model = clustering.cluster_weights(plain, 8, cluster_per_channel=by_channel)
    small = clustering.strip_clustering(fitted(model, rate=1e-4))
    clustered_size, kernels = stored_kernels(small)
    assert len(kernels) == 3
    assert max_per_channel(kernels) <= 8
    assert clustered_size < 0.95 * size


@exports
@pytest.mark.filterwarnings("ignore::keras_compress.exporter.ExportWarning")
def test_one_scale_a_tensor_keeps_the_clusters_of_the_whole_kernel():
    model = fitted(clustering.cluster_weights(training.sequential(), 8), rate=1e-4)
    small = clustering.strip_clustering(model)
    _, kernels = stored_kernels(small, per_channel=False, fold_batch_norm=False)
    assert all(np.unique(kernel).size <= 8 for kernel in kernels)
    _, kernels = stored_kernels(small)
    # And this is what undid it there: a scale a channel makes many integers of eight values.
    assert max(np.unique(kernel).size for kernel in kernels) > 8


@exports
@pytest.mark.parametrize("technique", ["prune", "cluster"])
def test_the_file_that_is_shipped_is_smaller(technique, tmp_path):
    from keras_compress import exporter

    keras.utils.set_random_seed(0)
    plain = training.sequential()
    dense = exporter.export(plain, tmp_path / "plain", verify=False)
    model = fitted(*wrapped(technique, plain))
    strip = sparsity.strip_pruning if technique == "prune" else clustering.strip_clustering
    small = exporter.export(strip(model), tmp_path / "small", verify=False)
    del dense, small
    size = {name: (tmp_path / name / "model.kcz").stat().st_size for name in ("plain", "small")}
    assert size["small"] < 0.8 * size["plain"]
    assert size["small"] < 0.8 * (tmp_path / "small" / "model.tflite").stat().st_size
