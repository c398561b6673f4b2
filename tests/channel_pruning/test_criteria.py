"""Scores by their defining equations, on nets small enough to compute them by hand."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from keras_compress import KerasCompressError, channel_pruning
from keras_compress.channel_pruning import Data, find_groups
from keras_compress.channel_pruning.criteria import get_criterion
from tests.channel_pruning.nets import image, randomized

pytestmark = pytest.mark.backend_independent

SAMPLES = 6


def residual_net() -> keras.Model:
    """Two layers make the channels of `stem`, two read them."""
    inputs = image(4, 4, 2)
    a = layers.Conv2D(3, 3, padding="same", name="stem")(inputs)
    b = layers.Conv2D(3, 3, padding="same", activation="tanh", name="branch")(a)
    x = layers.BatchNormalization(name="norm")(layers.Add()([a, b]))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(2, name="head")(x))


@pytest.fixture(scope="module")
def case():
    keras.utils.set_random_seed(0)
    model = residual_net()
    generator = np.random.default_rng(0)
    model.get_layer("norm").gamma.assign([-2.0, 0.5, 1.0])
    x = generator.normal(size=(SAMPLES, 4, 4, 2)).astype("float32")
    y = generator.integers(0, 2, SAMPLES)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return model, find_groups(model), Data(x, y, loss, batch_size=3)


def values(variable) -> np.ndarray:
    return keras.ops.convert_to_numpy(variable).astype("float64")


@pytest.mark.parametrize(
    ("name", "of"),
    [
        ("l1", lambda f: np.abs(f).sum(1)),
        ("l2", lambda f: np.sqrt((f**2).sum(1))),
        ("fpgm", lambda f: np.sqrt(((f[:, None] - f[None]) ** 2).sum(2)).sum(1)),
    ],
)
def test_criteria_of_filters(case, name, of):
    model, groups, _ = case
    expected = []
    for layer in ("stem", "branch"):
        kernel = values(model.get_layer(layer).kernel)
        scores = of(kernel.reshape(-1, 3).T)
        expected.append(scores / scores.mean())
    found = get_criterion(name).scores(groups)
    assert list(found) == ["stem"]
    assert np.allclose(found["stem"], np.mean(expected, 0), rtol=1e-6)


def test_gamma(case):
    _, groups, _ = case
    assert np.allclose(get_criterion("bn_gamma").scores(groups)["stem"], [2.0, 0.5, 1.0])


def test_gamma_is_averaged_over_the_normalizations_of_a_group():
    inputs = image(4, 4, 2)
    x = layers.Conv2D(3, 1, name="stem")(inputs)
    x = layers.BatchNormalization(name="first")(x)
    x = layers.BatchNormalization(name="second")(layers.ReLU()(x))
    model = keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))
    model.get_layer("first").gamma.assign([-2.0, 0.5, 1.0])
    model.get_layer("second").gamma.assign([1.0, -1.5, 0.0])
    scores = get_criterion("bn_gamma").scores(find_groups(model))
    assert np.allclose(scores["stem"], [1.5, 1.0, 0.5])


def test_gamma_needs_a_normalization():
    model = randomized("residual")
    with pytest.raises(KerasCompressError, match="none scales a group"):
        get_criterion("bn_gamma").scores(find_groups(model))


def factor_gradients(model, data) -> np.ndarray:
    """Gradients of each sample's loss by a factor at each place, by differences: (n, 2, 3)."""
    found = np.zeros((SAMPLES, 2, 3))
    step = 1e-2
    for place, layer in enumerate(("branch", "head")):
        kernel = model.get_layer(layer).kernel
        original = values(kernel)
        for channel in range(3):
            losses = []
            for sign in (1, -1):
                changed = original.copy()
                changed[..., channel, :] *= 1 + sign * step
                kernel.assign(changed)
                outputs = values(model(data.x))
                shifted = outputs - outputs.max(1, keepdims=True)
                log = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
                losses.append(-log[np.arange(SAMPLES), data.y])
            found[:, place, channel] = (losses[0] - losses[1]) / (2 * step)
        kernel.assign(original)
    return found


