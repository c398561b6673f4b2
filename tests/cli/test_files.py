"""Inputs and outputs of the commands: several files, pipes, what may be replaced, Ctrl-C."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from keras_compress import pack, packing, unpack
from keras_compress.cli.main import main
from tests.packing.tflite_models import build_model, clustered

_ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(packing.__file__).parents[2])}


@pytest.fixture(scope="module")
def model() -> bytes:
    return build_model({"w": clustered((30, 40), 9, 0.7)})


@pytest.fixture
def files(model, tmp_path, monkeypatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    for name in ("a.tflite", "b.tflite"):
        Path(name).write_bytes(model)
    return ["a.tflite", "b.tflite"]


class _Pipe(io.TextIOWrapper):
    """A standard stream over bytes; stays readable once closed."""

    def __init__(self, data: bytes = b"") -> None:
        file = open(os.memfd_create("stream"), "w+b")  # noqa: SIM115
        file.write(data)
        file.seek(0)
        super().__init__(file, encoding="ascii")


def test_several_files_and_a_folder_for_them(files, model, capsys):
    assert main(["pack", *files, "--out-dir", "packed", "--json"]) == 0
    assert [each["target"] for each in json.loads(capsys.readouterr().out)] == [
        "packed/a.kcz",
        "packed/b.kcz",
    ]
    assert main(["unpack", "packed/a.kcz", "packed/b.kcz"]) == 0
    assert Path("packed/b.tflite").read_bytes() == model
    assert main(["unpack", "--check", "packed/a.kcz", "packed/b.kcz"]) == 0


def test_one_bad_file_does_not_keep_the_others(files, capsys):
    Path("a.tflite").write_bytes(b"none")
    assert main(["pack", *files]) == 1
    assert "a.tflite" in capsys.readouterr().err
    assert Path("b.kcz").exists() and not Path("a.kcz").exists()


def test_what_is_there_is_replaced_by_force_alone(files, capsys):
    Path("a.kcz").write_bytes(b"old")
    assert main(["pack", "a.tflite"]) == 1
    assert "--force" in capsys.readouterr().err and Path("a.kcz").read_bytes() == b"old"
    assert main(["pack", "-f", "a.tflite"]) == 0
    assert main(["pack", "-f", "a.tflite", "-o", "./a.tflite"]) == 1
    assert "one file" in capsys.readouterr().err


def test_standard_input_and_output(model, monkeypatch):
    for command, data, check in (("pack", model, unpack), ("unpack", pack(model), bytes)):
        out, wanted = _Pipe(), model
        monkeypatch.setattr(sys, "stdin", _Pipe(data))
        monkeypatch.setattr(sys, "stdout", out)
        assert main([command, "-"]) == 0
        out.seek(0)
        assert check(out.buffer.read()) == wanted


def test_inspect_reads_standard_input_and_patches(files, model, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", _Pipe(pack(model)))
    assert main(["inspect", "-", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["original_size"] == len(model)
    old = build_model({"w": clustered((30, 40), 9, 0.6)})
    Path("old.tflite").write_bytes(old)
    Path("patch.kcz").write_bytes(pack(model, base=old))
    assert main(["inspect", "patch.kcz", "--base", "old.tflite"]) == 0
    assert main(["inspect", "patch.kcz"]) == 1
    assert "--base" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        "pack a.tflite b.tflite -o x.kcz",
        "pack a.tflite b.tflite -o -",
        "pack a.tflite -o x --out-dir y",
        "pack a.tflite ./a.tflite",
        "pack - -",
        "unpack a.kcz --max-size -1",
        "unpack a.kcz --threads 0",
        "unpack - --out-dir y",
    ],
)
def test_wrong_usage_is_exit_code_2(arguments, files):
    with pytest.raises(SystemExit) as done:
        main(arguments.split())
    assert done.value.code == 2
    assert sorted(os.listdir(".")) == files


@pytest.mark.parametrize("encoding", ["ascii:strict", "cp437:strict", "utf-8:strict"])
def test_a_terminal_of_any_encoding(encoding, tmp_path):
    name = os.fsdecode(b"gr\xc3\xbc\xc3\x9fe\xff.tflite")
    tensor = {"ein sehr langer Name eines Tensors mit Umlauten äöü": clustered((30, 40), 9, 0.7)}
    (tmp_path / name).write_bytes(build_model(tensor))
    for command in (["inspect", name], ["pack", name], ["inspect", name, "--json"]):
        done = subprocess.run(
            [sys.executable, "-P", "-m", "keras_compress", *command],
            cwd=tmp_path, capture_output=True, check=False,
            env={**_ENVIRONMENT, "PYTHONIOENCODING": encoding, "LC_ALL": "C.UTF-8"},
        )  # fmt: skip
        assert done.returncode == 0 and done.stderr == b"", done.stderr


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_ctrl_c_is_exit_code_130_and_leaves_nothing(tmp_path):
    model = build_model({"f": np.random.default_rng(0).normal(size=(900, 900)).astype("f4")})
    (tmp_path / "m.tflite").write_bytes(model)
    command = [sys.executable, "-P", "-m", "keras_compress", "pack", "m.tflite",
               "--codec", "smallest"]  # fmt: skip
    with subprocess.Popen(
        command, cwd=tmp_path, env=_ENVIRONMENT, stderr=subprocess.PIPE, text=True
    ) as process:
        time.sleep(0.6)
        process.send_signal(signal.SIGINT)
        said = process.communicate()[1]
    assert process.returncode == 130, said
    assert "Traceback" not in said and os.listdir(tmp_path) == ["m.tflite"]
