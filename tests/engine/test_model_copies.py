"""Copies of models keep ties, class and attributes, or are refused before the training."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from keras_compress import KerasCompressError, clustering, pruning, rate
from keras_compress.clustering import ClusteringCallback
from keras_compress.engine.cloning import copy_model
from keras_compress.pruning import OneShot, Pruned, PruningCallback, PruningConfig
from tests.training import outputs

X = np.random.default_rng(0).normal(size=(16, 8)).astype("float32")
Y = (X[:, 0] > 0).astype("int32")
SPARSE = {"loss": "sparse_categorical_crossentropy"}


class Tied(layers.Layer):
    """Multiplies by the transpose of another layer's kernel."""

    def __init__(self, encoder, **kwargs):
        super().__init__(**kwargs)
        self.encoder = encoder

    def call(self, x):
        return keras.ops.matmul(x, keras.ops.transpose(self.encoder.kernel))

    def get_config(self):
        encoder = keras.saving.serialize_keras_object(self.encoder)
        return {**super().get_config(), "encoder": encoder}

    @classmethod
    def from_config(cls, config):
        encoder = keras.saving.deserialize_keras_object(config.pop("encoder"))
        return cls(encoder, **config)


def tied(nested: bool = False) -> keras.Model:
    inputs, encoder = keras.Input((8,)), layers.Dense(4, use_bias=False, name="encoder")
    body = keras.Sequential([keras.Input((8,)), encoder]) if nested else encoder
    model = keras.Model(inputs, Tied(encoder, name="decoder")(body(inputs)), name="auto")
    model.compile("adam", "mse")
    return model


@pytest.mark.parametrize("nested", [False, True])
def test_tied_weights_stay_tied(nested):
    model = tied(nested)
    model.fit(X, X, verbose=0, callbacks=[PruningCallback(OneShot(0.5))])
    small = pruning.finalize(model)
    assert small.count_params() == model.count_params() == 32
    np.testing.assert_array_equal(outputs(small, X), outputs(model, X))
    (kernel,) = small.trainable_variables
    kernel.assign(2.0 * kernel)
    np.testing.assert_allclose(outputs(small, X), 4 * outputs(model, X), rtol=1e-5)


@pytest.mark.parametrize("technique", [pruning, clustering, rate])
def test_a_tied_weight_is_not_wrapped_in_one_place(technique):
    with pytest.raises(KerasCompressError, match="kernel, in encoder and decoder"):
        technique.prepare(tied())


