"""Deep Compression as one call: the search, what survives a kill, what is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

from keras_compress.errors import KerasCompressError
from keras_compress.recipes import CompressionTarget, deep_compression
from keras_compress.recipes.compression_target import parse_size
from keras_compress.recipes.compression_trial import CompressionTrial, TrialSettings, run_trial
from keras_compress.recipes.deep_compression import choose
from keras_compress.recipes.image_data import ImageData


@pytest.fixture(scope="module")
def data():
    generator = np.random.default_rng(0)
    y = np.concatenate([np.arange(3), generator.integers(0, 3, 189)]).astype("int32")
    x = generator.normal(0, 0.2, (len(y), 8, 8, 1)).astype("float32")
    for i, label in enumerate(y):
        x[i, 2 * label : 2 * label + 3] += 1.0
    return ImageData("stripes", x[:128], y[:128], x[128:], y[128:])


@pytest.fixture(scope="module")
def model(data):
    import keras

    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(24, activation="relu"),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(3, activation="softmax"),
        ],
        name="stripes",
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(data.x_train, data.y_train, epochs=15, verbose=0)
    return model


SMALL = {"epochs": 3, "batch_size": 16, "learning_rate": 3e-3, "rounds": 2, "trials_per_round": 2}


def test_a_size_is_met_and_the_files_are_left(model, data, tmp_path):
    import keras_compress

    result = deep_compression(
        model, data, CompressionTarget(size="1200B"), folder=tmp_path, **SMALL
    )
    assert result.reached and result.size <= 1200 < result.base_size
    assert result.accuracy > 0.8
    packed = (tmp_path / "model.kcz").read_bytes()
    assert len(packed) == result.size
    assert keras_compress.unpack(packed) == (tmp_path / "model.tflite").read_bytes()
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["settings"]["accuracy"] == result.accuracy
    assert len(result.trials) == 4
    sizes = [trial.size for trial in result.trials]
    assert sizes[0] > sizes[-1]
    # A second call finds everything done.
    started = time.perf_counter()
    again = deep_compression(model, data, CompressionTarget(size="1200B"), folder=tmp_path, **SMALL)
    assert again == result and time.perf_counter() - started < 10
    # Another model's trials are not taken over.
    model.layers[-1].bias.assign_add([0.5, 0.0, 0.0])
    try:
        with pytest.raises(KerasCompressError, match="of others"):
            deep_compression(model, data, CompressionTarget(size=1200), folder=tmp_path, **SMALL)
    finally:
        model.layers[-1].bias.assign_add([-0.5, 0.0, 0.0])


def test_a_size_below_the_graph_stops_early_and_leaves_the_best(model, data, tmp_path):
    result = deep_compression(model, data, CompressionTarget(size=50), folder=tmp_path, **SMALL)
    assert not result.reached and len(result.trials) == 1
    assert f"{result.smallest_size:,}" in result.note
    assert (tmp_path / "model.kcz").stat().st_size == result.size


def trial_folder(folder, model, data):
    from keras_compress.recipes.deep_compression import _open

    _open(folder, model, data, TrialSettings(3, 16, 3e-3, 0))
    return TrialSettings(6, 4, 3e-3, 0)


def test_a_trial_killed_halfway_ends_in_the_same_bytes(model, data, tmp_path):
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
        settings = trial_folder(tmp_path / name, model, data)
    whole = run_trial(str(tmp_path / "whole"), settings, 1e-4)
    code = (
        "from keras_compress.recipes.compression_trial import *; "
        f"run_trial({str(tmp_path / 'killed')!r}, {settings!r}, 1e-4)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    place = tmp_path / "killed" / "trials" / whole["folder"]
    deadline = time.monotonic() + 120
    while not (place / "checkpoint.json").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert (place / "checkpoint.json").exists() and not (place / "model.kcz").exists()
    assert run_trial(str(tmp_path / "killed"), settings, 1e-4) == whole
    packed = [
        (tmp_path / name / "trials" / whole["folder"] / "model.kcz").read_bytes()
        for name in ("whole", "killed")
    ]
    assert packed[0] == packed[1]


def test_a_loss_that_becomes_nan_ends_at_the_last_good_epoch(model, data, tmp_path):
    broken = ImageData(
        "broken", np.where(data.x_train > 1, 1e38, data.x_train), data.y_train, *two(data)
    )
    settings = trial_folder(tmp_path, model, broken)
    trial = run_trial(str(tmp_path), settings, 1e-5)
    assert "NaN" in trial["stopped"] and trial["epochs"] < 6 and trial["size"] > 0


def two(data):
    return data.x_test, data.y_test


def test_choice_follows_the_target():
    trials = [
        CompressionTrial(1e-6, 900, 0.99, 3, "", "a"),
        CompressionTrial(1e-5, 500, 0.98, 3, "", "b"),
        CompressionTrial(1e-4, 300, 0.90, 3, "", "c"),
    ]
    assert choose(trials, CompressionTarget(size=600), 0.99) == (trials[1], True)
    assert choose(trials, CompressionTarget(size=100), 0.99) == (trials[2], False)
    assert choose(trials, CompressionTarget(max_drop=1.0), 0.99) == (trials[1], True)
    assert choose(trials, CompressionTarget(max_drop=0), 0.999) == (trials[0], False)


@pytest.mark.parametrize(
    "text,size", [("30KB", 30000), ("12KiB", 12288), ("1.5kb", 1500), (77, 77), ("4000", 4000)]
)
def test_sizes_are_read(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "-3KB", "3 miles", "1e9", None, True, 0, 2.5])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(KerasCompressError, match="30KB"):
        parse_size(text)


def test_a_target_is_exactly_one_of_two():
    for fields in ({}, {"size": 1, "max_drop": 1.0}, {"max_drop": -1}, {"max_drop": float("nan")}):
        with pytest.raises(KerasCompressError):
            CompressionTarget(**fields)


class Shift(keras.layers.Layer):
    """Not registered, and its configuration forgets what it was told."""

    def __init__(self, by=0.0, **kwargs):
        super().__init__(**kwargs)
        self.by = by

    def call(self, x):
        return x + self.by

    def get_config(self):
        return super().get_config()


@pytest.mark.parametrize("kind", ["lambda", "unregistered", "forgetful"])
def test_a_model_that_its_file_does_not_hold_is_refused_before_the_trials(kind, data, tmp_path):
    odd = keras.layers.Lambda(lambda x: x - 0.5) if kind == "lambda" else Shift(0.5)
    entries = [keras.Input((8, 8, 1)), odd, keras.layers.Flatten()]
    model = keras.Sequential([*entries, keras.layers.Dense(3, activation="softmax")], name="odd")
    known = {"Shift": Shift} if kind == "forgetful" else {}
    words = "computes something else" if known else "can't be loaded"
    with (
        keras.saving.CustomObjectScope(known),
        pytest.raises(KerasCompressError, match=rf"'odd', which {words}.*register_keras"),
    ):
        deep_compression(model, data, CompressionTarget(size=900), folder=tmp_path, **SMALL)
    assert not (tmp_path / "trials").exists() and not (tmp_path / "search.jsonl").exists()
