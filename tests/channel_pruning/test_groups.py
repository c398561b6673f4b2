"""Groups as objects: what they name, what restricts them, what is frozen and why."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_compress import KerasCompressError
from keras_compress.channel_pruning import NotUnderstoodError, find_groups, register_rule
from tests.channel_pruning.nets import NETS, behind, image
from tests.training import subclassed

# Analysis of the graph: nothing is computed.
pytestmark = pytest.mark.backend_independent


def small_resnet() -> keras.Model:
    inputs = image()
    x = a = layers.Conv2D(16, 3, padding="same", name="stem")(inputs)
    x = layers.Conv2D(24, 3, padding="same", name="inner")(x)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.Conv2D(16, 3, padding="same", name="outer")(x)
    x = layers.Add(name="add")([a, x])
    return keras.Model(inputs, layers.Conv2D(3, 1, name="head")(x), name="small_resnet")


def test_a_group_names_who_makes_follows_and_reads_it():
    groups = find_groups(small_resnet())
    assert list(groups) == ["stem", "inner"]
    stem, inner = groups["stem"], groups["inner"]
    assert (stem.size, stem.layers) == (16, ("stem", "outer"))
    assert (inner.size, inner.layers) == (24, ("inner",))
    roles = {(m.layer, m.weight): (m.role, m.axis) for m in inner.members}
    assert roles == {
        ("inner", "kernel"): ("makes", 3),
        ("inner", "bias"): ("makes", 0),
        ("norm", "gamma"): ("follows", 0),
        ("norm", "beta"): ("follows", 0),
        ("norm", "moving_mean"): ("follows", 0),
        ("norm", "moving_variance"): ("follows", 0),
        ("outer", "kernel"): ("reads", 2),
    }
    readers = {m.layer for m in stem.members if m.role == "reads"}
    assert readers == {"inner", "head"}


def test_a_scale_of_each_channel_follows_it():
    from keras.src.applications.convnext import LayerScale

    inputs = image()
    x = layers.Conv2D(6, 3, name="made")(inputs)
    x = LayerScale(init_values=0.5, projection_dim=6, name="scale")(x)
    groups = find_groups(behind(inputs, x))
    assert ("scale", "follows", 0) in {(m.layer, m.role, m.axis) for m in groups["made"].members}


def test_what_stays_is_named_with_the_reason():
    frozen = find_groups(small_resnet()).frozen
    assert [(row.layer, row.channels, row.of) for row in frozen] == [("head", 3, 3)]
    assert frozen[0].reasons == ("it is an output of the model",)


def test_a_softmax_freezes_what_it_goes_over():
    frozen = {row.layer: row for row in find_groups(NETS["softmax_within"]()).frozen}
    reasons = [row.reasons for row in frozen.values() if "softmax" in str(row.reasons)]
    assert len(reasons) == 2  # the Dense, and the convolution it is multiplied with
    assert all("goes over all channels" in str(why) for why in reasons)


def test_an_unknown_layer_freezes_what_it_reads_and_makes():
    class Own(keras.layers.Layer):
        def call(self, x):
            return ops.sort(x, axis=-1)

    inputs = image()
    x = layers.Conv2D(7, 3, name="before")(inputs)
    x = layers.Conv2D(8, 3, name="behind")(Own(name="own")(x))
    groups = find_groups(behind(inputs, x))
    assert list(groups) == ["behind"]
    assert groups.frozen[0].layer == "before"
    assert groups.frozen[0].reasons == ("own: Own isn't known to the rules",)


def test_an_operation_that_mixes_channels_freezes_them():
    inputs = image()
    x = layers.Conv2D(8, 3, name="before")(inputs)
    groups = find_groups(behind(inputs, x - ops.mean(x, axis=-1, keepdims=True)))
    assert not len(groups)
    assert any("it mixes channels" in why for why in groups.frozen[0].reasons)


@keras.saving.register_keras_serializable(package="keras_compress_tests")
class ScaleOf(keras.layers.Layer):
    """A layer of the user's own, with a weight a channel."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, shape):
        self.scale = self.add_weight(shape=(self.units,), initializer="random_normal")

    def call(self, x):
        return x * self.scale

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def test_a_rule_for_ones_own_layer():
    from keras_compress.channel_pruning import ChannelPlan, registry

    def model():
        inputs = image()
        return behind(inputs, ScaleOf(8, name="scale")(layers.Conv2D(8, 3, name="conv")(inputs)))

    assert list(find_groups(model())) == []

    @register_rule(ScaleOf)
    def scale_of(call):
        channels = call.channels(-1)
        call.slice(call.layer.scale, 0, channels)
        call.count("units", channels)
        return call.inputs[0]

    try:
        net = model()
        groups = find_groups(net)
        assert list(groups) == ["conv"]
        x = np.random.default_rng(0).normal(size=(2, 12, 12, 3)).astype("float32")
        small = ChannelPlan.of(groups, {"conv": [1, 4, 6]}).apply(net, verify=x)
        assert small.get_layer("scale").units == 3
    finally:
        registry._BY_CLASS.pop(ScaleOf)


def test_a_rule_that_raises_says_why():
    from keras_compress.channel_pruning import registry

    @register_rule(ScaleOf)
    def refusing(call):
        raise NotUnderstoodError("its scale is the law")

    try:
        inputs = image()
        net = behind(inputs, ScaleOf(8, name="scale")(layers.Conv2D(8, 3)(inputs)))
        assert find_groups(net).frozen[0].reasons == ("scale: its scale is the law",)
    finally:
        registry._BY_CLASS.pop(ScaleOf)


