"""`keras-compress export` from the outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from keras_compress.cli.main import main
from keras_compress.errors import KerasCompressError
from keras_compress.exporter.loading_samples import load_samples
from tests.exporter import models


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    model = models.share_values(models.normalized())
    model.save(folder / "model.keras")
    np.savez(folder / "data.npz", x_train=models.samples(8), y_train=np.zeros(8))
    return folder


def run(*arguments):
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.run(
        [sys.executable, "-m", "keras_compress", "export", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=180,
        env=environment,
    )


def test_int8_with_data(saved, tmp_path):
    done = run(
        saved / "model.keras", "--out", tmp_path, "--precision", "int8",
        "--data", saved / "data.npz", "--layers",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for word in ("model.kcz", "Same top 1", "conv/kernel", "per channel", "fold_batch_norm=False"):
        assert word in done.stdout
    assert done.stderr == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "model.kcz", "model.tflite", "report.html", "report.json",
    ]  # fmt: skip


def run_here(*arguments):
    """The exit code; `run` is for what goes by Python's streams, as TensorFlow's own words do."""
    return main(["export", *map(str, arguments)])


def test_json_is_alone_on_stdout(saved, tmp_path, capfd):
    code = run_here(
        saved / "model.keras", "--out", tmp_path, "--precision", "int8",
        "--data", saved / "data.npz", "--samples", "4", "--json", "--no-fold-batch-norm",
        "--per-tensor",
    )  # fmt: skip
    printed = capfd.readouterr()
    assert code == 0, printed.err
    result = json.loads(printed.out)
    assert result["verification"]["samples"] == 4
    assert result["preservation"]["lost"] == []
    assert result["packed_bytes"] == (tmp_path / "model.kcz").stat().st_size


def test_a_missing_file_is_one_line(tmp_path, capsys):
    assert run_here(tmp_path / "none.keras", "--out", tmp_path / "out") == 1
    error = capsys.readouterr().err
    assert len(error.strip().splitlines()) == 1 and "isn't there" in error
    assert not (tmp_path / "out").exists()


def test_failed_checks_exit_with_1(saved, tmp_path):
    done = run(saved / "model.keras", "--out", tmp_path / "out", "--tolerance", "0")
    assert done.returncode == 1 and "tolerance" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_samples(saved, tmp_path):
    model = models.branched()
    image, extra = models.samples(5), models.samples(5, (4,))
    np.savez(tmp_path / "two.npz", image=image, extra=extra)
    chosen = load_samples(tmp_path / "two.npz", model, limit=3)
    assert chosen["image"].shape[0] == chosen["extra"].shape[0] == 3
    with pytest.raises(KerasCompressError, match="image, extra"):
        load_samples(saved / "data.npz", model, limit=3)
    single = load_samples(saved / "data.npz", models.normalized(), limit=100)
    assert single.shape == (8, *models.SHAPE)
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 broken")
    np.savez(tmp_path / "objects.npz", x=np.array([{}], dtype=object), allow_pickle=True)
    for name in ("bad.npz", "objects.npz", "missing.npz"):
        with pytest.raises(KerasCompressError):
            load_samples(tmp_path / name, models.normalized(), limit=3)
