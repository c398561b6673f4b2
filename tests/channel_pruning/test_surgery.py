"""What a smaller model keeps of the larger one beside its weights."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from keras_compress import KerasCompressError
from keras_compress.channel_pruning import ChannelPlan, find_groups
from tests.channel_pruning.nets import behind, image
from tests.training import CLASSES, data, tensorflow_only

pytestmark = pytest.mark.backend_independent


def classifier(optimizer="sgd", **kwargs) -> keras.Model:
    inputs = keras.Input((6, 6, 1), name="pixels")
    x = layers.Conv2D(8, 3, use_bias=False, kernel_regularizer="l2", name="conv")(inputs)
    x = layers.ReLU()(layers.BatchNormalization(name="norm")(x))
    x = layers.Dense(6, name="hidden", kernel_initializer="he_normal")(layers.Flatten()(x))
    model = keras.Model(inputs, layers.Dense(CLASSES, name="logits")(x), name="classifier")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"], **kwargs)
    return model


def halved(model, **kept):
    kept = kept or {"conv": [0, 2, 3, 6], "hidden": [1, 4, 5]}
    return ChannelPlan.of(find_groups(model), kept).apply(model)


def test_names_flags_and_settings_are_kept():
    model = classifier()
    model.get_layer("hidden").trainable = False
    small = halved(model)
    assert small.name == "classifier"
    assert [layer.name for layer in small.layers] == [layer.name for layer in model.layers]
    assert small.layers[0].name == "pixels"
    conv, hidden = small.get_layer("conv"), small.get_layer("hidden")
    assert isinstance(conv.kernel_regularizer, keras.regularizers.L2)
    assert isinstance(hidden.kernel_initializer, keras.initializers.HeNormal)
    assert not hidden.trainable and not hidden.trainable_variables
    assert small.optimizer is not model.optimizer
    assert small.loss.from_logits
    assert small.evaluate(*data(32), verbose=0, return_dict=True).keys() == {"loss", "accuracy"}


def test_an_uncompiled_model_stays_so():
    inputs = image()
    model = behind(inputs, layers.Conv2D(8, 3, name="conv")(inputs))
    assert not halved(model, conv=[1, 2]).compiled


def test_state_of_layers_is_kept():
    inputs = image()
    norm = layers.Normalization()
    norm.adapt(np.random.default_rng(0).normal(3, 2, (64, 12, 12, 3)))
    x = layers.Lambda(lambda x: x * 2)(norm(inputs))
    x = layers.Conv2D(8, 3, name="conv")(x)
    model = behind(inputs, x)
    x = np.random.default_rng(1).normal(size=(2, 12, 12, 3)).astype("float32")
    ChannelPlan.of(find_groups(model), {"conv": [1, 5]}).apply(model, verify=x)


class Own(keras.Model):
    """A functional model of a class of its own."""

    def twice(self, x):
        return 2 * self(x)


def test_the_class_of_a_model_is_kept():
    inputs = image()
    x = layers.Conv2D(3, 1)(layers.Conv2D(8, 3, name="conv")(inputs))
    model = Own(inputs, x, name="own")
    small = halved(model, conv=[1, 2])
    assert type(small) is type(model)
    assert small.twice(np.ones((1, 12, 12, 3))).shape == (1, 10, 10, 3)


def test_nested_models_keep_their_names_and_flags():
    block = keras.Sequential([image(12, 12, 8), layers.Conv2D(6, 3, name="within")], name="block")
    block.trainable = False
    inputs = image()
    model = behind(inputs, block(layers.Conv2D(8, 3, padding="same", name="conv")(inputs)))
    small = halved(model, conv=[1, 2], **{"block/within": [0, 5]})
    assert isinstance(small.get_layer("block"), keras.Sequential)
    assert small.get_layer("block").layers[0].filters == 2
    assert not small.get_layer("block").trainable_variables


OPTIMIZERS = (
    "SGD", "Adam", "AdamW", "Nadam", "Adamax", "RMSprop", "Adagrad", "Adadelta", "Ftrl", "Lion",
    "Lamb", "Adafactor", "Muon",
)  # fmt: skip


@pytest.mark.parametrize(
    "name",
    # One of each kind of state, where each operation is compiled by itself.
    OPTIMIZERS if keras.backend.backend() == "tensorflow" else ("SGD", "Muon", "Adafactor"),
)
def test_optimizer_state_follows_its_weights(name):
    if not hasattr(keras.optimizers, name):
        pytest.skip(f"this Keras has no {name}")
    settings = {"momentum": 0.9} if name == "SGD" else {}
    model = classifier(getattr(keras.optimizers, name)(1e-3, **settings))
    generator = np.random.default_rng(0)

    def step(of):
        gradients = [
            generator.normal(size=v.shape).astype("float32") for v in of.trainable_variables
        ]
        of.optimizer.apply(gradients, of.trainable_variables)

    step(model)
    small = halved(model)
    assert int(small.optimizer.iterations) == int(model.optimizer.iterations) == 1
    assert len(small.optimizer.variables) == len(model.optimizer.variables)
    kept = {8: [0, 2, 3, 6], 6: [1, 4, 5]}
    sliced = 0
    for old, new in zip(model.optimizer.variables, small.optimizer.variables, strict=True):
        a, b = (keras.ops.convert_to_numpy(v) for v in (old, new))
        # The factors of Adafactor belong to rows and columns: they begin anew.
        if a.shape[-1:] in ((8,), (6,)) and len(a.shape) != 2 and name != "Adafactor":
            assert np.array_equal(b, a[..., kept[a.shape[-1]]]), old.path
            sliced += bool(np.abs(b).max() > 0)
        elif a.shape == b.shape:
            assert np.array_equal(a, b), old.path
    assert sliced or name == "Adafactor"
    step(small)
    assert all(np.isfinite(keras.ops.convert_to_numpy(v)).all() for v in small.variables)


def test_weights_left_out_of_weight_decay_stay_so():
    optimizer = keras.optimizers.AdamW(weight_decay=0.1)
    model = classifier(optimizer)
    optimizer.exclude_from_weight_decay([model.get_layer("hidden").kernel])
    small = halved(model)
    before = {v.path: keras.ops.convert_to_numpy(v).copy() for v in small.trainable_variables}
    zeros = [np.zeros(v.shape, "float32") for v in small.trainable_variables]
    small.optimizer.apply(zeros, small.trainable_variables)
    after = {v.path: keras.ops.convert_to_numpy(v) for v in small.trainable_variables}
    assert np.array_equal(after["hidden/kernel"], before["hidden/kernel"])
    assert not np.array_equal(after["logits/kernel"], before["logits/kernel"])


def test_training_goes_on():
    model = classifier("adam")
    model.fit(*data(32), verbose=0)
    small = halved(model)
    small.fit(*data(32), verbose=0)
    assert int(small.optimizer.iterations) == 2


@tensorflow_only
def test_mixed_precision_keeps_the_inner_optimizers_state():
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1, momentum=0.9))
    model = classifier(optimizer)
    model.optimizer.inner_optimizer.build(model.trainable_variables)
    for variable in model.optimizer.inner_optimizer.variables[2:]:
        variable.assign(np.random.default_rng(0).normal(size=variable.shape))
    model.optimizer.build(model.trainable_variables)
    small = halved(model)
    old, new = (m.optimizer.inner_optimizer.variables for m in (model, small))
    pairs = [(a, b) for a, b in zip(old, new, strict=True) if tuple(a.shape) == (3, 3, 1, 8)]
    assert len(pairs) == 1
    momentum = keras.ops.convert_to_numpy(pairs[0][0])[..., [0, 2, 3, 6]]
    assert np.abs(momentum).max() > 0
    assert np.array_equal(momentum, pairs[0][1])


def test_weights_that_layers_share_are_refused():
    inputs = image()
    one, other = layers.Conv2D(3, 3, name="one"), layers.Conv2D(3, 3, name="other")
    x = layers.Conv2D(8, 3, name="conv")(other(one(inputs)))
    vars(other)["_kernel"] = one.kernel
    other._trainable_variables[:] = [one.kernel, other.bias]
    with pytest.raises(KerasCompressError, match="'one' and 'other' share"):
        halved(behind(inputs, x), conv=[0, 1])