def test_a_layer_that_is_a_part_of_one_called_before():
    class Pair(layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.first, self.second = layers.Dense(8), layers.Dense(3)

        def build(self, shape):
            self.first.build(shape)
            self.second.build(shape)

        def call(self, x):
            return self.second(self.first(x))

    inputs, pair = keras.Input((8,)), Pair()
    model = keras.Model(inputs, [pair(inputs), layers.Activation("relu")(pair.first(inputs))])
    copy = copy_model(model)
    assert copy.count_params() == model.count_params()
    for one, other in zip(copy(X), model(X), strict=True):
        np.testing.assert_array_equal(np.array(one), np.array(other))


def test_a_tie_that_no_configuration_tells_is_refused_before_the_training():
    first, second = layers.Dense(8), layers.Dense(8)
    inputs = keras.Input((8,))
    second.build((None, 8))
    holder = Tied(second)

    class Reads(layers.Layer):
        def call(self, x):
            return self.other(x)

    reads = Reads(name="reads")
    reads.other = first
    model = keras.Model(inputs, reads(holder(first(inputs))))
    model.compile("sgd", "mse")
    before = [np.array(v) for v in model.variables]
    for train in (
        lambda: pruning.prepare(model),
        lambda: model.fit(X, X, verbose=0, callbacks=[PruningCallback(0.5)]),
        lambda: model.fit(X, X, verbose=0, callbacks=[ClusteringCallback(4)]),
    ):
        with pytest.raises(KerasCompressError, match="reads"):
            train()
    after = [np.array(v) for v in model.variables]
    assert all(np.array_equal(*pair) for pair in zip(before, after, strict=True))


def test_a_function_that_reads_another_layers_weights_is_refused():
    dense = layers.Dense(8)
    inputs = keras.Input((8,))
    x = dense(inputs)
    back = layers.Lambda(lambda t: keras.ops.matmul(t, keras.ops.transpose(dense.kernel)), name="b")
    model = keras.Model(inputs, back(x))
    model.compile("sgd", "mse")
    with pytest.raises(KerasCompressError, match=r"'b' of type Lambda"):
        model.fit(X, X, verbose=0, callbacks=[PruningCallback(0.5)])


def test_a_weight_read_in_the_graph_is_the_copys():
    dense = layers.Dense(8)
    inputs = keras.Input((8,))
    x = dense(inputs)
    model = keras.Model(inputs, keras.ops.matmul(x, dense.kernel))
    copy = copy_model(model)
    copy.set_weights([2.0 * w for w in copy.get_weights()])
    np.testing.assert_allclose(outputs(copy, X), 4.0 * outputs(model, X), rtol=1e-4)


class Scaled(keras.Model):
    """Makes its graph itself, and logs a number."""

    def __init__(self, factor=3.0, **kwargs):
        inputs = keras.Input((8,))
        head = layers.Dense(2, activation="softmax", name="head")
        super().__init__(inputs, head(layers.Dense(5)(inputs)), **kwargs)
        self.factor, self.head = factor, head
        self.seen = keras.metrics.Sum(name="seen")
        self._offset = 1.0

    def train_step(self, *args):
        logs = super().train_step(*args)
        return (logs[0], *logs[1:]) if isinstance(logs, tuple) else {**logs, "own": self._own()}

    def _own(self):
        return self.factor + self._offset

    def get_config(self):
        return {"factor": self.factor, "name": self.name}


class Listed(keras.Sequential):
    """A Sequential model of another class."""

    def __init__(self, entries=None, factor=3.0, **kwargs):
        super().__init__(entries, **kwargs)
        self.factor = factor

    def train_step(self, *args):
        logs = super().train_step(*args)
        return logs if isinstance(logs, tuple) else {**logs, "own": self.factor}


class WithOption(keras.Model):
    """A functional model with one more argument."""

    def __init__(self, *args, factor=3.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.factor = factor

    def train_step(self, *args):
        logs = super().train_step(*args)
        return logs if isinstance(logs, tuple) else {**logs, "own": self.factor}


def with_option(factor):
    inputs = keras.Input((8,))
    x = layers.Dense(2, activation="softmax", name="head")(layers.Dense(5)(inputs))
    return WithOption(inputs, x, factor=factor)


def listed(factor):
    entries = [keras.Input((8,)), layers.Dense(5), layers.Dense(2, activation="softmax")]
    return Listed(entries, factor=factor)


@pytest.mark.parametrize("make", [Scaled, listed, with_option])
@pytest.mark.filterwarnings("ignore:.*makes its graph itself")
def test_a_class_of_ones_own_is_kept(make):
    model = make(5.0)
    model.compile("sgd", **SPARSE)
    wrapped = pruning.prepare(model, PruningConfig(0.5))
    history = wrapped.fit(X, Y, verbose=0, callbacks=[PruningCallback(0.5)]).history
    small = pruning.finalize(wrapped)
    for copy in (wrapped, small):
        assert type(copy) is type(model) and copy.factor == 5.0
    np.testing.assert_array_equal(outputs(small, X), outputs(wrapped, X))
    if keras.backend.backend() == "tensorflow":
        assert "own" in history
        assert "own" in small.fit(X, Y, verbose=0).history
    if make is Scaled:
        assert isinstance(wrapped.head, Pruned) and small.head is small.layers[-1]
        assert wrapped.seen is not model.seen


def test_a_class_that_makes_its_graph_itself_warns_that_wrappers_are_not_saved(tmp_path):
    model = Scaled()
    with pytest.warns(UserWarning, match="save_weights"):
        wrapped = pruning.prepare(model)
    small = pruning.finalize(wrapped)
    small.save(tmp_path / "m.keras")
    objects = {"Scaled": Scaled}
    loaded = keras.models.load_model(tmp_path / "m.keras", custom_objects=objects)
    np.testing.assert_array_equal(outputs(loaded, X), outputs(small, X))


def test_attributes_and_parts_beside_the_graph_are_the_copys_own():
    inputs = keras.Input((8,))
    model = keras.Model(inputs, layers.Dense(8)(inputs))
    model.classes = ["a", "b"]
    model.teacher = keras.Sequential([keras.Input((8,)), layers.Dense(2)])
    model.temperature = keras.Variable(2.0, name="temperature")
    copy = copy_model(model)
    assert list(copy.classes) == ["a", "b"] and float(copy.temperature) == 2.0
    assert copy.temperature is not model.temperature
    np.testing.assert_array_equal(outputs(copy.teacher, X), outputs(model.teacher, X))
    assert not {id(v) for v in model.variables} & {id(v) for v in copy.variables}
    assert len(copy.variables) == len(model.variables)


def test_a_frozen_model_in_a_model_stays_frozen():
    body = keras.Sequential([keras.Input((8,)), layers.Dense(6), layers.Dense(4)], name="body")
    body.trainable = False
    body.layers[1].trainable = True
    inputs = keras.Input((8,))
    model = keras.Model(inputs, layers.Dense(2)(body(inputs)))
    for copy in (copy_model(model), pruning.finalize(pruning.prepare(model))):
        ours, theirs = ([v.trainable for v in m.variables] for m in (model, copy))
        assert ours == theirs
        assert not copy.get_layer("body").trainable
        assert copy.get_layer("body").layers[1].trainable
        assert len(copy.trainable_variables) == len(model.trainable_variables)


def test_kernels_that_centroids_stood_for_are_trainable_again():
    model = keras.Sequential([keras.Input((8,)), layers.Dense(6), layers.Dense(2)])
    small = clustering.finalize(clustering.prepare(model, clustering.ClusteringConfig(4)))
    assert len(small.trainable_variables) == len(model.trainable_variables) == 4


def test_inputs_keep_names_options_and_structure():
    first = keras.Input((8,), name="first")
    second = keras.Input((8,), name="second", optional=True)

    class Both(layers.Layer):
        def call(self, one, other=None):
            return one if other is None else one + other

        def compute_output_shape(self, one_shape, other_shape=None):
            return one_shape

    x = Both()(first, second)
    model = keras.Model({"second": second, "first": first}, {"out": layers.Dense(2)(x)})
    copy = copy_model(model)
    assert set(copy.input) == {"first", "second"} and set(copy.output) == {"out"}
    assert [layer.name for layer in copy.layers] == [layer.name for layer in model.layers]
    for other in (X, None):
        given = {"first": X, "second": other}
        np.testing.assert_array_equal(np.array(copy(given)["out"]), np.array(model(given)["out"]))


def test_operations_without_names_and_shared_models():
    inputs = keras.Input((8,))
    shared = keras.Sequential([keras.Input((8,)), layers.Dense(8), layers.Dropout(0.3)])
    x = shared(inputs) + 2.0 * shared(keras.ops.flip(inputs, axis=-1))
    x = keras.ops.where(x > 0, x[:, ::-1], keras.ops.einsum("ab,ab->ab", x, x))
    x = keras.ops.concatenate([keras.ops.pad(x, ((0, 0), (1, 1))), x], axis=-1)
    model = keras.Model(inputs, layers.Dense(3)(keras.ops.reshape(x, (-1, 18))))
    copy = copy_model(model)
    assert copy.count_params() == model.count_params()
    np.testing.assert_array_equal(np.array(copy(X)), np.array(model(X)))


class Spiky(layers.Layer):
    """Can't be made from its configuration."""

    def __init__(self, thing, **kwargs):
        super().__init__(**kwargs)
        self.thing = thing

    def call(self, x):
        return x


@pytest.mark.parametrize("callback", [PruningCallback(0.5), ClusteringCallback(4)])
def test_what_finalize_cannot_copy_is_refused_before_the_first_step(callback):
    model = keras.Sequential([keras.Input((8,)), Spiky(object(), name="odd"), layers.Dense(8)])
    model.compile("sgd", "mse")
    before = np.array(model.layers[-1].kernel)
    with pytest.raises(KerasCompressError, match="'odd' of type Spiky"):
        model.fit(X, X, verbose=0, callbacks=[callback])
    np.testing.assert_array_equal(before, np.array(model.layers[-1].kernel))
