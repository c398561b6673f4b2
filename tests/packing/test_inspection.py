"""Reports of tensors: counts against NumPy's, and threads that change nothing."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from keras_compress import packing
from keras_compress.packing import native, native_structures
from tests.packing.tflite_models import build_model, clustered, every_kind


@pytest.mark.parametrize("name", sorted(every_kind()))
def test_counts_agree_with_numpy(name):
    values = every_kind()[name]
    seen = packing.inspect(build_model({"w": values}), codec="fast").tensors[0]
    raw = values.view(f"u{values.itemsize}").reshape(-1)
    shares = np.unique(raw, return_counts=True)[1] / raw.size
    assert seen.count == values.size
    assert seen.zeros == np.count_nonzero(values == 0)
    assert seen.distinct == len(shares)
    assert seen.entropy == pytest.approx(-(shares * np.log2(shares)).sum(), abs=1e-4)


def test_minus_zero_is_a_zero():
    values = np.array([0.0, -0.0, 1.0, -0.0] * 20, np.float32)
    seen = packing.inspect(build_model({"w": values})).tensors[0]
    assert (seen.zeros, seen.distinct) == (60, 3)


def test_a_copy_takes_no_bits():
    values = np.random.default_rng(0).normal(size=(50, 20)).astype(np.float32)
    model = build_model({"one": values, "same": values})
    for codec in ("auto", "fast"):
        copy, first = sorted(
            t.packed_bytes or 0.0 for t in packing.inspect(model, codec=codec).tensors
        )
        assert copy == 0 and first > 3000


def test_threads_give_the_same_bytes():
    rng = np.random.default_rng(6)
    model = build_model({
        "a": clustered((150, 200), 20, 0.5),
        "b": rng.normal(size=(32, 3, 3, 32)).astype(np.float32),
        "c": rng.integers(-99, 99, (150, 200)).astype(np.int8),
    })  # fmt: skip
    result, error = native_structures.Bytes(), native_structures.NativeError()
    for codec in ("auto", "fast"):
        status = native.library().kc_pack(
            model, len(model), native.codec_number(codec), ctypes.byref(result), ctypes.byref(error)
        )
        assert status == 0
        alone = native.take(result)
        assert [packing.pack(model, codec=codec) for _ in range(2)] == [alone] * 2
        assert packing.inspect(model, codec=codec).packed_size == len(alone)
