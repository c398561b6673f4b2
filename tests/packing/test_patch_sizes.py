"""A patch is never larger than the file packed by itself, whatever the two files are."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from keras_compress import packing
from tests.packing.bundles import make_zip
from tests.packing.tflite_models import build_model, clustered, every_kind


def _noise(dtype: type, seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    if dtype is np.float32:
        return build_model({"w": rng.normal(size=(20, 30)).astype(np.float32)})
    return build_model({"w": rng.integers(-128, 128, (20, 30)).astype(dtype)})


def _lines(first: int) -> bytes:
    return b"".join(b"layer %d has a kernel and a bias; " % i for i in range(first, first + 60))


FILES = {
    "every kind": lambda: build_model(every_kind(), per_channel_scales=24),
    "clustered": lambda: build_model({"w": clustered((40, 30), 9, 0.6)}),
    "clustered otherwise": lambda: build_model({"w": clustered((40, 30), 9, 0.6, seed=1)}),
    "other shape": lambda: build_model({"v": clustered((20, 60), 5, 0.2)}),
    "float noise": lambda: _noise(np.float32, 0),
    "other float noise": lambda: _noise(np.float32, 1),
    "int8 noise": lambda: _noise(np.int8, 2),
    "zeros": lambda: build_model({"w": np.zeros((40, 30), np.float32)}),
    "bundle": lambda: make_zip({"a.tflite": _noise(np.int8, 2), "b.txt": _lines(0)}),
    "text": lambda: _lines(0),
    "other text": lambda: _lines(30),
    "bytes": lambda: np.random.default_rng(5).bytes(1000),
    "one byte": lambda: b"x",
    "nothing": lambda: b"",
}


@functools.cache
def content(name: str) -> bytes:
    return FILES[name]()


@functools.cache
def alone(name: str) -> int:
    return min(len(packing.pack(content(name), codec=codec)) for codec in ("auto", "smallest"))


# Each pair takes a fifth of a second; these are of every kind that a base can be.
@pytest.mark.parametrize("old", ["clustered", "float noise", "bundle", "text", "nothing"])
def test_no_patch_is_larger_than_the_whole(old):
    larger = {}
    for new in FILES:
        patch = packing.pack(content(new), base=content(old))
        assert packing.unpack(patch, base=content(old)) == content(new)
        if len(patch) > alone(new):
            larger[new] = len(patch), alone(new)
    assert larger == {}
