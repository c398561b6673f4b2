"""`keras-compress demo` on a file of few images: the table, the JSON, the errors."""

from __future__ import annotations

import json

import numpy as np
import pytest

from keras_compress.cli import demo_command
from keras_compress.cli.main import main
from keras_compress.recipes import demo, load_digits
from tests.recipes.test_demo import SETTINGS
from tests.report.sample_report import sample_report


@pytest.fixture
def small_file(tmp_path):
    digits = load_digits()
    np.savez(
        tmp_path / "small.npz",
        x_train=(255 * digits.x_train[:400, ..., 0]).astype(np.uint8),
        y_train=digits.y_train[:400],
        x_test=(255 * digits.x_test[:100, ..., 0]).astype(np.uint8),
        y_test=digits.y_test[:100],
    )
    return tmp_path / "small.npz"


@pytest.fixture
def fast(monkeypatch):
    monkeypatch.setattr(demo, "settings_for", lambda data: SETTINGS)


def test_json_alone_on_stdout_and_four_files(small_file, tmp_path, fast, capfd):
    out = tmp_path / "out"
    arguments = ["demo", "--data", str(small_file), "--out", str(out), "--seed", "7", "--json"]
    assert main(arguments) == 0
    captured = capfd.readouterr()
    report = json.loads(captured.out)
    assert report == json.loads((out / "report.json").read_text())
    assert report["settings"]["seed"] == 7
    assert report["settings"]["held_out_images"] == 100
    assert report["title"] == "digits_cnn on small.npz"
    assert sorted(path.name for path in out.iterdir()) == [
        "model.kcz",
        "model.tflite",
        "report.html",
        "report.json",
    ]
    for stage in ("Train the baseline", "Prune during fit", "Time the models"):
        assert stage in captured.err
    assert "cuda" not in captured.err.lower()


def test_the_table(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    report = sample_report()
    demo_command._print_table(report, ["some/where/report.html"])
    shown = capsys.readouterr().out
    for stage in report["stages"]:
        assert stage["title"] in shown
        assert f"{stage['tflite_bytes']:,}" in shown
        assert f"{stage['packed_bytes']:,}" in shown
        assert f"{100 * stage['accuracy']:.2f}" in shown
    assert "37.7\u00d7" in shown
    assert "some/where/report.html" in shown


@pytest.mark.parametrize("kind", ["missing", "empty", "labels", "folder"])
def test_bad_input_is_one_line_before_any_training(small_file, tmp_path, kind, capsys):
    data, out = small_file, tmp_path / "out"
    if kind == "missing":
        data = tmp_path / "none.npz"
    elif kind == "empty":
        data.write_bytes(b"")
    elif kind == "labels":
        with np.load(data) as arrays:
            np.savez(data, **{**arrays, "y_train": arrays["y_train"] + 5})
    else:
        out.write_text("a file")
    assert main(["demo", "--data", str(data), "--out", str(out)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("keras-compress: error: ")
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("arguments", [["--seed", "-1"], ["--seed", "x"], ["--epochs", "3"]])
def test_wrong_usage(arguments):
    with pytest.raises(SystemExit) as caught:
        main(["demo", *arguments])
    assert caught.value.code == 2
