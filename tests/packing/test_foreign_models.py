"""Models by other hands: what is in them comes back, and `inspect` says what it is."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from keras_compress import packing
from keras_compress.errors import ModelFileError
from tests.packing.foreign_models import MODELS, Foreign, small_integers, sparse_values
from tests.packing.kcz_writer import Plan, container, varint
from tests.packing.test_commands import run


@pytest.fixture(scope="module")
def models() -> dict[str, bytes]:
    return {name: make() for name, make in MODELS.items()}


@pytest.mark.parametrize("codec", ["auto", "fast", "small", "smallest"])
@pytest.mark.parametrize("name", sorted(MODELS))
def test_foreign_models_come_back(models, name, codec):
    model = models[name]
    packed = packing.pack(model, codec=codec)
    assert packing.unpack(packed) == model
    assert len(packed) < len(model)
    packing.verify(packed)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_tensor_of_a_foreign_model(models, name):
    model = models[name]
    with packing.open_packed(packing.pack(model)) as file:
        listed = packing.inspect(model).tensors
        assert [t.name for t in file.tensors] == [t.name for t in listed]
        for i, tensor in enumerate(file.tensors):
            wanted = model[tensor.offset : tensor.offset + tensor.size]
            assert file.tensor(i).tobytes() == wanted


@pytest.mark.parametrize("name", sorted(MODELS))
def test_patches_between_foreign_models(models, name):
    new = models[name]
    # "every type" is by far the largest: one base tells what it has to.
    bases = (new, models["tied"], new[:-9] + bytes(9))
    for old in bases[2:] if name == "every type" else bases:
        patch = packing.pack(new, base=old)
        assert packing.unpack(patch, base=old) == new
        # The graph is told from the base where it did not change.
        with packing.open_packed(patch, base=old) as file:
            assert len(file.tensors) == len(packing.inspect(new).tensors)


def test_integers_of_less_than_a_byte_are_counted_one_by_one(models):
    tensors = {t.name: t for t in packing.inspect(models["every type"]).tensors}
    for name, (_, bits, values) in small_integers().items():
        seen = tensors[name]
        shares = np.unique(values, return_counts=True)[1] / values.size
        assert (seen.dtype, seen.shape, seen.count) == (name, values.shape, values.size)
        assert seen.size == math.ceil(values.size * bits / 8)
        assert seen.zeros == np.count_nonzero(values == 0)
        assert seen.distinct == len(shares)
        assert seen.entropy == pytest.approx(-(shares * np.log2(shares)).sum(), abs=1e-4)


def test_types_have_names_and_elements(models):
    tensors = {t.name: t for t in packing.inspect(models["every type"]).tensors}
    names = {
        "type 4": "int64", "type 6": "bool", "type 8": "complex64", "type 10": "float64",
        "type 11": "complex128", "type 12": "uint64", "type 13": "resource", "type 14": "variant",
        "type 15": "uint32", "type 16": "uint16", "type 18": "bfloat16",
        "type 21": "float8_e4m3fn", "type 22": "float8_e5m2", "type 77": "type 77",
    }  # fmt: skip
    assert {name: tensors[name].dtype for name in names} == names
    assert tensors["labels"].dtype == "string"
    counted = set(names) - {"type 11", "type 77"}  # whose elements are counted as bytes
    assert {tensors[name].count for name in counted} == {1200}


def test_what_is_not_listed_is_said(models, tmp_path, capsys):
    notes = {name: packing.inspect(model).notes for name, model in models.items()}
    assert notes.pop("sparse")[0].startswith("Sparse tensors: 1. ")
    assert notes.pop("in other files")[0].startswith("Tensors whose data lie in other files: 3. ")
    behind = notes.pop("behind the FlatBuffer")
    assert behind[0].startswith("Operators with options behind the FlatBuffer: 1. ")
    assert set(notes.values()) == {()}
    path = tmp_path / "m.tflite"
    path.write_bytes(models["in other files"])
    run("inspect", path)
    assert "note: Tensors whose data lie in other files: 3." in capsys.readouterr().out


def test_a_sparse_tensor_shows_what_it_keeps(models):
    (seen,) = packing.inspect(models["sparse"]).tensors
    dense = sparse_values()
    assert seen.shape == dense.shape
    assert (seen.count, seen.zeros) == (np.count_nonzero(dense), 0)


def test_one_place_under_two_numbers_is_one_buffer(models):
    seen = {t.name: t for t in packing.inspect(models["behind the FlatBuffer"]).tensors}
    assert set(seen) == {"w", "q", "inside"}
    assert (seen["w"].tensors, seen["w"].dtype, seen["w"].coder) == (2, "float32", "floats")


def test_buffers_that_share_bytes_are_said():
    f = Foreign()
    data = np.arange(600, dtype=np.float32).tobytes()
    for i in range(2):
        f.tensor(f"t{i}", schema.TensorType.FLOAT32, (600,), f.buffer_behind(data))
    apart = f.model.buffers[2]
    f.behind.pop()
    whole = f.finish()
    apart.offset, apart.size = whole.index(data) + 400, 2000
    model = f.finish()
    move = len(model) - len(whole)  # the fields just filled in take room
    apart.offset += move
    model = f.finish()
    seen = packing.inspect(model)
    assert [t.name for t in seen.tensors] == ["t0"]
    assert seen.notes[0].startswith("Buffers that share bytes with another: 1. ")
    assert packing.unpack(packing.pack(model)) == model


@pytest.mark.parametrize("cut", [1, 16, 3000, 5000])
def test_buffers_behind_the_end_of_the_file(models, tmp_path, cut):
    # The FlatBuffer is whole; what it points at isn't there.
    model = models["behind the FlatBuffer"][:-cut]
    source = tmp_path / "cut.tflite"
    source.write_bytes(model)
    for refused in (
        lambda: packing.inspect(source),
        lambda: packing.pack_file(source, tmp_path / "cut.kcz"),
    ):
        with pytest.raises(ModelFileError, match=r"cut\.tflite"):
            refused()
    assert not (tmp_path / "cut.kcz").exists()
    # As bytes, it comes back as anything does.
    assert packing.unpack(packing.pack(model)) == model


@pytest.mark.parametrize(
    ("offset", "size"),
    [(2**31, 2**31), (2**32 - 1, 2), (2**63, 2**63), (2**64 - 1, 2**64 - 1), (2, 2**64 - 2)],
)
def test_buffers_at_the_ends_of_numbers(offset, size):
    f = Foreign()
    f.tensor("w", schema.TensorType.INT8, (5000,), f.buffer(None))
    f.model.buffers[1].offset, f.model.buffers[1].size = offset, size
    builder = flatbuffers.Builder(256)
    builder.Finish(f.model.Pack(builder), b"TFL3")
    model = bytes(builder.Output())
    with pytest.raises(ModelFileError):
        packing.inspect(model)
    assert packing.unpack(packing.pack(model)) == model


_LIMITED = """
import re, resource, sys
from keras_compress import packing
from keras_compress.errors import KerasCompressError
packing.pack(b"warm")
# What libraries reserve beforehand differs from machine to machine.
most = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() + (1 << 29)
resource.setrlimit(resource.RLIMIT_AS, (most, most))
for work in (
    lambda: packing.pack_file(sys.argv[1], sys.argv[2]),
    lambda: packing.pack_file(sys.argv[3], sys.argv[2], base=sys.argv[1]),
    lambda: packing.inspect(sys.argv[1]),
    lambda: packing.unpack(open(sys.argv[4], "rb").read()),
):
    try:
        work()
    except KerasCompressError as error:
        print(error)
