"""tfmot's ways of use on this package: models, layers, loops, files and what is refused."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_compress.compat import tfmot
from keras_compress.compat.tfmot.clustering.wrapper import ClusterWeights
from keras_compress.compat.tfmot.sparsity.wrapper import PruneLowMagnitude
from keras_compress.layers import iter_layers
from keras_compress.pruning import PruningCallback
from tests import training

sparsity, clustering = tfmot.sparsity.keras, tfmot.clustering.keras
TENSORFLOW = keras.backend.backend() == "tensorflow"
NOW = sparsity.ConstantSparsity(0.5, 0, frequency=1)


def compiled(model):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    return model


def pruned(builder, **arguments):
    keras.utils.set_random_seed(0)
    model = compiled(sparsity.prune_low_magnitude(builder(), NOW, **arguments))
    training.fit(model, 1, [sparsity.UpdatePruningStep()])
    return model


def predict(model):
    return model.predict(training.data()[0], verbose=0)


def zeros(variable):
    return float(np.mean(keras.ops.convert_to_numpy(variable) == 0))


def distinct(variable):
    return np.unique(keras.ops.convert_to_numpy(variable)).size


def kernels(model):
    layers = [layer for _, layer in iter_layers(model)]
    return [layer.kernel for layer in layers if type(layer).__name__ in ("Conv2D", "Dense")]


@pytest.mark.parametrize("name", ["sequential", "functional", "nested"])
def test_pruning_whole_models(name):
    plain = training.BUILDERS[name]()
    before = [np.array(keras.ops.convert_to_numpy(w)) for w in plain.weights]
    model = compiled(sparsity.prune_low_magnitude(plain, NOW))
    training.fit(model, 1, [sparsity.UpdatePruningStep()])
    small = sparsity.strip_pruning(model)
    assert not any(isinstance(layer, PruneLowMagnitude) for _, layer in iter_layers(small))
    assert all(zeros(kernel) == pytest.approx(0.5, abs=0.05) for kernel in kernels(small))
    np.testing.assert_allclose(predict(small), predict(model), atol=1e-5)
    for value, weight in zip(before, plain.weights, strict=True):
        np.testing.assert_array_equal(value, keras.ops.convert_to_numpy(weight))


@pytest.mark.parametrize("name", ["sequential", "functional", "nested"])
def test_clustering_whole_models(name):
    keras.utils.set_random_seed(0)
    model = compiled(clustering.cluster_weights(training.BUILDERS[name](), 4))
    training.fit(model, 1)
    small = clustering.strip_clustering(model)
    assert not any(isinstance(layer, ClusterWeights) for _, layer in iter_layers(small))
    assert all(distinct(kernel) <= 4 for kernel in kernels(small))
    np.testing.assert_allclose(predict(small), predict(model), atol=1e-5)
    if name == "functional":  # tfmot leaves depthwise kernels alone.
        assert distinct(small.get_layer("depthwise").kernel) <= 4


@pytest.mark.parametrize("wrap", ["prune", "cluster"])
@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize("scoped", [True, False])
def test_files_load_inside_and_outside_the_scope(wrap, suffix, scoped, tmp_path):
    if wrap == "prune":
        model, scope = pruned(training.sequential), sparsity.prune_scope()
    else:
        model, scope = clustering.cluster_weights(training.sequential(), 4), None
        scope = clustering.cluster_scope()
    path = tmp_path / f"model.{suffix}"
    model.save(path)
    if scoped:
        with scope:
            loaded = keras.models.load_model(path)
    else:
        loaded = keras.models.load_model(path)
    np.testing.assert_allclose(predict(loaded), predict(model), atol=1e-6)
    rebuilt = keras.models.model_from_json(model.to_json())
    model.save_weights(tmp_path / "w.weights.h5")
    rebuilt.load_weights(tmp_path / "w.weights.h5")
    np.testing.assert_allclose(predict(rebuilt), predict(model), atol=1e-6)


def test_names_stay_so_that_layers_and_weights_are_found_again():
    model = sparsity.prune_low_magnitude(training.sequential())
    assert model.get_layer("hidden").layer.units == 16


def test_a_choice_for_each_layer_keeps_the_weights():
    base = training.sequential()

    def choose(layer):
        if isinstance(layer, keras.layers.Dense):
            return sparsity.prune_low_magnitude(layer)
        return layer

    model = keras.models.clone_model(base, clone_function=choose)
    np.testing.assert_allclose(predict(model), predict(base), atol=1e-6)
    assert sum(isinstance(layer, PruneLowMagnitude) for layer in model.layers) == 2


def test_layers_wrapped_as_the_model_is_made():
    dense = keras.layers.Dense
    model = keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Flatten()])
    for layer in sparsity.prune_low_magnitude([dense(8), dense(4)], NOW):
        model.add(layer)
    training.fit(compiled(model), 1, [sparsity.UpdatePruningStep()])
    assert [zeros(layer.layer.kernel) for layer in model.layers[1:]] == [0.5, 0.5]
    model = keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Flatten()])
    model.add(clustering.cluster_weights(dense(4), 4))
    training.fit(compiled(model), 1)
    assert distinct(clustering.strip_clustering(model).layers[-1].kernel) <= 4


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (lambda: keras.layers.LSTM(4), (5, 3)),
        (lambda: keras.layers.RNN([keras.layers.LSTMCell(4), keras.layers.GRUCell(3)]), (5, 3)),
        (lambda: keras.layers.Bidirectional(keras.layers.GRU(4)), (5, 3)),
        (lambda: keras.layers.Embedding(20, 4), (5,)),
        (lambda: keras.layers.Conv2DTranspose(4, 3), (6, 6, 2)),
        (lambda: keras.layers.SeparableConv2D(4, 3), (6, 6, 2)),
    ],
    ids=["LSTM", "cells", "Bidirectional", "Embedding", "transposed", "separable"],
)
def test_recurrent_and_other_layers(layer, shape):
    plain = keras.Sequential([keras.Input(shape), layer()])
    x = np.random.default_rng(0).integers(0, 9, (8, *shape)).astype("float32")
    y = np.zeros((8, *plain.output_shape[1:]), "float32")
    model = sparsity.prune_low_magnitude(plain, NOW)
    model.compile("sgd", "mse")
    model.fit(x, y, verbose=0, callbacks=[sparsity.UpdatePruningStep()])
    assert model.layers[0].pruning_vars
    assert all(zeros(v) == pytest.approx(0.5, abs=0.05) for v, _ in model.layers[0].pruning_vars)
    model = clustering.cluster_weights(plain, 3)
    model.compile("sgd", "mse")
    model.fit(x, y, verbose=0)
    small = clustering.strip_clustering(model)
    places = model.layers[0].indices
    assert places
    assert all(distinct(small.layers[0].variables[i]) <= 3 for i in places)


@keras.saving.register_keras_serializable(package="compat_tests")
class Scale(keras.layers.Layer, sparsity.PrunableLayer, clustering.ClusterableLayer):
    def build(self, input_shape):
        self.mixing = self.add_weight(shape=(input_shape[-1], 4), name="mixing")
        self.other = self.add_weight(shape=(input_shape[-1], 4), name="other")

    def call(self, x):
        return keras.ops.matmul(x, self.mixing + self.other)

    def get_prunable_weights(self):
        return [self.mixing]

    def get_clusterable_weights(self):
        return [("mixing", self.mixing)]


def test_custom_layers_say_what_may_be_compressed(tmp_path):
    plain = keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Flatten(), Scale(name="own")])
    model = compiled(sparsity.prune_low_magnitude(plain, NOW))
    training.fit(model, 1, [sparsity.UpdatePruningStep()])
    own = sparsity.strip_pruning(model).get_layer("own")
    assert (zeros(own.mixing), zeros(own.other)) == (0.5, 0.0)
    model.save(tmp_path / "m.keras")
    np.testing.assert_allclose(
        predict(keras.models.load_model(tmp_path / "m.keras")), predict(model), atol=1e-6
    )
    clustered = clustering.cluster_weights(plain, 4)
    own = clustering.strip_clustering(clustered).get_layer("own")
    assert distinct(own.mixing) == 4
    assert distinct(own.other) > 4


def test_an_algorithm_of_ones_own_looks_weights_up():
    class Mirrored(clustering.ClusteringAlgorithm):
        def get_clustered_weight(self, pulling_indices, original_weight):
            return -super().get_clustered_weight(pulling_indices, original_weight)

    class Turned(Scale):
        def get_clusterable_algorithm(self, weight_name):
            return Mirrored

    plain = keras.Sequential([keras.Input((8,)), Turned(name="own")])
    wrapper = clustering.cluster_weights(plain, 4).layers[0]
    centroids = keras.ops.convert_to_numpy(wrapper.cluster_centroids["mixing"])
    places = keras.ops.convert_to_numpy(wrapper.pulling_indices["mixing"])
    (_, used), *_ = wrapper.substitutes()
    np.testing.assert_allclose(keras.ops.convert_to_numpy(used), -centroids[places])


@pytest.mark.parametrize("aggregation", [None, "AVG"])
def test_sparsity_and_channels_are_kept(aggregation):
    arguments = {"preserve_sparsity": True, "cluster_per_channel": True}
    if aggregation:
        arguments["cluster_gradient_aggregation"] = clustering.GradientAggregation[aggregation]
    pruned_once = sparsity.strip_pruning(pruned(training.sequential))
    model = compiled(clustering.cluster_weights(pruned_once, 3, **arguments))
    assert tuple(model.layers[0].cluster_centroids["kernel"].shape) == (4, 3)
    training.fit(model, 1)
    kernel = clustering.strip_clustering(model).get_layer("conv").kernel
    assert zeros(kernel) >= zeros(pruned_once.get_layer("conv").kernel)
    values = keras.ops.convert_to_numpy(kernel)
    assert all(np.unique(values[..., channel]).size <= 3 for channel in range(4))


def test_a_checkpoint_resumes_where_the_schedule_stood(tmp_path):
    schedule = sparsity.PolynomialDecay(0.0, 0.8, 0, 12, frequency=1)
    model = compiled(sparsity.prune_low_magnitude(training.sequential(), schedule))
    saver = keras.callbacks.ModelCheckpoint(tmp_path / "m.keras")
    training.fit(model, 1, [sparsity.UpdatePruningStep(), saver])
    loaded = keras.models.load_model(tmp_path / "m.keras")
    training.fit(loaded, 1, [sparsity.UpdatePruningStep()])
    assert zeros(loaded.get_layer("hidden").layer.kernel) == pytest.approx(0.8, abs=0.01)


def test_refused_with_tfmots_types():
    subclassed = training.subclassed()
    once = sparsity.prune_low_magnitude(keras.layers.Dense(3))

    class Unknown(keras.layers.Layer):
        pass

    for call in (
        lambda: sparsity.prune_low_magnitude("text"),
        lambda: sparsity.prune_low_magnitude(subclassed),
        lambda: sparsity.prune_low_magnitude(once),
        lambda: sparsity.prune_low_magnitude(Unknown()),
        lambda: sparsity.prune_low_magnitude(keras.layers.InputLayer((3,))),
        lambda: sparsity.prune_low_magnitude(training.sequential(), block_size=(2, 2)),
        lambda: sparsity.prune_low_magnitude(training.sequential(), block_pooling_type="MIN"),
        lambda: sparsity.prune_low_magnitude(training.sequential(), sparsity_m_by_n=(2,)),
        lambda: sparsity.strip_pruning(once),
        lambda: sparsity.ConstantSparsity(1.0, 0),
        lambda: sparsity.ConstantSparsity(0.5, 9, 5),
        lambda: sparsity.PolynomialDecay(0, 0.5, 0, -1),
        lambda: sparsity.PolynomialDecay(0, 0.5, 0, 4, frequency=0),
        lambda: clustering.cluster_weights(training.sequential(), 1),
        lambda: clustering.cluster_weights(training.sequential(), 4, "LINEAR"),
        lambda: clustering.cluster_weights(subclassed, 4),
        lambda: clustering.cluster_weights("text", 4),
        lambda: clustering.cluster_weights(Unknown(), 4),
        lambda: clustering.cluster_weights(clustering.cluster_weights(keras.layers.Dense(3), 4), 4),
        lambda: clustering.strip_clustering(keras.layers.Dense(3)),
    ):
        with pytest.raises(ValueError, match="Received"):
            call()


def test_training_without_the_callback_is_refused():
    kind = ValueError
    if TENSORFLOW:
        import tensorflow as tf

        kind = tf.errors.InvalidArgumentError
    model = compiled(sparsity.prune_low_magnitude(training.sequential(), NOW))
    with pytest.raises(kind, match="UpdatePruningStep"):
        training.fit(model, 1)


def test_a_subclassed_model_goes_through_the_callback():
    model = training.compiled(training.subclassed)
    training.fit(model, 1, [PruningCallback(0.5)])
    assert zeros(model.conv.kernel) == 0.5


def test_xnnpack_policy_names_what_is_missing():
    policy = sparsity.PruneForLatencyOnXNNPack()
    layers = keras.layers
    good = [
        keras.Input((16, 16, 3)),
        layers.Conv2D(8, 3, strides=2, name="first"),
        layers.Conv2D(8, 1, name="pointwise"),
        layers.GlobalAveragePooling2D(keepdims=True),
    ]
    model = sparsity.prune_low_magnitude(keras.Sequential(good), NOW, pruning_policy=policy)
    assert isinstance(model.get_layer("pointwise"), PruneLowMagnitude)
    assert not isinstance(model.get_layer("first"), PruneLowMagnitude)
    with pytest.raises(ValueError, match="stride 2"):
        policy.ensure_model_supports_pruning(training.sequential())


@pytest.mark.skipif(not TENSORFLOW, reason="GradientTape and tf.distribute are TensorFlow's")
def test_a_loop_of_ones_own():
    import tensorflow as tf

    model = sparsity.prune_low_magnitude(training.sequential(), NOW)
    model.optimizer = optimizer = keras.optimizers.Adam()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    x, y = training.data(32)
    callback = sparsity.UpdatePruningStep()
    callback.set_model(model)
    callback.on_train_begin()
    for _ in range(3):
        callback.on_train_batch_begin(batch=-1)
        with tf.GradientTape() as tape:
            value = loss(y, model(x, training=True))
        variables = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(value, variables), variables, strict=True))
    callback.on_epoch_end(batch=-1)
    assert zeros(model.get_layer("conv").layer.kernel) == 0.5


@pytest.mark.skipif(not TENSORFLOW, reason="tf.distribute is TensorFlow's")
def test_mirrored_replicas(two_replicas):
    with two_replicas.scope():
        model = compiled(sparsity.prune_low_magnitude(training.sequential(), NOW))
    training.fit(model, 1, [sparsity.UpdatePruningStep()])
    assert zeros(sparsity.strip_pruning(model).get_layer("conv").kernel) == 0.5


@pytest.mark.skipif(not TENSORFLOW, reason="TFLite conversion is TensorFlow's")
def test_stripped_models_convert_and_get_smaller(tmp_path):
    from keras_compress import exporter, pack

    plain = training.sequential()
    dense = exporter.convert(plain, verify=False).tflite
    stripped = sparsity.strip_pruning(pruned(training.sequential))
    small = exporter.convert(stripped, verify=False).tflite
    assert len(pack(small)) < len(pack(dense))
