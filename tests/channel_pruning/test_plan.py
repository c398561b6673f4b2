"""A plan is a file: saved, read, edited, applied, and refused for what it isn't for."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
from keras import layers

from keras_compress import KerasCompressError
from keras_compress.channel_pruning import ChannelPlan, find_groups
from tests.channel_pruning.nets import behind, image

# Analysis of the graph: nothing is computed.
pytestmark = pytest.mark.backend_independent


def net(width: int = 8, name: str = "net") -> keras.Model:
    inputs = image()
    x = layers.Conv2D(width, 3, name="first")(inputs)
    x = layers.Conv2D(6, 3, name="second")(x)
    model = behind(inputs, x)
    return keras.Model(model.input, model.output, name=name)


@pytest.fixture
def plan():
    return ChannelPlan.of(find_groups(net()), {"first": [0, 3, 7], "second": [5, 1]})


def test_a_plan_goes_through_a_file(plan, tmp_path):
    path = tmp_path / "plan.json"
    plan.save(path)
    assert ChannelPlan.load(path) == plan
    assert plan.kept == {"first": (0, 3, 7), "second": (1, 5)}
    assert plan.removed == 5 + 4


def test_an_edited_plan_is_applied(plan, tmp_path):
    path = tmp_path / "plan.json"
    plan.save(path)
    record = json.loads(path.read_text())
    record["groups"]["first"]["kept"] = [6, 2]
    del record["groups"]["second"]
    path.write_text(json.dumps(record))
    model = net()
    small = ChannelPlan.load(path).apply(model)
    kernel = keras.ops.convert_to_numpy(model.get_layer("first").kernel)
    assert np.array_equal(small.get_layer("first").kernel, kernel[..., [2, 6]])
    assert small.get_layer("second").filters == 6


def test_a_plan_is_for_any_weights_of_its_architecture(plan):
    assert plan.apply(net(name="another")).get_layer("first").filters == 3


def test_a_plan_of_another_model_is_refused(plan):
    with pytest.raises(KerasCompressError, match="'first' with 8 channels, here 9"):
        plan.apply(net(9))
    inputs = image()
    with pytest.raises(KerasCompressError, match="'first' with 8 channels, not here"):
        plan.apply(behind(inputs, layers.Conv2D(8, 3, name="other")(inputs)))


def test_a_plan_cuts_what_was_not_left_out():
    groups = find_groups(net()).restrict(veto="second")
    with pytest.raises(KerasCompressError, match="Received: 'first'; the groups are: none"):
        ChannelPlan.of(groups, {"first": [0]})


@pytest.mark.parametrize("kept", [[0, 0], [8], [-1], [True, False], [0.5]])
def test_indices_are_checked(kept):
    with pytest.raises(KerasCompressError, match="different indices from 0 to 7, or 8 bools"):
        ChannelPlan.of(find_groups(net()), {"first": kept})


def test_a_layer_keeps_a_channel():
    with pytest.raises(KerasCompressError, match="must keep a channel"):
        ChannelPlan.of(find_groups(net()), {"first": []})


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"format": "x"}, "its format isn't"),
        ({"version": 2}, "of version 2"),
        ({"fingerprint": 3}, "no fingerprint"),
        ({"groups": []}, "no groups"),
        ({"groups": {"first": 3}}, "is no object"),
        ({"groups": {"first": {"channels": 8}}}, "no list of kept"),
        ({"groups": {"first": {"channels": "8", "kept": [1]}}}, "no number of channels"),
        ({"groups": {"first": {"channels": 8, "kept": [8]}}}, "keeps what isn't"),
        ({"groups": {"first": {"channels": 8, "kept": [1, 1]}}}, "keeps what isn't"),
        ({"groups": {"first": {"channels": 8, "kept": [True]}}}, "keeps what isn't"),
        ({"groups": {"first": {"channels": 8, "kept": [[]]}}}, "keeps what isn't"),
        ({"groups": {"first": {"channels": 8, "kept": []}}}, "keeps no channel"),
    ],
)
def test_a_damaged_plan_is_refused(plan, tmp_path, change, why):
    path = tmp_path / "plan.json"
    plan.save(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(KerasCompressError, match=why):
        ChannelPlan.load(path)


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"[" * 100_000, b"[1]", b"{", b"NaN"])
def test_what_is_no_plan_is_refused(tmp_path, data):
    path = tmp_path / "plan.json"
    path.write_bytes(data)
    with pytest.raises(KerasCompressError, match=r"a file that `ChannelPlan\.save` wrote"):
        ChannelPlan.load(path)


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    path = tmp_path / "plan.json"
    with path.open("wb") as file:
        file.truncate(2**27)
    with pytest.raises(KerasCompressError, match="may hold at most"):
        ChannelPlan.load(path)


def test_samples_that_do_not_fit_are_refused(plan):
    with pytest.raises(KerasCompressError, match=r"Samples must fit.*12, 12, 3.*\(2, 5\)"):
        plan.apply(net(), verify=np.zeros((2, 5), "float32"))


def test_results_that_are_not_finite_are_refused(plan):
    with pytest.raises(KerasCompressError, match="NaN or infinity"):
        plan.apply(net(), verify=np.full((2, 12, 12, 3), np.nan, "float32"))
