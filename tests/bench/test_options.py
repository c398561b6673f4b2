"""Patches, shapes and kernels: what `bench` can be told, and what it says of refused models."""

from __future__ import annotations

import json

import numpy as np
import pytest

from keras_compress.bench import bench
from keras_compress.bench import worker as worker_module
from keras_compress.cli.main import main
from keras_compress.errors import KerasCompressError, ModelFileError
from keras_compress.packing import open_packed, pack

QUICK = {"num_runs": 10, "min_secs": 0.02, "warmup_runs": 1}
FLAGS = ["--num-runs", "10", "--min-secs", "0.02", "--warmup-runs", "1"]


@pytest.fixture(scope="module")
def open_files(tmp_path_factory):
    """A model whose height and width are open, one of two inputs, and a patch."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("open")
    kernel = tf.constant(np.random.default_rng(0).normal(size=(3, 3, 3, 4)).astype("float32"))

    def write(name, function, *specs):
        traced = tf.function(function).get_concrete_function(*specs)
        converter = tf.lite.TFLiteConverter.from_concrete_functions([traced])
        (folder / name).write_bytes(converter.convert())

    picture = tf.TensorSpec((1, None, None, 3), name="picture")
    write("open.tflite", lambda picture: tf.nn.conv2d(picture, kernel, 1, "SAME"), picture)
    write(
        "two.tflite",
        lambda picture, other: tf.nn.conv2d(picture + other, kernel, 1, "SAME"),
        picture,
        tf.TensorSpec((1, None, None, 3), name="other"),
    )
    return folder


def ran(path, **arguments):
    return bench([path], **QUICK, **arguments).models[0]


def test_a_shape_is_run_with_and_told(open_files):
    result = bench([open_files / "open.tflite"], **QUICK, input_shapes=[1, 96, 96, 3])
    assert result.to_dict()["settings"]["input_shapes"] == {"": [1, 96, 96, 3]}
    small = ran(open_files / "open.tflite")
    assert result.models[0].median_ms > 5 * small.median_ms
    named = ran(
        open_files / "two.tflite", input_shapes={n: [1, 8, 8, 3] for n in ("picture", "other")}
    )
    assert named.median_ms > 0


@pytest.mark.parametrize(
    ("name", "shapes", "words"),
    [
        ("two.tflite", [1, 8, 8, 3], r"must be named.*picture \[1, -1, -1, 3\].*other"),
        ("open.tflite", {"image": [1, 8, 8, 3]}, r"not 'image'.*picture"),
        ("open.tflite", [8, 8, 3], r"as many sizes.*picture"),
        ("open.tflite", [1, 8, 8, 5], r"open.tflite"),
        ("open.tflite", [1, 0, 8, 3], r"above 0"),
        ("open.tflite", "1,8,8,3", r"`input_shapes`"),
    ],
)
def test_a_shape_that_does_not_fit_is_refused(open_files, name, shapes, words):
    with pytest.raises(KerasCompressError, match=words):
        ran(open_files / name, input_shapes=shapes)


def test_patches_are_unpacked_beside_their_base(tflite_files, tmp_path):
    base, new = tflite_files["small.tflite"], bytearray(tflite_files["small.tflite"].read_bytes())
    with open_packed(pack(bytes(new))) as file:
        weights = max((file.tensor(t.name).tobytes() for t in file.tensors), key=len)
    new[new.index(weights)] ^= 1
    patch = tmp_path / "patch.kcz"
    patch.write_bytes(pack(bytes(new), base=base.read_bytes()))
    timed = bench([patch, tflite_files["small.kcz"]], base=base, **QUICK)
    fields = timed.model("patch.kcz").to_dict()["decode"]
    assert fields["decode_ms"] > 0 and fields["model_bytes"] == len(new)
    assert fields["file_bytes"] == patch.stat().st_size
    with pytest.raises(KerasCompressError, match=r"patch.kcz.*--base"):
        bench(patch, **QUICK)
    with pytest.raises(KerasCompressError, match="Can't read"):
        bench(patch, base=tmp_path / "none.tflite", **QUICK)
    with pytest.raises(KerasCompressError, match="another file"):
        bench(patch, base=tflite_files["large.tflite"], **QUICK)


@pytest.mark.parametrize("asked", ["xnnpack", "none"])
@pytest.mark.parametrize("other_works", [True, False])
def test_the_kernels_that_would_run_a_model_are_named(
    asked, other_works, tflite_files, monkeypatch
):
    path, original = tflite_files["small.tflite"], worker_module.make_interpreter

    def make(runtime, data, *, threads, delegate):
        if delegate == asked or not other_works:
            raise RuntimeError("a delegate that supports static-sized tensors only")
        return original(runtime, data, threads=threads, delegate=delegate)

    monkeypatch.setattr(worker_module, "make_interpreter", make)
    with pytest.raises(ModelFileError) as refused:
        worker_module.Worker().load(
            path=str(path), name="m", packed=False, threads=1, delegate=asked, seed=0
        )
    other = {"xnnpack": "none", "none": "xnnpack"}[asked]
    assert "static-sized" in str(refused.value)
    assert (f"--delegate {other}" in str(refused.value)) == other_works


def test_the_command_takes_shapes_and_a_base(open_files, tflite_files, tmp_path, capsys):
    model = str(open_files / "two.tflite")
    shapes = ["--input-shape", "picture=1,8,8,3", "--input-shape", "other=1,8,8,3"]
    assert main(["bench", model, *FLAGS, *shapes, "--json"]) == 0
    settings = json.loads(capsys.readouterr().out)["settings"]
    assert settings["input_shapes"] == {"picture": [1, 8, 8, 3], "other": [1, 8, 8, 3]}
    base = tflite_files["small.tflite"]
    patch = tmp_path / "patch.kcz"
    patch.write_bytes(pack(base.read_bytes() + b"\0" * 16, base=base.read_bytes()))
    assert main(["bench", str(patch), "--base", str(base), *FLAGS, "--json"]) == 0
    assert main(["bench", str(patch), *FLAGS]) == 1
    assert "--base" in capsys.readouterr().err


def test_a_result_that_is_there_is_replaced_by_force_alone(tflite_files, tmp_path, capsys):
    target = tmp_path / "result.json"
    target.write_text("old")
    command = ["bench", str(tflite_files["small.tflite"]), *FLAGS, "--json", str(target)]
    assert main(command) == 1
    assert "--force" in capsys.readouterr().err and target.read_text() == "old"
    assert main([*command, "-f"]) == 0
    assert json.loads(target.read_text())["schema_version"] == 1