def test_settings_that_a_rule_does_not_expect_freeze_what_they_meet():
    from keras_compress.channel_pruning import registry

    def failing(call):
        return call.layer.no_such_setting

    known = registry._BY_CLASS[layers.ReLU]
    registry._BY_CLASS[layers.ReLU] = failing
    try:
        inputs = image()
        net = behind(inputs, layers.ReLU(name="odd")(layers.Conv2D(8, 3)(inputs)))
        (reason,) = find_groups(net).frozen[0].reasons
        assert "odd: its settings aren't known to the rules" in reason
    finally:
        registry._BY_CLASS[layers.ReLU] = known


def test_only_layer_classes_have_rules():
    with pytest.raises(KerasCompressError, match="for layer classes"):
        register_rule(keras.Model().call)


@pytest.mark.parametrize(
    ("limits", "left"),
    [
        ({"layers": "inner"}, ["inner"]),
        ({"layers": ["st*"]}, ["stem"]),
        ({"layers": layers.Conv2D}, ["stem", "inner"]),
        ({"layers": lambda layer: getattr(layer, "filters", 0) == 24}, ["inner"]),
        ({"veto": "norm"}, ["stem"]),
        ({"veto": "outer"}, []),
        ({"veto": layers.BatchNormalization}, ["stem"]),
    ],
)
def test_groups_are_restricted(limits, left):
    groups = find_groups(small_resnet())
    restricted = groups.restrict(**limits)
    assert list(restricted) == left
    assert set(restricted.vetoed) == set(groups) - set(left)
    assert restricted.fingerprint == groups.fingerprint


def test_numbers_of_channels_are_restricted():
    inner = find_groups(small_resnet()).restrict(round_to=8, min_channels=10)["inner"]
    allowed = [n for n in range(25) if inner.allows(np.arange(24) < n)]
    assert allowed == [16, 24]
    inner = find_groups(small_resnet()).restrict(round_to=1, min_channels=22)["inner"]
    assert [n for n in range(25) if inner.allows(np.arange(24) < n)] == [22, 23, 24]


def test_rounding_counts_channels_of_layers():
    # Each channel of this group is 4 of the first grouped convolution, 1 in each of its groups.
    groups = find_groups(NETS["grouped_convolutions"]()).restrict(round_to=8)
    group = next(g for g in groups.values() if 16 in g.makes.sum(axis=1))
    allowed = [n for n in range(group.size + 1) if group.allows(np.arange(group.size) < n)]
    assert allowed == [2, 4]


def test_a_part_that_is_read_alone_keeps_a_channel():
    # Halves of a split go with each other in the shuffle; with one channel each half has one.
    inputs = image()
    x = layers.Conv2D(8, 3, name="conv")(inputs)
    a, b = ops.split(x, 2, axis=-1)
    net = keras.Model(inputs, [layers.Conv2D(2, 1)(a), layers.Conv2D(2, 1)(b)])
    group = find_groups(net)["conv"]
    assert group.holds(np.array([1, 0, 0, 0, 0, 0, 0, 1], bool))
    assert not group.holds(np.array([1, 1, 1, 1, 0, 0, 0, 0], bool))


@pytest.mark.parametrize("bad", [0, -8, 2.5, True])
def test_numbers_of_channels_are_checked(bad):
    groups = find_groups(small_resnet())
    with pytest.raises(KerasCompressError, match="`round_to` must be an int of at least 1"):
        groups.restrict(round_to=bad)


def test_names_that_match_nothing_are_refused():
    groups = find_groups(small_resnet())
    with pytest.raises(KerasCompressError, match=r"'nothing', which matches none.*stem, inner"):
        groups.restrict(veto="nothing")
    with pytest.raises(KerasCompressError, match="takes names, layer classes and predicates"):
        groups.restrict(layers=3)


def test_groups_print_as_a_table():
    text = str(find_groups(small_resnet()).restrict(veto="norm"))
    assert "stem, outer" in text and "left out by the user" in text
    assert "it is an output of the model" in text


def test_the_fingerprint_tells_architectures_apart_not_weights():
    one, same = find_groups(small_resnet()), find_groups(small_resnet())
    assert one.fingerprint == same.fingerprint
    assert one.fingerprint != find_groups(NETS["residual"]()).fingerprint


def test_a_shared_weight_freezes_its_layers():
    inputs = image()
    one, other = layers.Conv2D(3, 3, name="one"), layers.Conv2D(3, 3, name="other")
    x = other(one(inputs))
    vars(other)["_kernel"] = one.kernel
    other._trainable_variables[:] = [one.kernel, other.bias]
    groups = find_groups(behind(inputs, x))
    assert not len(groups)
    assert "shares weights" in str(groups.frozen)


def test_a_shared_layer_that_one_call_is_not_understood_of_stays_whole():
    inputs = keras.Input((5,))
    shared = layers.Dense(8, name="shared")
    understood = shared(layers.Dense(8, name="made")(inputs))
    turned = layers.RepeatVector(8)(layers.Dense(4, name="turned")(understood))
    mixed = shared(layers.Permute((2, 1))(turned))
    x = layers.Dense(2, name="head")(layers.Flatten()(layers.ReLU()(mixed)))
    groups = find_groups(keras.Model(inputs, x))
    assert not len(groups)
    why = {row.layer: row.reasons for row in groups.frozen}
    assert why["made"] == why["turned"] and "shared: its channels" in str(why["made"])


def test_subclassed_and_unbuilt_models_are_refused_with_a_remedy():
    with pytest.raises(KerasCompressError, match=r"a subclassed Subclassed.*keras\.Model\(x, "):
        find_groups(subclassed())
    with pytest.raises(KerasCompressError, match=r"isn't built. Begin the model with a"):
        find_groups(keras.Sequential([layers.Dense(3)]))
    with pytest.raises(KerasCompressError, match=r"Pass a `keras\.Model`"):
        find_groups(layers.Dense(3))
