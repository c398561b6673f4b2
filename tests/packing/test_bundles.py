"""Bundles: the models in them are packed as models, whatever the bundle says of itself."""

from __future__ import annotations

import random

import numpy as np
import pytest

from keras_compress import packing
from keras_compress.errors import KerasCompressError
from tests.packing.bundles import make_litertlm, make_zip
from tests.packing.tflite_models import build_model, clustered


def model(seed: int, name: str = "kernel") -> bytes:
    bias = np.arange(seed, seed + 20, dtype=np.float32)
    return build_model({name: clustered((30, 40), 9, 0.7, seed), "bias": bias})


_A, _B, _C = model(1), model(2), model(3)
_TASK = make_zip({"detector.tflite": _A, "labels.txt": b"cat\ndog\n" * 9, "marker.tflite": _B})
_NESTED = make_zip({"hand.task": _TASK, "gesture.tflite": _C})
_LM = make_litertlm([("tf_lite_embedder", _A), ("", b"tokenizer " * 50), ("tf_lite_decoder", _B)])
_BUNDLES = {
    "task": (_TASK, {"detector.tflite": _A, "marker.tflite": _B}),
    "task in a task": (
        _NESTED,
        {"hand.task/detector.tflite": _A, "hand.task/marker.tflite": _B, "gesture.tflite": _C},
    ),
    "litertlm": (_LM, {"tf_lite_embedder": _A, "tf_lite_decoder": _B}),
    "zip behind a stub": (make_zip({"a.tflite": _A}, stub=b"#!/bin/sh\n"), {"a.tflite": _A}),
    "no name": (make_litertlm([("", _A)]), {"part 0": _A}),
}


@pytest.mark.parametrize("name", _BUNDLES)
@pytest.mark.parametrize("codec", ["auto", "fast", "small"])
def test_parts_are_packed_as_models(name, codec):
    bundle, parts = _BUNDLES[name]
    packed = packing.pack(bundle, codec=codec)
    assert packing.unpack(packed) == bundle
    alone = sum(len(packing.pack(part, codec=codec)) for part in parts.values())
    assert len(packed) < alone + 700  # directories, labels
    with packing.open_packed(packed) as file:
        assert list(dict.fromkeys(t.part for t in file.tensors)) == list(parts)
        for part, data in parts.items():
            with packing.open_packed(packing.pack(data, codec="fast")) as single:
                for tensor in single.tensors:
                    wanted = single.tensor(tensor.name)
                    np.testing.assert_array_equal(file.tensor(f"{part}/{tensor.name}"), wanted)


def test_inspect_names_the_part():
    bundle, parts = _BUNDLES["task in a task"]
    for data in (bundle, packing.pack(bundle)):
        seen = packing.inspect(data)
        assert {tensor.part for tensor in seen.tensors} == set(parts)
        kernels = [tensor for tensor in seen.tensors if tensor.name == "kernel"]
        assert len(kernels) == 3
        assert {tensor.coder for tensor in kernels} <= {"symbols", "fast symbols"}


def test_a_name_of_several_parts_is_asked_for_with_its_part():
    names = r"detector\.tflite/kernel, marker\.tflite/kernel"
    with (
        packing.open_packed(packing.pack(_TASK)) as file,
        pytest.raises(KerasCompressError, match=names),
    ):
        file.tensor("kernel")
    other = make_zip({"a.tflite": _A, "b.tflite": model(2, "other")})
    with packing.open_packed(packing.pack(other)) as file:
        assert file.tensor("other").shape == (30, 40)


def test_a_file_of_a_bundle(tmp_path):
    source, target = tmp_path / "hand.task", tmp_path / "hand.kcz"
    source.write_bytes(_TASK)
    packing.pack_file(source, target)
    packing.unpack_file(target, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == _TASK


def test_what_is_no_model_stays_as_it_is():
    for data in (
        make_zip({"a.txt": b"words " * 99}),
        make_zip({"a.tflite": _A}, deflated=("a.tflite",)),
        make_litertlm([("tokenizer", b"words " * 99)]),
        make_zip({"a.tflite": _A[: len(_A) // 2]}),
    ):
        packed = packing.pack(data)
        assert packing.unpack(packed) == data
        with packing.open_packed(packed) as file:
            assert file.tensors == ()


def test_a_model_with_a_zip_behind_it_is_one_model():
    data = _A + make_zip({"labels.txt": b"cat\ndog\n" * 30, "inner.tflite": _B})
    packed = packing.pack(data)
    assert packing.unpack(packed) == data
    with packing.open_packed(packed) as file:
        assert [tensor.full_name for tensor in file.tensors] == ["bias", "kernel"]


def test_patches_of_bundles():
    new = make_zip({"detector.tflite": _C, "labels.txt": b"cat\ndog\n" * 9, "marker.tflite": _B})
    patch = packing.pack(new, base=_TASK)
    assert packing.unpack(patch, base=_TASK) == new
    assert len(patch) < len(packing.pack(_C)) + 200


@pytest.mark.parametrize("bundle", [_TASK, _NESTED, _LM], ids=["task", "nested", "litertlm"])
def test_any_byte_of_a_bundle_may_be_wrong(bundle):
    # Heads, directories and headers: what says where parts are.
    first = bundle.find(b"LITERTLM") == 0
    region = range(8, 400) if first else range(len(bundle) - 420, len(bundle))
    rng = random.Random(5)
    for _ in range(150):
        broken = bytearray(bundle)
        for _ in range(rng.randint(1, 3)):
            broken[rng.choice(region)] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
        data = bytes(broken)
        assert packing.unpack(packing.pack(data, codec="fast")) == data


@pytest.mark.parametrize("cut", [1, 21, 22, 23, 60, 300])
def test_a_bundle_cut_short(cut):
    for bundle in (_TASK, _LM):
        for data in (bundle[:-cut], bundle[cut:]):
            assert packing.unpack(packing.pack(data, codec="fast")) == data


def test_entries_that_overlap_are_taken_once():
    # Two directory entries for one place, and one for a piece of it.
    data = bytearray(make_zip({"a.tflite": _A, "b.tflite": _A}))
    directory = data.rfind(b"PK\x01\x02")
    data[directory + 42 : directory + 46] = bytes(4)
    data = bytes(data)
    with packing.open_packed(packing.pack(data)) as file:
        assert [tensor.part for tensor in file.tensors] == ["a.tflite"] * 2
    assert packing.unpack(packing.pack(data)) == data
