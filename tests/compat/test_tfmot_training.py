"""tfmot's ways of use on this package: models, layers, loops, files and what is refused."""

from __future__ import annotations

import contextlib

import keras
import numpy as np
import pytest

from keras_compress.compat import tfmot
from keras_compress.compat.tfmot.clustering.wrapper import ClusterWeights
from keras_compress.compat.tfmot.sparsity.wrapper import PruneLowMagnitude
from keras_compress.layers import iter_layers
from tests import training
from tests.training import tensorflow_only

sparsity, clustering = tfmot.sparsity.keras, tfmot.clustering.keras
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
    return training.outputs(model, training.data()[0])


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
    model = compiled(sparsity.prune_low_magnitude(plain, NOW))
    training.fit(model, 1, [sparsity.UpdatePruningStep()])
    small = sparsity.strip_pruning(model)
    assert not any(isinstance(layer, PruneLowMagnitude) for _, layer in iter_layers(small))
    assert all(zeros(kernel) == pytest.approx(0.5, abs=0.05) for kernel in kernels(small))
    np.testing.assert_allclose(predict(small), predict(model), atol=1e-5)
    # As in tfmot the layers are those of the model that was handed over.
    assert all(a is b for a, b in zip(kernels(small), kernels(plain), strict=True))
    assert small.get_config() == plain.get_config()


@pytest.mark.parametrize("name", ["sequential", "functional", "nested"])
def test_clustering_whole_models(name):
    keras.utils.set_random_seed(0)
    model = compiled(clustering.cluster_weights(training.BUILDERS[name](), 4))
    training.fit(model, 1)
    small = clustering.strip_clustering(model)
    assert not any(isinstance(layer, ClusterWeights) for _, layer in iter_layers(small))
    assert all(distinct(kernel) <= 4 for kernel in kernels(small))
    np.testing.assert_allclose(predict(small), predict(model), atol=1e-5)
    if name == "functional":  # As in tfmot depthwise kernels are left alone.
        assert distinct(small.get_layer("depthwise").kernel) > 4


@pytest.mark.backend_independent
@pytest.mark.parametrize(
    ("wrap", "suffix", "scoped"),
    [
        ("prune", "keras", True),
        ("prune", "h5", False),
        ("cluster", "keras", False),
        ("cluster", "h5", True),
    ],
)
def test_files_load_inside_and_outside_the_scope(wrap, suffix, scoped, tmp_path):
    if wrap == "prune":
        model, scope = pruned(training.sequential), sparsity.prune_scope()
    else:
        model = clustering.cluster_weights(training.sequential(), 4)
        scope = clustering.cluster_scope()
    path = tmp_path / f"model.{suffix}"
    model.save(path)
    with scope if scoped else contextlib.nullcontext():
        loaded = keras.models.load_model(path)
        rebuilt = keras.models.model_from_json(model.to_json())
    np.testing.assert_allclose(predict(loaded), predict(model), atol=1e-6)
    model.save_weights(tmp_path / "w.weights.h5")
    rebuilt.load_weights(tmp_path / "w.weights.h5")
    np.testing.assert_allclose(predict(rebuilt), predict(model), atol=1e-6)


@pytest.mark.backend_independent
def test_names_are_tfmots():
    model = sparsity.prune_low_magnitude(training.sequential())
    assert model.get_layer("prune_low_magnitude_hidden").layer.units == 16
    model = clustering.cluster_weights(training.sequential(), 4)
    assert model.get_layer("cluster_hidden").layer.units == 16


@pytest.mark.backend_independent
@pytest.mark.parametrize("technique", ["prune", "cluster"])
def test_a_choice_for_each_layer_keeps_the_weights(technique):
    base = training.sequential()
    before = predict(base)

    def choose(layer):
        if not isinstance(layer, keras.layers.Dense):
            return layer
        if technique == "prune":
            return sparsity.prune_low_magnitude(layer)
        # A codebook as large as the kernel changes nothing yet.
        return clustering.cluster_weights(layer, 1024)

    model = keras.models.clone_model(base, clone_function=choose)
    np.testing.assert_allclose(predict(model), before, atol=1e-6)
    kind = PruneLowMagnitude if technique == "prune" else ClusterWeights
    assert [isinstance(layer, kind) for layer in model.layers] == [False] * 3 + [True] * 2


def test_a_model_without_input_is_built_and_pruned_by_fit():
    """As in tfmot's guides, where the first layer is wrapped as the model is made."""
    layers = keras.layers
    later = sparsity.ConstantSparsity(0.75, 0, frequency=3)
    model = keras.Sequential(
        [
            layers.Flatten(),
            sparsity.prune_low_magnitude(layers.Dense(8, name="fours"), sparsity_m_by_n=(2, 4)),
            sparsity.prune_low_magnitude(layers.Dense(4, name="later"), later),
        ]
    )
    compiled(model)
    x, y = training.data(16)
    model.fit(x, y, batch_size=16, verbose=0, callbacks=sparsity.UpdatePruningStep())
    small = sparsity.strip_pruning(model)
    # One step long: the pattern was due at it, the schedule was not.
    assert zeros(small.get_layer("fours").kernel) == 0.5
    assert zeros(small.get_layer("later").kernel) == 0.0
    training.fit(compiled(model), 1, [sparsity.UpdatePruningStep()])
    assert zeros(sparsity.strip_pruning(model).get_layer("later").kernel) == 0.75


@pytest.mark.backend_independent
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


def test_a_clustered_model_without_input_is_built_by_fit():
    layers = keras.layers
    model = keras.Sequential([layers.Flatten(), clustering.cluster_weights(layers.Dense(4), 3)])
    training.fit(compiled(model), 1)
    assert distinct(model.layers[-1].cluster_centroids["kernel"]) == 3
    assert distinct(clustering.strip_clustering(model).layers[-1].kernel) <= 3


