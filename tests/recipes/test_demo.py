"""The whole way on few images and few epochs: every figure comes from the files written."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

import keras_compress
from keras_compress import recipes
from keras_compress.errors import KerasCompressError
from keras_compress.recipes import ImageData, LayerPlan, Phase
from keras_compress.recipes.accuracy import tflite_accuracy
from keras_compress.recipes.demo import check_folder
from keras_compress.search import Progress

SETTINGS = recipes.DemoSettings(
    architecture="digits_cnn",
    plans=(LayerPlan("conv2", 0.8, 8), LayerPlan("hidden", 0.9, 8)),
    baseline=Phase(4, 2e-3),
    narrowing=Phase(2, 2e-3),
    pruning=Phase(4, 2e-3),
    clustering=Phase(2, 5e-4),
    timed_runs=20,
    timed_seconds=0.0,
)


class Notes(Progress):
    def __init__(self):
        self.stages = []

    def begin(self, stage, steps=None):
        self.stages.append([stage, steps, 0])

    def advance(self, steps=1, detail=""):
        self.stages[-1][2] += steps

    def end(self, summary=""):
        self.stages[-1].append(summary)


@pytest.fixture(scope="module")
def digits():
    return recipes.load_digits()


@pytest.fixture(scope="module")
def notes():
    return Notes()


@pytest.fixture(scope="module")
def result(digits, notes):
    return recipes.run_demo(digits, settings=SETTINGS, seed=3, progress=notes)


def test_report_agrees_with_the_files(result, digits):
    report = result.report
    assert keras_compress.unpack(result.packed) == result.tflite
    compressed = report["compressed"]
    assert compressed["tflite_bytes"] == len(result.tflite)
    assert compressed["packed_bytes"] == len(result.packed)
    assert compressed["accuracy"] == tflite_accuracy(result.tflite, digits.x_test, digits.y_test)
    assert report["packed"]["packed_size"] == len(result.packed)
    assert report["packed"]["original_size"] == len(result.tflite)


def test_both_ends_have_the_four_figures(result):
    for end in ("baseline", "compressed"):
        figures = result.report[end]
        assert 0.8 < figures["accuracy"] <= 1
        assert 0 < figures["packed_bytes"] < figures["tflite_bytes"]
        assert figures["latency_ms"] > 0
    assert result.report["schema_version"] == 1
    assert result.report["duration_s"] > 1


def test_it_is_much_smaller(result):
    stages = {stage["name"]: stage for stage in result.report["stages"]}
    assert list(stages) == ["baseline", "narrow", "pruned", "clustered", "int8"]
    assert [stage["name"] for stage in stages.values() if stage["shipped"]] == [
        result.report["settings"]["choice"]["shipped"]
    ]
    sizes = [stage["packed_bytes"] for stage in stages.values()]
    assert sizes[0] > 2 * sizes[1] > 2 * sizes[2] > 4 * sizes[3]
    assert stages["clustered"]["ratio"] > 40
    assert stages["narrow"]["tflite_bytes"] < 0.5 * stages["baseline"]["tflite_bytes"]
    macs = [result.report["channels"][when]["macs"] for when in ("before", "after")]
    assert macs[1] <= 0.4 * macs[0]
    assert stages["int8"]["tflite_bytes"] < 0.3 * stages["baseline"]["tflite_bytes"]
    assert result.report["bench"]["models"][-1]["name"] == "model.kcz"


def test_layers_are_what_the_plans_say(result):
    kernels = {
        record["name"]: record for record in result.report["layers"] if record["weight"] == "kernel"
    }
    assert kernels["conv2"]["sparsity"] == pytest.approx(0.8, abs=1e-3)
    assert kernels["hidden"]["sparsity"] == pytest.approx(0.9, abs=1e-3)
    assert kernels["conv2"]["distinct_values"] <= 8
    assert kernels["hidden"]["distinct_values"] <= 8
    assert kernels["conv2"]["before"]["distinct_values"] > 1000
    assert kernels["conv1"]["sparsity"] == 0
    assert {action["action"] for action in kernels["hidden"]["actions"]} == {"pruned", "clustered"}
    assert all(action["reason"] for action in kernels["conv1"]["actions"])
    biases = [record for record in result.report["layers"] if record["weight"] == "bias"]
    assert all(a["action"] == "left alone" for bias in biases for a in bias["actions"])
    assert all(bias["actions"] for bias in biases)


def test_shared_values_and_zeros_are_preserved(result):
    for preservation in result.report["preservation"].values():
        assert preservation["lost"] == []
    for verification in result.report["verification"].values():
        assert verification["top1_agreement"] > 0.9


def test_progress_is_told(result, notes):
    assert [stage[0] for stage in notes.stages] == [
        "Train the baseline",
        "Remove channels",
        "Prune during fit",
        "Train shared values",
        "Convert to .tflite",
        "Pack and unpack",
        "Measure accuracy",
        "Time the models",
    ]
    steps = -(-1347 // 32)
    assert [stage[1:3] for stage in notes.stages[:4]] == [[n * steps] * 2 for n in (4, 2, 4, 2)]
    assert "multiply-accumulates" in notes.stages[1][3]
    assert "zeros" in notes.stages[2][3]


def test_four_files_are_written(result, tmp_path):
    paths = result.write(tmp_path / "new" / "folder")
    assert [path.name for path in paths] == [
        "model.tflite",
        "model.kcz",
        "report.json",
        "report.html",
    ]
    assert paths[0].read_bytes() == result.tflite
    assert paths[1].read_bytes() == result.packed
    assert json.loads(paths[2].read_text()) == json.loads(json.dumps(result.report))
    assert keras_compress.report.render(result.report) == paths[3].read_text(encoding="utf-8")


def test_a_full_disk_leaves_the_old_files(result, tmp_path, monkeypatch):
    result.write(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    big = dataclasses.replace(result, tflite=b"other", packed=b"other")

    from keras_compress import report

    def broken(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(report, "render", broken)
    with pytest.raises(OSError, match="No space"):
        big.write(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_an_unwritable_folder_is_told_before_training(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(KerasCompressError, match="output folder must be writable"):
        check_folder(file)
    with pytest.raises(KerasCompressError, match="output folder must be writable"):
        check_folder(file / "below")
    assert check_folder(tmp_path / "a" / "b").is_dir()


def test_a_plan_for_a_layer_the_net_lacks(digits):
    settings = dataclasses.replace(
        SETTINGS, plans=(LayerPlan("nowhere", 0.5, 8),), baseline=Phase(1, 1e-3)
    )
    small = ImageData("few", digits.x_train[:64], digits.y_train[:64], digits.x_test, digits.y_test)
    with pytest.raises(KerasCompressError, match="nowhere"):
        recipes.run_demo(small, settings=settings)


def test_rgb_images_of_any_size_and_two_classes():
    random = np.random.default_rng(0)
    y = (np.arange(160) % 2).astype("int32")
    x = (random.random((160, 13, 10, 3)) * 0.5 + 0.5 * y[:, None, None, None]).astype("float32")
    data = ImageData("made up", x[:120], y[:120], x[120:], y[120:])
    phase = Phase(1, 2e-3)
    settings = dataclasses.replace(
        recipes.settings_for(data),
        baseline=phase,
        narrowing=phase,
        pruning=phase,
        clustering=phase,
        timed_runs=10,
        timed_seconds=0.0,
    )
    report = recipes.run_demo(data, settings=settings).report
    assert report["title"] == "small_cnn on made up"
    assert report["stages"][3]["ratio"] > 3
    assert report["settings"]["image_shape"] == [13, 10, 3]


def test_lossy_packing_would_be_noticed(monkeypatch):
    from keras_compress import packing
    from keras_compress.recipes.demo import _pack

    monkeypatch.setattr(packing, "unpack", lambda data: data)
    with pytest.raises(KerasCompressError, match="same bytes"):
        _pack({"baseline": bytes(100)}, Progress())


def test_int8_is_shipped_unless_it_loses(monkeypatch, digits):
    from keras_compress.recipes import accuracy
    from keras_compress.recipes.demo import _choose

    scores = {b"float": 0.99, b"good": 0.985, b"better": 0.995}
    seen = []

    def score(tflite, images, labels):
        seen.append(images)
        return scores[tflite]

    monkeypatch.setattr(accuracy, "tflite_accuracy", score)
    assert _choose({"clustered": b"float", "int8": b"better"}, digits)[0] == "int8"
    shipped, choice = _choose({"clustered": b"float", "int8": b"good"}, digits)
    assert shipped == choice["shipped"] == "clustered"
    assert all(np.shares_memory(images, digits.x_train) for images in seen)
