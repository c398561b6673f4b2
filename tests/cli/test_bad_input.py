"""Bad input on the command line: one line, exit code 1, and what was there stays."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from keras_compress import pack
from keras_compress.cli.main import main
from tests.packing.tflite_models import build_model, every_kind


@pytest.fixture(scope="module")
def model_bytes() -> bytes:
    return build_model(every_kind())


def run(*arguments: object, largest_file: int | None = None) -> subprocess.CompletedProcess[str]:
    def limit():
        if largest_file is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    # A measurement of coverage would write its own file against the limit.
    measured = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE")}
    return subprocess.run(
        [sys.executable, "-P", "-m", "keras_compress", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limit,
        env=measured if largest_file is not None else None,
    )


def assert_refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 1, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("keras-compress: error")]
    assert len(errors) == 1 and "Traceback" not in done.stderr, done.stderr
    for word in words:
        assert word.lower() in errors[0].lower()


@pytest.mark.parametrize("command", ["pack", "inspect", "bench"])
@pytest.mark.parametrize("kind", ["empty", "truncated", "text", "random"])
def test_what_is_no_model_is_refused(command, kind, model_bytes, tmp_path):
    contents = {
        "empty": b"",
        "truncated": model_bytes[: len(model_bytes) // 2],
        "text": b"not a model, however long it is\n" * 40,
        "random": np.random.default_rng(0).bytes(3000),
    }
    path = tmp_path / "model.tflite"
    path.write_bytes(contents[kind])
    target = tmp_path / "model.kcz"
    target.write_bytes(b"what was there")
    force = ["--force"] if command == "pack" else []
    assert_refused(run(command, path, *force), "model.tflite")
    assert target.read_bytes() == b"what was there"


@pytest.mark.parametrize("command", ["unpack", "inspect", "bench"])
def test_a_damaged_packed_file_is_refused(command, model_bytes, tmp_path):
    packed = bytearray(pack(model_bytes))
    packed[len(packed) // 2] ^= 4
    path = tmp_path / "model.kcz"
    path.write_bytes(packed)
    old = tmp_path / "model.tflite"
    old.write_bytes(b"what was there")
    force = ["--force"] if command == "unpack" else []
    assert_refused(run(command, path, *force))
    assert old.read_bytes() == b"what was there"


def test_a_folder_that_cannot_be_written_is_named(model_bytes, tmp_path):
    source = tmp_path / "model.tflite"
    source.write_bytes(model_bytes)
    (tmp_path / "file").write_bytes(b"")
    assert_refused(run("pack", source, "-o", tmp_path / "file" / "out.kcz"), "file")
    assert_refused(run("demo", "--out", tmp_path / "file" / "out"), "file")


def test_a_full_disk_leaves_the_old_file(model_bytes, tmp_path):
    source, packed = tmp_path / "model.tflite", tmp_path / "model.kcz"
    source.write_bytes(model_bytes)
    packed.write_bytes(pack(model_bytes))
    source.write_bytes(b"what was there")
    assert_refused(run("unpack", "-f", packed, "-o", source, largest_file=500), "model.tflite")
    assert source.read_bytes() == b"what was there"
    assert sorted(os.listdir(tmp_path)) == ["model.kcz", "model.tflite"]


def test_data_that_do_not_fit_are_refused(tmp_path):
    x = np.zeros((20, 8, 8), "uint8")
    y = np.arange(20) % 10
    good = {"x_train": x, "y_train": y, "x_test": x, "y_test": y}
    cases = {
        "keys.npz": {"x_train": x},
        "labels.npz": {**good, "y_train": y[:5]},
        "objects.npz": {**good, "x_train": np.array([{}] * 20, dtype=object)},
        "unseen.npz": {**good, "y_test": y + 50},
    }
    for name, arrays in cases.items():
        np.savez(tmp_path / name, **arrays)
        assert_refused(run("demo", "--data", tmp_path / name, "--out", tmp_path / "out"))
    (tmp_path / "text.npz").write_text("no archive")
    assert_refused(run("demo", "--data", tmp_path / "text.npz", "--out", tmp_path / "out"))
    assert not (tmp_path / "out").exists() or not os.listdir(tmp_path / "out")


def test_a_file_that_is_no_keras_model_is_refused(tmp_path, capsys):
    for name, contents in {"a.keras": b"", "b.keras": b"PK\x03\x04 cut short"}.items():
        path = Path(tmp_path / name)
        path.write_bytes(contents)
        # In this process: TensorFlow, which the command imports, takes seconds to start.
        assert main(["export", str(path), "--out", str(tmp_path / "out")]) == 1
        (error,) = capsys.readouterr().err.strip().splitlines()
        assert error.startswith("keras-compress: error")
    assert not (tmp_path / "out" / "model.tflite").exists()
