"""`prune_channels`: recipe and command, on a small net of digits."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest

from keras_compress.channel_pruning import ChannelPlan
from keras_compress.cli.main import main
from keras_compress.errors import KerasCompressError
from keras_compress.recipes import ImageData, SmallerNetTarget, load_digits, prune_channels

FILES = {
    "channels.json",
    "model.kcz",
    "model.keras",
    "model.tflite",
    "pruning.json",
    "report.html",
    "report.json",
}


@pytest.fixture(scope="module")
def digits():
    return load_digits()


@pytest.fixture(scope="module")
def few(digits):
    """Some of the images, where the training itself isn't looked at."""
    names = ("x_train", "y_train", "x_test", "y_test")
    return ImageData("few", *(getattr(digits, name)[:200] for name in names))


@pytest.fixture
def rounds(monkeypatch):
    """Sets how often the search tries."""

    def set_rounds(count):
        monkeypatch.setattr("keras_compress.recipes.smaller_net._ROUNDS", count)

    return set_rounds


@pytest.fixture(scope="module")
def trained(digits):
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(32, 3, use_bias=False, name="first"),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2D(32, 3, activation="relu", name="second"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(10, activation="softmax", name="scores"),
        ],
        name="digits",
    )
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    model.fit(digits.x_train, digits.y_train, epochs=12, batch_size=64, verbose=0)
    return model


@pytest.fixture(scope="module")
def halved(digits, trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("halved")
    before = trained.get_weights()
    target = SmallerNetTarget(macs=0.4, max_drop=5.0)
    result = prune_channels(trained, digits, target, folder=folder, epochs=6, batch_size=64)
    assert all(map(np.array_equal, before, trained.get_weights()))
    return folder, result


def test_a_net_of_fewer_channels(halved, digits, trained):
    folder, result = halved
    assert result.reached and not result.note
    assert result.after["macs"] <= 0.4 * result.before["macs"]
    widths = [result.model.get_layer(name).filters for name in ("first", "second")]
    assert all(width % 8 == 0 for width in widths) and sum(widths) < 64
    assert {path.name for path in folder.iterdir()} == FILES
    # What is said of accuracy and bytes is so.
    scores = result.model.predict(digits.x_test, verbose=0)
    accuracy = (scores.argmax(-1) == digits.y_test).mean()
    assert abs(accuracy - result.after["accuracy"]) <= 2 / len(digits.y_test)
    assert result.after["accuracy"] > 0.85
    assert (folder / "model.tflite").stat().st_size == result.after["tflite_bytes"]
    again = keras.models.load_model(folder / "model.keras")
    np.testing.assert_allclose(again.predict(digits.x_test, verbose=0), scores, atol=1e-6)
    # The plan that is kept gives the same widths.
    small = ChannelPlan.load(folder / "channels.json").apply(trained)
    assert [w.shape for w in small.get_weights()] == [w.shape for w in result.model.get_weights()]
    report = json.loads((folder / "report.json").read_text())
    assert report["settings"]["macs_after"] > 0
    assert any(bar["kept"] < bar["before"] for bar in report["channel_groups"])
    assert report["baseline"]["latency_ms"] > 0


def test_down_to_an_accuracy(few, trained, tmp_path, rounds):
    rounds(2)
    target = SmallerNetTarget(max_drop=100.0)
    result = prune_channels(trained, few, target, folder=tmp_path, epochs=1, criterion="l1")
    # Any loss is allowed: each trial goes on to fewer channels.
    assert result.reached
    assert result.after["macs"] < 0.15 * result.before["macs"]


def test_an_accuracy_that_no_cut_keeps(few, trained, tmp_path, rounds):
    rounds(1)
    result = prune_channels(
        trained,
        few,
        SmallerNetTarget(max_drop=0.0),
        folder=tmp_path,
        epochs=1,
        learning_rate=1e-9,
        criterion="random",
    )
    assert not result.reached and "0 points" in result.note


def test_down_to_a_latency(few, trained, tmp_path, monkeypatch, rounds):
    from keras_compress.recipes import smaller_net

    # A clock that follows the size of the file, so that the test doesn't depend on the machine.
    def ratio(full, small):
        return len(small) / len(full)

    monkeypatch.setattr(smaller_net, "_latency_ratio", ratio)
    monkeypatch.setattr(smaller_net, "met", lambda *_: (True, ""))
    target = SmallerNetTarget(latency=0.5)
    rounds(3)
    result = prune_channels(trained, few, target, folder=tmp_path / "a", epochs=1, criterion="l1")
    assert 0.25 < result.after["tflite_bytes"] / result.before["tflite_bytes"] <= 0.5
    never = SmallerNetTarget(latency=0.01)
    rounds(1)
    result = prune_channels(trained, few, never, folder=tmp_path / "b", epochs=1, criterion="l1")
    assert not result.reached and "can't be brought to 0.01" in result.note


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"macs": 0.5, "latency": 0.5},
        {"macs": 1.5},
        {"parameters": 0},
        {"latency": True},
        {"max_drop": -1},
    ],
)
def test_targets_that_are_none(arguments):
    with pytest.raises(KerasCompressError):
        SmallerNetTarget(**arguments)


def test_arguments_that_dont_fit(digits, trained, tmp_path):
    target = SmallerNetTarget(macs=0.5)
    with pytest.raises(KerasCompressError, match="`epochs`"):
        prune_channels(trained, digits, target, folder=tmp_path, epochs=0)
    with pytest.raises(KerasCompressError, match="in reach"):
        tiny = SmallerNetTarget(macs=0.0001)
        prune_channels(trained, digits, tiny, folder=tmp_path, epochs=1)


def test_the_command(digits, trained, tmp_path, capsys):
    trained.save(tmp_path / "m.keras")
    arrays = {n: getattr(digits, n)[:200] for n in ("x_train", "y_train", "x_test", "y_test")}
    np.savez(tmp_path / "d.npz", **arrays)
    common = ["prune-channels", str(tmp_path / "m.keras"), "--data", str(tmp_path / "d.npz")]
    out = ["--out", str(tmp_path / "out"), "--epochs", "1"]
    assert main([*common, *out, "--target-macs", "0.5x", "--criterion", "l1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["after"]["macs"] <= 0.5 * found["before"]["macs"]
    assert found["reached"] is True
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    for wrong in (
        [],
        ["--target-macs", "2x"],
        ["--target-macs", "0.5x", "--target-latency", "0.5"],
    ):
        with pytest.raises(SystemExit) as exit_:
            main([*common, *wrong])
        assert exit_.value.code == 2