def test_criteria_of_gradients(case):
    model, groups, data = case
    before = [values(v) for v in model.variables]
    by_sample = factor_gradients(model, data)
    expected = {
        "group_fisher": (by_sample.sum(1) ** 2).sum(0) / (2 * SAMPLES),
        "fisher": (by_sample**2).sum((0, 1)) / (2 * SAMPLES),
        "taylor": np.mean(
            [by_sample[part].mean(0).sum(0) ** 2 for part in (slice(3), slice(3, 6))], axis=0
        ),
    }
    for name, scores in expected.items():
        found = get_criterion(name).scores(groups, data)["stem"]
        assert np.allclose(found, scores, rtol=2e-3, atol=1e-7), name
    # The sum before the square is what sets Group Fisher apart.
    assert not np.allclose(expected["group_fisher"], expected["fisher"], rtol=0.05)
    for value, variable in zip(before, model.variables, strict=True):
        assert np.allclose(value, values(variable))
    assert "call" not in vars(model.get_layer("head"))


def test_a_compiled_loss_is_taken_and_a_rest_of_fewer_samples_left_out(case):
    model, groups, data = case
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    copy.compile("sgd", data.loss)
    x, y = (np.concatenate([of, of[:2]]) for of in (data.x, data.y))
    compiled = get_criterion("group_fisher").scores(find_groups(copy), Data(x, y, batch_size=3))
    given = get_criterion("group_fisher").scores(groups, data)
    assert np.allclose(compiled["stem"], given["stem"], rtol=1e-5)


def test_channels_read_within_a_layer_are_scored():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((5, 4))
    model = keras.Model(inputs, layers.Dense(2)(layers.LSTM(3, name="lstm")(inputs)))
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(8, 5, 4)).astype("float32"), generator.normal(size=(8, 2))
    data = Data(x, y.astype("float32"), "mean_squared_error", batch_size=4)
    scores = get_criterion("group_fisher").scores(find_groups(model), data)
    assert (scores["lstm"] > 0).all()


@pytest.mark.parametrize("name", ["taylor", "fisher", "group_fisher"])
def test_gradients_need_targets_and_a_loss(case, name):
    _, groups, data = case
    with pytest.raises(KerasCompressError, match="no samples with targets"):
        get_criterion(name).scores(groups, Data(data.x, None))
    with pytest.raises(KerasCompressError, match="isn't compiled with one"):
        get_criterion(name).scores(groups, Data(data.x, data.y))


def test_gradients_that_are_not_finite_are_refused(case):
    _, groups, data = case
    bad = Data(np.full_like(data.x, np.nan), data.y, data.loss)
    with pytest.raises(KerasCompressError, match="NaN or infinity in the batch from sample 0"):
        get_criterion("taylor").scores(groups, bad)


@pytest.mark.parametrize(
    ("name", "criterion"),
    [
        ("explained_variance", channel_pruning.ExplainedVariance()),
        ("lasso", channel_pruning.Lasso()),
        ("mseb", channel_pruning.MSEB()),
        ("random", channel_pruning.Random()),
    ],
)
def test_criteria_have_names(name, criterion):
    assert get_criterion(name) == criterion


def test_chance_has_a_seed(case):
    _, groups, _ = case
    one, same, other = (
        channel_pruning.Random(seed=seed).scores(groups)["stem"] for seed in (1, 1, 2)
    )
    assert np.array_equal(one, same) and not np.array_equal(one, other)


@pytest.mark.parametrize(
    "criterion",
    [channel_pruning.L1(per="macs"), channel_pruning.GroupFisher(), channel_pruning.Random(seed=3)],
)
def test_criteria_are_registered(criterion):
    config = keras.saving.serialize_keras_object(criterion)
    assert keras.saving.deserialize_keras_object(config) == criterion


def test_names_are_checked():
    assert get_criterion("group_fisher").per == "activations"
    with pytest.raises(KerasCompressError, match="one of 'l1', 'l2'"):
        get_criterion("l3")
    with pytest.raises(KerasCompressError, match="`per` must be one of 'macs'"):
        channel_pruning.L1(per="bytes")