# Not ru_maxrss: that is also of the process that started this one.
print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits are Linux's")
def test_a_model_larger_than_memory_is_one_clear_error(models, tmp_path):
    # Three gigabytes on paper: the file is sparse and takes a few blocks.
    large, small = tmp_path / "large.tflite", tmp_path / "small.tflite"
    size = 3 << 30
    f = Foreign()
    f.tensor("w", schema.TensorType.INT8, (1 << 15, 1 << 16), f.buffer(None))
    f.model.buffers[1].offset, f.model.buffers[1].size = size - (1 << 31), 1 << 31
    builder = flatbuffers.Builder(256)
    builder.Finish(f.model.Pack(builder), b"TFL3")
    with large.open("wb") as file:
        file.write(builder.Output())
        file.truncate(size)
    small.write_bytes(models["tied"])
    target, bomb = tmp_path / "large.kcz", tmp_path / "bomb.kcz"
    plan = Plan().record(0, 2 << 30, 1, 65).encode()  # two gigabytes of one letter
    bomb.write_bytes(
        container([b"\0" + varint(len(plan)) + b"\0" + plan],
                  original_size=2 << 30, form=1)
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-P", "-c", _LIMITED, large, target, small, bomb],
        capture_output=True, text=True,
        env={"PYTHONPATH": str(Path(packing.__file__).parents[2])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 5
    assert all(f"large.tflite with {size} bytes" in line for line in lines[:3])
    assert f"a declared size of {2 << 30} bytes" in lines[3]
    assert not target.exists()
    assert int(lines[4]) < 1 << 20


def test_equal_buffers_longer_than_a_byte_model_may_be():
    # Copies keep a buffer whole, and so long a one has to do without the model that its type has.
    values = np.resize(np.arange(5), (1 << 23) + 1)
    data = values.astype("<i8").tobytes()
    f = Foreign()
    for i in range(2):  # equal ones would be written once: the second is made so afterwards
        f.tensor(
            f"t{i}", schema.TensorType.INT64, values.shape, f.buffer_behind(bytes([i]) + data[1:])
        )
    model = bytearray(f.finish())
    model[f.model.buffers[2].offset] = data[0]
    assert model.endswith(data)
    packed = packing.pack(bytes(model), codec="smallest")
    assert len(packed) < 0.08 * len(model)
    assert packing.unpack(packed) == model
