"""Tensors of more than a section are divided, with copies and codebooks by channel, too."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from keras_compress import packing
from keras_compress.packing import native, native_structures
from tests.packing.tflite_models import build_model


def parts(packed: bytes) -> list[tuple[str, int]]:
    """Method and elements of each extent."""
    with packing.open_packed(packed) as file:
        found = (native_structures.Extent * native.MOST_EXTENTS)()
        native.library().kc_file_extents(ctypes.c_void_p(file._handle.value), found, len(found))
        return [(native.method_name(e.method), e.size // e.element) for e in found if e.size]


@pytest.mark.parametrize(
    ("codec", "maximum", "method"),
    [("fast", 250_000, "huffman"), ("small", 120_000, "fast symbols")],
)
def test_a_copy_is_divided_as_what_it_is_a_copy_of(codec, maximum, method):
    weights = np.random.default_rng(0).integers(0, 113, (700, 1000))
    model = build_model({"a": weights.astype(np.int8), "b": weights.astype(np.int8)})
    packed = packing.pack(model, codec=codec)
    found = parts(packed)
    copies = [size for name, size in found if name == "copy"]
    assert copies == [size for name, size in found if name == method]
    assert max(copies) <= maximum + 1000 and sum(copies) == 700_000
    assert packing.unpack(packed, threads=2) == model
    with packing.open_packed(packed) as file:
        np.testing.assert_array_equal(file.tensor("a"), weights)
        np.testing.assert_array_equal(file.tensor("b"), weights)


def test_codebooks_by_channel_are_divided_between_channels():
    rng = np.random.default_rng(2)
    shared = np.sort(rng.normal(size=40)).astype(np.float32)
    scales = rng.uniform(0.5, 2, 300).astype(np.float32)
    weights = shared[rng.integers(0, 40, (300, 1000))] * scales[:, None]
    model = build_model({"w": weights})
    packed = packing.pack(model, codec="fast")
    found = parts(packed)
    assert len(found) > 1 and all(size % 1000 == 0 for _, size in found)
    assert {name for name, _ in found} <= {"huffman", "gaps"}
    assert packing.unpack(packed) == model
    with packing.open_packed(packed) as file:
        np.testing.assert_array_equal(file.tensor("w")[290], weights[290])
