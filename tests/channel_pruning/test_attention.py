"""MSEB blocks and UCP: the block, its scores, uniform stages, blocks that are gone in the end."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from keras_compress import KerasCompressError
from keras_compress.channel_pruning import (
    MSEB,
    ChannelAttention,
    ChannelPlan,
    Data,
    add_attention,
    find_groups,
    ucp,
)
from tests.channel_pruning.nets import image


@pytest.fixture(scope="module")
def case():
    keras.utils.set_random_seed(0)
    inputs = image(8, 8, 2)
    x = layers.Conv2D(8, 3, padding="same", use_bias=False, name="stem")(inputs)
    x = layers.ReLU()(layers.BatchNormalization(name="norm")(x))
    y = layers.Conv2D(16, 3, padding="same", activation="relu", name="branch")(x)
    x = layers.Add()([x, layers.Conv2D(8, 1, name="back")(y)])
    x = layers.Conv2D(32, 3, activation="relu", name="wide")(x)
    model = keras.Model(inputs, layers.Dense(3, name="head")(layers.GlobalMaxPooling2D()(x)))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss)
    generator = np.random.default_rng(0)
    x = generator.normal(size=(48, 8, 8, 2)).astype("float32")
    return model, x, generator.integers(0, 3, 48)


def numpy(x) -> np.ndarray:
    return keras.ops.convert_to_numpy(x).astype("float64")


@pytest.mark.parametrize(("channels", "hidden", "biases"), [(16, 1, 2), (32, 2, 0), (40, 2, 0)])
def test_the_block_is_that_of_the_paper(channels, hidden, biases):
    block = ChannelAttention()
    x = np.random.default_rng(0).normal(size=(4, 3, 5, channels)).astype("float32")
    found = numpy(block(x))
    assert len(block.weights) == 2 + biases and block.hidden == hidden
    for bias in (block.squeeze_bias, block.excite_bias):
        if bias is not None:
            bias.assign(np.linspace(-1, 1, bias.shape[0]))
            found = numpy(block(x))
    mid = x.mean((1, 2)) @ numpy(block.squeeze)
    mid = np.maximum(mid if not biases else mid + numpy(block.squeeze_bias), 0)
    out = mid @ numpy(block.excite)
    out = out if not biases else out + numpy(block.excite_bias)
    assert np.allclose(found, x / (1 + np.exp(-out))[:, None, None], atol=1e-5)


def test_blocks_stand_behind_convolutions_and_score_their_channels(case):
    model, x, _ = case
    attended = add_attention(model)
    names = [each.name for each in attended.layers if isinstance(each, ChannelAttention)]
    assert sorted(names) == sorted(f"{n}_attention" for n in ("norm", "branch", "back", "wide"))
    assert attended.compiled and not any("attention" in each.name for each in model.layers)
    assert np.array_equal(attended.get_layer("branch").kernel, model.get_layer("branch").kernel)
    groups = find_groups(attended)
    assert list(groups) == list(find_groups(model)) == ["stem", "branch", "wide"]
    found = MSEB().scores(groups, Data(x, None, batch_size=20))
    scales = {}
    for name in names:
        block = attended.get_layer(name)
        given = keras.Model(attended.input, block.input)(x)
        scales[name] = numpy(block.scales(given)).mean(0)
    assert np.allclose(found["branch"], scales["branch_attention"], rtol=1e-5)
    both = (scales["norm_attention"] + scales["back_attention"]) / 2
    assert np.allclose(found["stem"], both, rtol=1e-5)
    # Channels leave the blocks, too.
    masks = {"branch": np.arange(16) % 2 == 0, "stem": np.arange(8) < 6}
    small = ChannelPlan.of(groups, masks).apply(attended, verify=x[:4])
    assert small.get_layer("branch_attention").excite.shape == (1, 8)


def test_stages_lose_alike_and_blocks_are_gone(case):
    model, x, y = case
    before = [v.copy() for v in model.get_weights()]
    settings = {"round_to": 2, "batch_size": 16, "verbose": 0}
    found = ucp(model, x, y, 0.4, from_scratch=False, **settings)
    shares = [row.kept / row.channels for row in found.report.groups]
    assert max(shares) - min(shares) < 0.2 and max(shares) < 1
    assert not any(isinstance(each, ChannelAttention) for each in found.model.layers)
    kept = list(found.plan.kept["wide"])
    kernel, whole = (m.get_layer("wide").kernel for m in (found.model, model))
    assert np.array_equal(
        numpy(kernel), numpy(whole)[:, :, list(found.plan.kept["stem"])][..., kept]
    )
    fresh = ucp(model, x, y, 0.4, **settings)
    assert [v.shape for v in fresh.model.weights] == [v.shape for v in found.model.weights]
    assert not np.allclose(fresh.model.get_layer("wide").kernel, kernel) and fresh.model.compiled
    for a, b in zip(before, model.get_weights(), strict=True):
        assert np.array_equal(a, b)


def test_a_sequential_model_stays_one():
    model = keras.Sequential([image(), layers.Conv2D(4, 3, name="one"), layers.Conv2D(3, 1)])
    attended = add_attention(model)
    assert type(attended) is keras.Sequential
    assert [each.name for each in attended.layers][:2] == ["one", "one_attention"]


def test_errors(case):
    model, x, _ = case
    with pytest.raises(KerasCompressError, match="behind convolutions"):
        add_attention(keras.Sequential([keras.Input((3,)), layers.Dense(2)]))
    with pytest.raises(KerasCompressError, match="without any"):
        MSEB().scores(find_groups(model), Data(x, None))