def test_a_wrapper_stands_for_the_shape_that_its_layer_was_given():
    layers = keras.layers
    with pytest.warns(UserWarning, match="input_shape"):
        first = layers.Conv2D(4, 3, input_shape=(6, 6, 1))
    model = keras.Sequential([sparsity.prune_low_magnitude(first), layers.Flatten()])
    assert model.built and model.input_shape == (None, 6, 6, 1)
    with pytest.warns(UserWarning, match="input_shape"):
        first = layers.Dense(4, input_shape=(8,))
    model = keras.Sequential([clustering.cluster_weights(first, 3)])
    assert distinct(clustering.strip_clustering(model).layers[0].kernel) <= 3


@pytest.mark.backend_independent
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
    ids=[
        "LSTM",
        "cells",
        "Bidirectional",
        "Embedding",
        "transposed",
        "separable",
    ],
)
def test_recurrent_and_other_layers(layer, shape):
    plain = keras.Sequential([keras.Input(shape), layer()])
    x = np.random.default_rng(0).integers(0, 9, (8, *shape)).astype("float32")
    y = np.zeros((8, *plain.output_shape[1:]), "float32")
    if type(plain.layers[0]) is keras.layers.Bidirectional:
        with pytest.raises(ValueError, match="Bidirectional"):
            sparsity.prune_low_magnitude(plain, NOW)
    else:
        model = sparsity.prune_low_magnitude(plain, NOW)
        model.compile("sgd", "mse")
        model.fit(x, y, verbose=0, callbacks=[sparsity.UpdatePruningStep()])
        pruned_vars = model.layers[0].pruning_vars
        assert pruned_vars
        assert all(zeros(v) == pytest.approx(0.5, abs=0.05) for v, _, _ in pruned_vars)
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


@pytest.mark.backend_independent
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
    assert zeros(loaded.get_layer("prune_low_magnitude_hidden").layer.kernel) == pytest.approx(
        0.8, abs=0.01
    )


@pytest.mark.backend_independent
@pytest.mark.parametrize("suffix", ["keras", "weights.h5"])
def test_a_checkpoint_of_a_clustered_model_goes_on(suffix, tmp_path):
    model = compiled(clustering.cluster_weights(training.sequential(), 4))
    path = tmp_path / f"m.{suffix}"
    saver = keras.callbacks.ModelCheckpoint(path, save_weights_only=suffix != "keras")
    training.fit(model, 1, [saver])
    if suffix == "keras":
        loaded = keras.models.load_model(path)
    else:
        # Wrapped anew, and then loaded: centroids and indices come from the file.
        loaded = compiled(clustering.cluster_weights(training.sequential(), 4))
        loaded.load_weights(path)
    np.testing.assert_allclose(predict(loaded), predict(model), atol=1e-6)
    training.fit(loaded, 1)
    assert distinct(clustering.strip_clustering(loaded).get_layer("hidden").kernel) <= 4


@pytest.mark.backend_independent
def test_xnnpack_policy_names_what_is_missing():
    policy = sparsity.PruneForLatencyOnXNNPack()
    layers = keras.layers
    good = [
        keras.Input((16, 16, 3)),
        layers.ZeroPadding2D(1),
        layers.Conv2D(8, 3, strides=2, name="first"),
        layers.Conv2D(8, 1, name="pointwise"),
        layers.GlobalAveragePooling2D(keepdims=True),
    ]
    model = sparsity.prune_low_magnitude(keras.Sequential(good), NOW, pruning_policy=policy)
    assert isinstance(model.get_layer("prune_low_magnitude_pointwise"), PruneLowMagnitude)
    assert not isinstance(model.get_layer("first"), PruneLowMagnitude)
    with pytest.raises(ValueError, match="stride 2x2"):
        policy.ensure_model_supports_pruning(training.sequential())


@tensorflow_only
@pytest.mark.parametrize("technique", ["prune", "cluster"])
def test_a_loop_of_ones_own(technique):
    import tensorflow as tf

    base = training.sequential()
    model = (
        sparsity.prune_low_magnitude(base, NOW)
        if technique == "prune"
        else clustering.cluster_weights(base, 4)
    )
    model.optimizer = optimizer = keras.optimizers.Adam(0.01)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    x, y = training.data(32)
    callback = sparsity.UpdatePruningStep()
    callback.set_model(model)
    callback.on_train_begin()
    values = []
    for _ in range(5):
        callback.on_train_batch_begin(batch=-1)
        with tf.GradientTape() as tape:
            value = loss(y, model(x, training=True))
        variables = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(value, variables), variables, strict=True))
        values.append(float(value))
    callback.on_epoch_end(batch=-1)
    assert values[-1] < values[0]
    if technique == "prune":
        assert zeros(base.get_layer("conv").kernel) == 0.5
    else:
        assert distinct(clustering.strip_clustering(model).get_layer("conv").kernel) <= 4


@tensorflow_only
@pytest.mark.parametrize("technique", ["prune", "cluster"])
def test_mirrored_replicas(two_replicas, technique):
    with two_replicas.scope():
        base = training.sequential()
        wrapped = (
            sparsity.prune_low_magnitude(base, NOW)
            if technique == "prune"
            else clustering.cluster_weights(base, 4)
        )
        model = compiled(wrapped)
    if technique == "prune":
        training.fit(model, 1, [sparsity.UpdatePruningStep()])
        assert zeros(sparsity.strip_pruning(model).get_layer("conv").kernel) == 0.5
    else:
        training.fit(model, 1)
        assert distinct(clustering.strip_clustering(model).get_layer("conv").kernel) <= 4
