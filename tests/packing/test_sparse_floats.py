"""Floats with zeros and no codebook: models that were pruned but not clustered."""

from __future__ import annotations

import lzma
import math
import zlib

import numpy as np
import pytest

from keras_compress import packing
from tests.packing import slow_reader
from tests.packing.tflite_models import build_model


def pruned(shape: tuple[int, ...], zeros: float, dtype: str, *, structured: bool = False):
    """Normal weights of which the smallest, a share `zeros`, are zero."""
    rng = np.random.default_rng(4)
    weights = rng.normal(size=shape) * 0.05
    if structured:
        weights[rng.uniform(size=shape[0]) < zeros] = 0
    else:
        weights[np.abs(weights) < np.quantile(np.abs(weights), zeros)] = 0
    return weights.astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("zeros", [0.1, 0.5, 0.8, 0.95])
def test_smaller_than_general_compressors_and_near_the_bound(zeros, dtype):
    weights = pruned((150, 100), zeros, dtype)
    model = build_model({"w": weights})
    general = min(
        len(zlib.compress(model, 9)) + 12,
        len(lzma.compress(model, preset=9 | lzma.PRESET_EXTREME)),
    )
    share = np.mean(weights == 0)
    positions = -(share * math.log2(share) + (1 - share) * math.log2(1 - share)) * weights.size / 8
    kept = np.count_nonzero(weights) * weights.itemsize
    for codec in ("auto", "fast", "small", "smallest"):
        packed = packing.pack(model, codec=codec)
        assert packing.unpack(packed) == model
        assert len(packed) < general, codec
        # The graph of the file and the tables take some 400 bytes.
        assert len(packed) < (positions + kept) * (1.03 if codec == "fast" else 1.0) + 500, codec


@pytest.mark.parametrize("codec", ["fast", "small", "smallest"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_rows_of_zeros_cost_next_to_nothing(dtype, codec):
    weights = pruned((60, 3, 3, 32), 0.5, dtype, structured=True)
    packed = packing.pack(build_model({"w": weights}), codec=codec)
    assert len(packed) < np.count_nonzero(weights) * weights.itemsize + 1200


@pytest.mark.parametrize("codec", ["fast", "small", "smallest"])
def test_negative_zeros_of_folded_normalization(codec):
    # A negative scale of a channel turns its zeros negative.
    weights = pruned((32, 3, 3, 32), 0.8, "float32")
    signs = np.where(np.arange(32) % 3 == 0, np.float32(-1), np.float32(1))
    plain = len(packing.pack(build_model({"w": weights}), codec=codec))
    model = build_model({"w": weights * signs[:, None, None, None]})
    packed = packing.pack(model, codec=codec)
    assert packing.unpack(packed) == model
    assert len(packed) < plain * (1.12 if codec == "fast" else 1.02)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_few_zeros_never_cost(dtype):
    weights = pruned((100, 100), 0.0, dtype)
    dense = len(packing.pack(build_model({"w": weights}), codec="smallest"))
    for every in (5000, 1000, 100):
        some = weights.copy()
        some.reshape(-1)[::every] = 0
        assert len(packing.pack(build_model({"w": some}), codec="smallest")) < dense + 20


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_odd_values_beside_zeros(dtype):
    weights = pruned((40, 50), 0.7, dtype)
    flat = weights.reshape(-1)
    flat[:6] = [np.inf, -np.inf, np.nan, -0.0, np.finfo(dtype).smallest_subnormal, 3.0]
    for codec in ("fast", "small", "smallest"):
        model = build_model({"w": weights})
        assert packing.unpack(packing.pack(model, codec=codec)) == model


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_slow_reader_agrees(dtype):
    weights = pruned((30, 40), 0.7, dtype)
    weights[::4] *= -1
    model = build_model({"w": weights})
    packed = packing.pack(model, codec="fast")
    assert packing.inspect(packed).tensors[0].coder == "planes"
    assert slow_reader.unpack(packed) == model
