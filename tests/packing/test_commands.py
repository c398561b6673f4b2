"""`pack`, `unpack` and `inspect` from the command line."""

from __future__ import annotations

import argparse
import json

import pytest

from keras_compress.cli import inspect_command, pack_command, unpack_command
from keras_compress.errors import KerasCompressError, ModelFileError, PackedFileError
from tests.packing.tflite_models import build_model, clustered, every_kind


def run(*argv: object) -> int:
    parser = argparse.ArgumentParser()
    subparsers = parser.add_subparsers()
    for command in (pack_command, unpack_command, inspect_command):
        command.register(subparsers)
    args = parser.parse_args([str(a) for a in argv])
    return args.run(args)


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "net.tflite"
    path.write_bytes(build_model({"w": clustered((30, 40), 9, 0.7)}))
    return path


def test_pack_and_unpack(model, tmp_path, capsys):
    assert run("pack", model) == 0
    packed = tmp_path / "net.kcz"
    assert "times smaller" in capsys.readouterr().out
    assert run("unpack", packed, "-o", tmp_path / "again.tflite") == 0
    assert (tmp_path / "again.tflite").read_bytes() == model.read_bytes()


@pytest.mark.parametrize("codec", ["auto", "fast", "small", "smallest"])
def test_json_is_all_there_is_on_stdout(model, capsys, codec):
    assert run("pack", model, "--codec", codec, "--json") == 0
    sizes = json.loads(capsys.readouterr().out)
    assert sizes["original_size"] == model.stat().st_size > sizes["packed_size"]


def test_what_is_no_model_is_refused_unless_asked_for(tmp_path, model):
    whole = model.read_bytes()
    for data in (b"", b"hello", whole[: len(whole) // 2], whole[:9]):
        path = tmp_path / "bad.tflite"
        path.write_bytes(data)
        with pytest.raises(ModelFileError, match=r"bad\.tflite"):
            run("pack", path)
        assert not (tmp_path / "bad.kcz").exists()
        assert run("pack", path, "--any") == 0
        assert run("unpack", "-f", tmp_path / "bad.kcz", "-o", tmp_path / "back") == 0
        assert (tmp_path / "back").read_bytes() == data
        (tmp_path / "bad.kcz").unlink()


def test_a_damaged_file_leaves_the_old_output(model, tmp_path):
    run("pack", model)
    packed = tmp_path / "net.kcz"
    packed.write_bytes(packed.read_bytes()[:-3])
    old = model.read_bytes()
    with pytest.raises(PackedFileError, match="checksum does not match"):
        run("unpack", "-f", packed)
    assert model.read_bytes() == old


def test_missing_files_and_limits(tmp_path, model):
    with pytest.raises(KerasCompressError, match=r"nowhere\.tflite"):
        run("pack", tmp_path / "nowhere.tflite")
    run("pack", model)
    with pytest.raises(PackedFileError, match="at most 10 bytes"):
        run("unpack", "-f", tmp_path / "net.kcz", "--max-size", 10)


def test_inspect_says_the_same_of_model_and_packed_file(tmp_path, capsys):
    model = tmp_path / "net.tflite"
    model.write_bytes(build_model(every_kind()))
    run("pack", model)
    capsys.readouterr()
    run("inspect", model, "--json")
    of_model = json.loads(capsys.readouterr().out)
    run("inspect", tmp_path / "net.kcz", "--json")
    of_packed = json.loads(capsys.readouterr().out)
    assert of_packed["packed_size"] == of_model["packed_size"]
    for a, b in zip(of_model["tensors"], of_packed["tensors"], strict=True):
        assert a["coder"] == b["coder"] and a["distinct"] == b["distinct"]
        # The coder's own buffering moves a few bytes between neighbours.
        assert (a["packed_bytes"] or 0) == pytest.approx(b["packed_bytes"] or 0, abs=8)
    by_name = {tensor["name"]: tensor for tensor in of_model["tensors"]}
    sparse = by_name["clustered"]
    assert sparse["coder"] in {"symbols", "fast symbols", "gaps"} and sparse["distinct"] == 17
    assert 0.75 < sparse["zeros"] / sparse["count"] < 0.9
    assert sparse["bits_per_weight"] < sparse["entropy"] * 1.2 + 0.3
    assert sum(t["packed_bytes"] or 0 for t in of_model["tensors"]) < of_model["packed_size"]


def test_inspect_table_and_comparison(model, capsys):
    assert run("inspect", model, "--compare") == 0
    out = capsys.readouterr().out
    for word in ("symbols", "gzip -9", "zstd -19", "xz -9e", "brotli -11", "graph and plan"):
        assert word in out


def test_inspect_refuses_what_is_neither(tmp_path):
    path = tmp_path / "text"
    for data in (b"", b"some text", b"\x89KCZ"):
        path.write_bytes(data)
        with pytest.raises((ModelFileError, PackedFileError)):
            run("inspect", path)
