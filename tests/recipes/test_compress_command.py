"""`keras-compress compress`: files, exit codes, JSON and what is refused, on a tiny net."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_compress
from keras_compress.cli.main import main

QUICK = ["--epochs", "1", "--batch-size", "16", "--rounds", "1", "--trials", "2"]
QUICK += ["--learning-rate", "0.003"]
FILES = {"model.tflite", "model.kcz", "model.keras", "report.json", "report.html"}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with a trained `m.keras` and its `d.npz`, which nobody else may read."""
    folder = tmp_path_factory.mktemp("compress")
    generator = np.random.default_rng(0)
    y = np.concatenate([np.arange(2), generator.integers(0, 2, 94)])
    x = generator.integers(0, 60, (96, 6, 6))
    x[y == 1, 2:5] += 150
    arrays = {"x_train": x[:64], "y_train": y[:64], "x_test": x[64:], "y_test": y[64:]}
    np.savez(folder / "d.npz", **{k: v.astype("uint8") for k, v in arrays.items()})
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(16, activation="relu"),
            keras.layers.Dense(2, activation="softmax"),
        ],
        name="tiny",
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(arrays["x_train"][..., None] / 255, arrays["y_train"], epochs=40, verbose=0)
    model.save(folder / "m.keras")
    for name in ("m.keras", "d.npz"):
        (folder / name).chmod(0o600)
    return folder


def compress(folder: Path, *arguments: str, out: str = "out") -> int:
    common = [str(folder / "m.keras"), "--data", str(folder / "d.npz"), "--out", str(folder / out)]
    return main(["compress", *common, *QUICK, *arguments])


@pytest.fixture(scope="module")
def met(made) -> Path:
    """What a run with a size within reach leaves."""
    assert compress(made, "--target-size", "30KB") == 0
    return made / "out"


def test_the_files_belong_together(met):
    assert set(os.listdir(met)) >= FILES
    packed, tflite = (met / "model.kcz").read_bytes(), (met / "model.tflite").read_bytes()
    assert keras_compress.unpack(packed) == tflite
    report = json.loads((met / "report.json").read_text())
    assert report["title"] == "tiny, compressed"
    assert report["compressed"]["packed_bytes"] == len(packed) <= 30_000
    assert report["settings"]["epochs"] == 1 and report["settings"]["trials"] == 2
    assert "tiny, compressed" in (met / "report.html").read_text()
    model = keras.models.load_model(met / "model.keras")
    x = np.random.default_rng(1).random((4, 6, 6, 1), dtype="float32")
    assert np.asarray(model(x)).shape == (4, 2)
    assert not [p for p in met.rglob("*") if "partial" in p.name or p.name.endswith(".tmp")]


def test_a_private_model_and_private_data_stay_private(met):
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in met.rglob("*") if p.is_file()}
    gives_away = {n for n in modes if n.endswith((".npy", ".keras", ".tflite", ".kcz", ".html"))}
    assert len(gives_away) > 8
    assert {modes[name] & 0o077 for name in (*gives_away, "report.json")} == {0}


def test_the_same_command_finds_everything_done_and_prints_json(met, made, capsys):
    assert compress(made, "--target-size", "30KB", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["reached"] and result["target"] == {"size": 30_000, "max_drop": None}
    assert result["size"] == (met / "model.kcz").stat().st_size < result["base_size"]
    assert result["packed"] == str(met / "model.kcz")
    assert len(result["trials"]) == 2 and {t["epochs"] for t in result["trials"]} == {1}
    assert result["trials"][0]["rate_weight"] < result["trials"][1]["rate_weight"]
    assert json.loads((met / "compression.json").read_text()) == result


def test_the_table_names_what_is_shipped(met, made, capsys):
    assert compress(made, "--target-size", "30KB") == 0
    shown = capsys.readouterr().out
    assert "shipped" in shown and "before" in shown
    assert shown.splitlines()[-1] == str(met / "model.kcz")


def test_an_accuracy_is_a_target_too(met, made, capsys):
    assert compress(made, "--max-drop", "50", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    # The trials of the size's search serve for it, and the smallest of them is taken.
    assert result["reached"] and result["size"] == min(t["size"] for t in result["trials"])


def test_a_target_out_of_reach_is_exit_code_1_and_leaves_the_nearest(made, capsys):
    assert compress(made, "--target-size", "40", out="never") == 1
    captured = capsys.readouterr()
    assert "can't be reached" in captured.out and "error" not in captured.err
    assert set(os.listdir(made / "never")) >= FILES


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--target-size"),
        (["--target-size", "1KB", "--max-drop", "1"], "not allowed with"),
        (["--target-size", "-3"], "--target-size"),
        (["--target-size", "many"], "such as 30KB"),
        (["--max-drop", "-1"], "at least 0"),
        (["--max-drop", "101"], "at most 100"),
        (["--max-drop", "nan"], "--max-drop"),
        (["--target-size", "1KB", "--epochs", "0"], "at least 1"),
        (["--target-size", "1KB", "--batch-size", "0"], "at least 1"),
        (["--target-size", "1KB", "--rounds", "-2"], "at least 1"),
        (["--target-size", "1KB", "--trials", "1"], "at least 2"),
        (["--target-size", "1KB", "--workers", "0"], "at least 1"),
        (["--target-size", "1KB", "--seed", "4294967296"], "at most 4294967295"),
        (["--target-size", "1KB", "--learning-rate", "0"], "above 0"),
        (["--target-size", "1KB", "--learning-rate", "inf"], "finite"),
    ],
)
def test_wrong_usage_is_exit_code_2(made, arguments, words, capsys):
    with pytest.raises(SystemExit) as done:
        main(["compress", str(made / "m.keras"), "--data", str(made / "d.npz"), *arguments])
    assert done.value.code == 2 and words in capsys.readouterr().err


@pytest.mark.parametrize("which", ["model", "model_missing", "data", "data_missing", "others"])
def test_bad_input_is_one_line_and_exit_code_1(which, made, met, tmp_path, capsys):
    model, data, out = made / "m.keras", made / "d.npz", tmp_path / "out"
    broken = tmp_path / "broken"
    broken.write_bytes(b"neither a model nor data")
    words = {
        "model": "model",
        "model_missing": "nothing.keras",
        "data": "broken",
        "data_missing": "nothing.npz",
        "others": "of others",
    }[which]
    if which.startswith("model"):
        model = broken if which == "model" else tmp_path / "nothing.keras"
    if which.startswith("data"):
        data = broken if which == "data" else tmp_path / "nothing.npz"
    if which == "others":
        # The folder of a search with other settings.
        out = met
    command = ["compress", str(model), "--data", str(data), "--out", str(out)]
    before = sorted(met.iterdir())
    assert main([*command, "--target-size", "1KB", *QUICK, "--epochs", "5"]) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and words in captured.err
    assert captured.err.startswith("keras-compress: error: ") and captured.err.count("\n") == 1
    assert sorted(met.iterdir()) == before
    assert which == "others" or not out.exists()
