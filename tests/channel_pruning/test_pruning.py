"""From a model to a smaller one: costs, choice, statistics, report, errors."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_compress import KerasCompressError, channel_pruning
from keras_compress.channel_pruning import ChannelCosts, ChannelPlan, Target, find_groups, prune
from keras_compress.channel_pruning.selection import next_channels, select_greedily
from keras_compress.engine.profile import profile
from tests.channel_pruning.nets import NETS, behind, image, random_masks, randomized
from tests.training import CLASSES, data, subclassed


def wide(name: str = "wide") -> keras.Model:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 6, 1))
    x = layers.Conv2D(24, 3, padding="same", use_bias=False, name="first")(inputs)
    x = layers.ReLU()(layers.BatchNormalization(name="norm")(x))
    x = layers.Conv2D(32, 3, name="second")(x)
    x = layers.Dense(16, activation="relu", name="hidden")(layers.Flatten()(x))
    model = keras.Model(inputs, layers.Dense(CLASSES, name="logits")(x), name=name)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    return model


MEASURED = (
    "residual", "equations", "grouped_convolutions", "concatenation_with_itself",
    "recurrent_units", "separable_and_transposed", "nested_models_called_twice",
)  # fmt: skip


@pytest.mark.parametrize(
    "name",
    # Elsewhere each operation is compiled by itself.
    MEASURED if keras.backend.backend() == "tensorflow" else MEASURED[:2],
)
def test_costs_are_those_of_the_smaller_model(name):
    model = randomized(name)
    groups = find_groups(model)
    costs = ChannelCosts(groups)
    masks = random_masks(groups)
    small = ChannelPlan.of(groups, masks).apply(model)
    again = ChannelCosts(find_groups(small))
    assert costs.full["parameters"] == model.count_params()
    assert costs.total(masks)["parameters"] == small.count_params()
    assert costs.total(masks) == again.full
    if name not in ("recurrent_units", "nested_models_called_twice"):
        assert costs.full["macs"] == profile(model).macs
        assert costs.total(masks)["macs"] == profile(small).macs


def test_savings_add_up_to_costs():
    groups = find_groups(wide())
    costs = ChannelCosts(groups)
    left = {name: np.ones(group.size, bool) for name, group in groups.items()}
    total = dict(costs.full)
    for name, channels in (("first", [1, 2]), ("second", [0, 5, 7]), ("first", [9])):
        channels = np.array(channels)
        saved = costs.saved(name, channels)
        costs.remove(name, channels)
        left[name][channels] = False
        for cost, value in saved.items():
            total[cost] -= value
    assert total == costs.total(left)
    assert costs.neighbours("first") == {"first", "second"}


def test_open_sides_need_a_size():
    groups = find_groups(NETS["unknown_sides"]())
    with pytest.raises(KerasCompressError, match="pass `input_shape`"):
        ChannelCosts(groups)
    assert ChannelCosts(groups, (12, 12, 3)).full["macs"] == 100 * 27 * 8 + 64 * 72 * 6 + 18
    # One input of several may be the open one.
    words, numbers = keras.Input((None, 4)), keras.Input((8,))
    both = layers.Concatenate()([layers.GlobalAveragePooling1D()(words), numbers])
    x = layers.Dense(2)(layers.Dense(6)(both))
    with pytest.raises(KerasCompressError, match="pass `input_shape`"):
        ChannelCosts(find_groups(keras.Model([words, numbers], x)))


@pytest.mark.parametrize("method", ["global", "uniform"])
@pytest.mark.parametrize("target", [0.5, Target(parameters=0.4), Target(macs=0.7, activations=0.6)])
def test_a_target_is_met_in_multiples(method, target):
    model = wide()
    found = prune(model, target, method=method)
    limits = (target if isinstance(target, Target) else Target(macs=target)).limits(
        found.report.before
    )
    assert all(found.report.after[cost] <= limit for cost, limit in limits.items())
    assert found.model.count_params() == found.report.after["parameters"]
    assert all(row.kept % 8 == 0 for row in found.report.groups)
    # One step less of any group that was cut would be over a limit, if groups are cut one by one.
    assert any(found.report.after[c] > 0.5 * limit for c, limit in limits.items())


def test_the_lowest_scores_go():
    model = wide()
    kernel = keras.ops.convert_to_numpy(model.get_layer("second").kernel).copy()
    weak = [3, 4, 5, 9, 14, 20, 22, 31]
    kernel[..., weak] *= 1e-3
    model.get_layer("second").kernel.assign(kernel)
    found = prune(model, Target(parameters=0.95), layers="second")
    assert found.plan.kept == {"second": tuple(i for i in range(32) if i not in weak)}
    assert [row.reason for row in found.report.groups] == [
        "left out by the user",
        "",
        "left out by the user",
    ]


def test_what_saves_more_goes_first_per_cost():
    groups = find_groups(wide()).restrict(round_to=1)
    costs = ChannelCosts(groups)
    scores = {name: np.ones(group.size) for name, group in groups.items()}
    masks = select_greedily(groups, scores, costs, Target(parameters=0.97), per="parameters")
    saved = {name: ChannelCosts(groups).saved(name, np.array([0]))["parameters"] for name in groups}
    cut = [name for name, mask in masks.items() if not mask.all()]
    assert cut == [max(saved, key=saved.get)]


def test_kinds_of_channels_go_in_step():
    # 16 channels run through the second layer, the middle 8 of them through the first, too.
    inputs = image(8, 8, 3)
    x = layers.Conv2D(16, 3, padding="same", name="narrow")(inputs)
    y = layers.Conv2D(32, 3, padding="same", name="broad")(x)
    x = layers.Add()([y, ops.pad(x, [[0, 0], [0, 0], [0, 0], [8, 8]])])
    group = find_groups(behind(inputs, x))["narrow"]
    generator = np.random.default_rng(0)
    mask, scores = np.ones(32, bool), generator.random(32)
    step = next_channels(group, scores, mask)
    assert len(step) == 8
    inner = group.makes[0][step]
    assert inner.all() or not inner.any()


@pytest.mark.slow
def test_group_fisher_prunes_a_trained_net():
    model = wide()
    x, y = data(96)
    model.fit(x, y, epochs=8, batch_size=16, verbose=0)
    before = model.evaluate(x, y, verbose=0)[1]
    assert before > 0.95
    found = prune(model, 0.5, criterion="group_fisher", x=x, y=y, verify=True)
    by_chance = prune(model, 0.5, criterion="random", x=x)
    after = found.model.evaluate(x, y, verbose=0)[1]
    assert after >= by_chance.model.evaluate(x, y, verbose=0)[1] - 0.02
    assert after > 0.8
    assert found.report.reestimated == ("norm",)
    assert model.evaluate(x, y, verbose=0)[1] == before


def test_statistics_are_averages_over_the_inputs():
    model = wide()
    x = data(64)[0] * 3 + 1
    norm = model.get_layer("norm")
    norm.moving_mean.assign(np.full(24, 5.0))
    first = keras.Model(model.input, model.get_layer("first").output)
    made = keras.ops.convert_to_numpy(first(x)).astype("float64")
    momentum = norm.momentum
    assert channel_pruning.reestimate_statistics(model, x, batch_size=16) == ["norm"]
    assert np.allclose(
        keras.ops.convert_to_numpy(norm.moving_mean), made.mean((0, 1, 2)), atol=1e-4
    )
    variances = np.mean([made[i : i + 16].var((0, 1, 2)) for i in range(0, 64, 16)], axis=0)
    assert np.allclose(keras.ops.convert_to_numpy(norm.moving_variance), variances, rtol=1e-3)
    assert norm.momentum == momentum and "call" not in vars(norm)


def test_frozen_normalizations_stay():
    model = wide()
    model.get_layer("norm").trainable = False
    assert channel_pruning.reestimate_statistics(model, data(16)[0]) == []


def test_pictures(tmp_path):
    pytest.importorskip("matplotlib")
    found = prune(wide(), 0.6, veto="hidden")
    find_groups(wide()).plot(tmp_path / "groups.svg")
    found.report.plot(tmp_path / "cut.svg")
    for name in ("groups.svg", "cut.svg"):
        assert (tmp_path / name).read_bytes().startswith(b"<?xml")
    axis, title = "<!-- channels -->", "<!-- L1, global -->"
    assert axis in (tmp_path / "groups.svg").read_text()
    cut = (tmp_path / "cut.svg").read_text()
    assert axis in cut and title in cut
    kept = {bar["name"]: bar["kept"] for bar in found.report.bars() if not bar["reason"]}
    assert kept == {g.group: g.kept for g in found.report.groups if not g.reason}
    with pytest.raises(KerasCompressError, match=r"\.png, \.svg or \.pdf"):
        found.report.plot(tmp_path / "cut.txt")


def test_the_report_is_plain_values_and_a_table():
    report = prune(wide(), 0.6, veto="hidden").report
    record = json.loads(json.dumps(report.to_dict()))
    assert record["groups"][2]["reason"] == "left out by the user"
    assert record["frozen"][0]["reasons"] == ["it is an output of the model"]
    text = str(report)
    assert "L1, global" in text and "left out by the user" in text and "macs" in text
    # Numbers stand to the right, names to the left.
    first = next(row for row in report.groups if not row.reason)
    row = next(line for line in text.splitlines() if f" {first.group} " in line)
    assert f" {first.kept} │" in row and f"│ {first.group} " in row


def test_the_plan_is_that_of_the_model(tmp_path):
    model = wide()
    found = prune(model, 0.5)
    found.plan.save(tmp_path / "plan.json")
    again = ChannelPlan.load(tmp_path / "plan.json").apply(model)
    for a, b in zip(again.get_weights(), found.model.get_weights(), strict=True):
        assert np.array_equal(a, b)


def test_nothing_to_remove_names_who_froze_it():
    inputs = image()
    x = layers.Conv2D(8, 3, name="conv")(inputs)
    model = keras.Model(inputs, layers.Softmax(name="over_all")(x))
    with pytest.raises(KerasCompressError, match=r"'conv' \(over_all: Softmax goes over all"):
        prune(model)
    with pytest.raises(KerasCompressError, match="leave out all of first, second, hidden"):
        prune(wide(), veto=["first", "second", "hidden"])


@pytest.mark.parametrize("method", ["global", "uniform"])
def test_a_target_out_of_reach_says_how_far_it_gets(method):
    with pytest.raises(
        KerasCompressError, match=r"macs to .* which can fall from .* to .*Left out"
    ):
        prune(wide(), 0.05, method=method, veto="first")


def test_scores_that_are_not_numbers_are_refused():
    model = wide()
    kernel = keras.ops.convert_to_numpy(model.get_layer("second").kernel).copy()
    kernel[0, 0, 0, 3] = np.nan
    model.get_layer("second").kernel.assign(kernel)
    with pytest.raises(KerasCompressError, match=r"'second', .* NaN or infinite"):
        prune(model)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (np.zeros((4, 5, 6, 1)), None),
        (np.zeros((4, 6, 6)), None),
        (np.zeros((0, 6, 6, 1)), None),
        (np.zeros((4, 6, 6, 1)), np.zeros(3)),
        ([np.zeros((4, 6, 6, 1))] * 2, None),
    ],
)
def test_data_that_do_not_fit_are_refused(x, y):
    with pytest.raises(KerasCompressError, match=r"`x` must be arrays of samples.*\(6, 6, 1\)"):
        prune(wide(), x=x, y=y)


@pytest.mark.parametrize("bad", [0.0, 1.0, 1.5, -1, 0, True, "half"])
def test_targets_are_checked(bad):
    with pytest.raises(KerasCompressError, match="a share of the model's as a float between 0 and"):
        prune(wide(), bad)
    with pytest.raises(KerasCompressError, match="Received: no limit"):
        Target()


def test_other_arguments_are_checked():
    with pytest.raises(KerasCompressError, match="one of 'global', 'uniform'"):
        prune(wide(), method="best")
    with pytest.raises(KerasCompressError, match="`verify=True` needs samples"):
        prune(wide(), verify=True)
    with pytest.raises(KerasCompressError, match="a subclassed Subclassed"):
        prune(subclassed())
