"""The format's description holds: a second reader, written from it, agrees."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keras_compress import packing
from keras_compress.packing import native, native_structures
from tests.packing import slow_reader
from tests.packing.kcz_writer import ArithmeticEncoder, Plan, varint, write_kcz
from tests.packing.slow_byte_model import ByteModel
from tests.packing.tflite_models import build_model, clustered, every_kind

_GOLDEN = Path(__file__).with_name("golden")
# Some take the better part of a minute in plain Python.
_SLOW = {"kinds_smallest.kcz"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(path.name, marks=[pytest.mark.slow] if path.name in _SLOW else [])
        for path in sorted(_GOLDEN.glob("*.kcz"))
        if path.name != "patch.kcz"
    ],
)
def test_golden_files(name):
    data = (_GOLDEN / name).read_bytes()
    assert slow_reader.unpack(data) == packing.unpack(data)


@pytest.mark.slow
def test_golden_patch():
    base = packing.unpack((_GOLDEN / "kinds_smallest.kcz").read_bytes())
    patch = (_GOLDEN / "patch.kcz").read_bytes()
    assert slow_reader.unpack(patch, base) == packing.unpack(patch, base=base)
    with pytest.raises(AssertionError):
        slow_reader.unpack(patch, base[:-1] + b"?")


def test_a_patch_of_every_kind():
    # Names of the shortest sample, which is learned bit by bit here: a long one takes a minute.
    net, rng, shape = "lenet_300_100_1", np.random.default_rng(4), (4, 3, 3, 3)
    names = {
        "float32": f"{net}/ip2_1/MatMul;{net}/ip2_1/Relu",
        "float16": f"{net}/ip1_1/MatMul;{net}/ip1_1/Relu",
        "int8": f"{net}/flatten_1/Reshape",
        "uint8": f"{net}/ip1_1/MatMul",
        "codebook": f"{net}/ip2_1/MatMul",
        "half codebook": "arith.constant",
        "same": "StatefulPartitionedCall:0",
    }
    codebook = clustered((10, 16), 9, 0.5)
    old: dict[str, Any] = {
        "float32": rng.normal(size=shape).astype(np.float32),
        "float16": rng.normal(size=shape).astype(np.float16),
        "int8": np.round(rng.normal(size=shape) * 30).clip(-128, 127).astype(np.int8),
        "uint8": np.round(rng.normal(size=shape) * 30 + 128).clip(0, 255).astype(np.uint8),
        "codebook": codebook,
        "half codebook": codebook.astype(np.float16),
        "same": np.arange(90, dtype=np.float32),
    }
    new = {}
    for name, values in old.items():
        if "codebook" in name:
            new[name] = values[::-1] * values.dtype.type(2)
        elif "int" in name:
            new[name] = values + rng.integers(-1, 2, values.shape).astype(values.dtype)
        else:
            moved = values * (1 + rng.normal(size=values.shape) * 1e-3)
            new[name] = values if name == "same" else moved.astype(values.dtype)
    models = [build_model({names[n]: v for n, v in each.items()}) for each in (old, new)]
    patch = packing.pack(models[1], base=models[0])
    assert len(patch) < len(packing.pack(models[1]))
    # Each way of a patch is taken, and read again.
    assert methods(patch, models[0]) == {"base", "symbols", "reference symbols", "reference floats"}
    assert slow_reader.unpack(patch, models[0]) == models[1]


def methods(patch: bytes, base: bytes) -> set[str]:
    with packing.open_packed(patch, base=base) as file:
        found = (native_structures.Extent * native.MOST_EXTENTS)()
        native.library().kc_file_extents(ctypes.c_void_p(file._handle.value), found, len(found))
        return {native.method_name(extent.method) for extent in found if extent.size}


def test_a_patch_of_bytes_that_are_no_model():
    # Words of the base come again: nothing of them is named, all of it is learned.
    old = b"".join(b"layer %d has a kernel and a bias; " % i for i in range(40))
    new = old[:500] + b"a line that is new " + old[300:]
    patch = packing.pack(new, base=old)
    assert len(patch) < 120
    assert slow_reader.unpack(patch, old) == new


@pytest.mark.parametrize(
    "name", ["clustered", "half codebook", "half", "sparse int8", "uint8", "words"]
)
def test_each_kind_alone(name):
    model = build_model({name: every_kind()[name]}, per_channel_scales=7)
    assert slow_reader.unpack(packing.pack(model, codec="fast")) == model


@pytest.mark.parametrize("data", [b"", b"x", b"abcd" * 200, bytes(5000), bytes(range(256)) * 3])
def test_bytes_that_are_no_model(data):
    assert slow_reader.unpack(packing.pack(data, codec="fast")) == data


@pytest.mark.parametrize("count", range(1, 14))
def test_short_tensors_leave_streams_empty(count):
    weights = np.resize(clustered((3, 4), 3, 0.6), (count + 7,))
    model = build_model({"w": weights.astype(np.float32)})
    assert slow_reader.unpack(packing.pack(model, codec="fast")) == model


@pytest.mark.parametrize(
    ("codec", "wanted"),
    [
        ("smallest", {"symbols", "floats"}),
        ("small", {"fast symbols", "fast floats", "fast integers"}),
    ],
)
def test_all_models_at_once(codec, wanted):
    rng = np.random.default_rng(8)
    sparse = rng.normal(size=(6, 60)).astype(np.float32)
    sparse[rng.uniform(size=sparse.shape) < 0.5] = 0
    sparse[1, ::7] = -0.0
    tensors = {
        "short rows": clustered((40, 2, 3, 3), 6, 0.5),
        "long rows": (rng.normal(size=(6, 4, 4, 6)) * 25).astype(np.int8),
        "above zero": rng.integers(0, 200, (90, 3)).astype(np.uint8),
        "sparse": sparse,
        "half": rng.normal(size=(7, 30)).astype(np.float16),
        "biases": rng.integers(-(2**19), 2**20, 40).astype(np.int32),
    }
    model = build_model(tensors, per_channel_scales=5)
    packed = packing.pack(model, codec=codec)
    assert wanted <= {tensor.coder for tensor in packing.inspect(packed).tensors}
    assert slow_reader.unpack(packed) == model


@pytest.mark.parametrize("stride", [1, 2, 8, 12])
def test_the_second_model_of_bytes_writes_what_the_library_reads(stride):
    rng = np.random.default_rng(stride)
    rows = (np.arange(60) * 5 + rng.integers(0, 3, 60)).astype("<u4").tobytes()
    data = rows[:120] + b"conv_1/kernel conv_2/kernel " + rows + rows[60:]
    bits = [byte >> i & 1 for byte in data for i in range(7, -1, -1)]
    coder, model = ArithmeticEncoder(bits), ByteModel(len(data), stride)
    for position in range(len(data)):
        model.decode(coder, position)
    coded = coder.finish()
    plan = Plan().record(10, len(data), 0x83, stride)
    original = bytes(10) + data
    packed = write_kcz(plan, bytes(10), [varint(len(coded)) + coded], original)
    assert packing.unpack(packed) == original
    assert slow_reader.unpack(packed) == original
