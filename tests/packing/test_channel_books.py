"""Codebooks that differ by a scale from channel to channel, as folded normalization makes them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from keras_compress import packing
from keras_compress.errors import PackedFileError
from tests.packing import slow_reader
from tests.packing.kcz_writer import Plan, write_kcz
from tests.packing.tflite_models import build_model


def folded(
    shape: tuple[int, ...],
    values: int,
    dtype: str,
    *,
    zeros: float = 0.0,
    axis: int = 0,
    seed: int = 0,
) -> np.ndarray:
    """Clustered weights times a scale for each channel, some of them negative."""
    rng = np.random.default_rng(seed)
    codebook = np.sort(rng.normal(size=values)).astype(np.float32)
    weights = codebook[rng.integers(0, values, shape)]
    weights[rng.uniform(size=shape) < zeros] = 0
    ones = [1] * len(shape)
    ones[axis] = shape[axis]
    scales = rng.normal(0.5, 0.7, ones).astype(np.float32)
    if dtype == "int8":
        most = np.abs(weights).max(
            axis=tuple(i for i in range(len(shape)) if i != axis), keepdims=True
        )
        return np.round(weights / most * 127).astype(np.int8)
    return (weights * scales).astype(dtype)


@pytest.mark.parametrize("codec", ["auto", "fast", "small", "smallest"])
@pytest.mark.parametrize(
    ("shape", "axis"), [((64, 3, 3, 32), 0), ((96, 300), 0), ((1, 5, 5, 600), 3)]
)
@pytest.mark.parametrize(
    ("dtype", "zeros"), [("float32", 0.0), ("float32", 0.7), ("float16", 0.0), ("float16", 0.7)]
)
def test_near_the_entropy_of_the_shared_values(shape, axis, dtype, zeros, codec):
    weights = folded(shape, 16, dtype, zeros=zeros, axis=axis)
    model = build_model({"w": weights})
    packed = packing.pack(model, codec=codec)
    assert packing.unpack(packed) == model
    entropy = -(1 - zeros) * math.log2((1 - zeros) / 16)
    entropy -= zeros * math.log2(zeros) if zeros else 0
    # Scales take 4 to 5 bytes a channel; steps, and the rounding of halves, up to 3 bits a value.
    tables = shape[axis] * (5 + 16 * (3 if dtype == "float16" else 1.5) / 8)
    assert (
        len(packed) < weights.size * entropy / 8 * (1.1 if codec == "fast" else 1.02) + tables + 400
    )


def test_integers_too():
    weights = folded((64, 3, 3, 64), 16, "int8")
    with_noise = np.clip(
        weights + np.random.default_rng(1).integers(-2, 3, weights.shape), -127, 127
    )
    small = packing.pack(build_model({"w": weights}), codec="smallest")
    assert 8 * len(small) < 4.4 * weights.size
    assert len(small) * 1.4 < len(
        packing.pack(build_model({"w": with_noise.astype(np.int8)}), codec="smallest")
    )


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
@pytest.mark.parametrize(("shape", "axis"), [((24, 3, 3, 9), 0), ((1, 9, 9, 40), 3), ((5, 200), 0)])
def test_the_slow_reader_agrees(dtype, shape, axis):
    model = build_model({"w": folded(shape, 9, dtype, zeros=0.3, axis=axis, seed=2)})
    packed = packing.pack(model, codec="fast")
    assert slow_reader.unpack(packed) == model


def test_channels_that_miss_values_and_dead_ones():
    weights = folded((40, 1, 1, 20), 16, "float32", zeros=0.4)
    weights[3] = 0
    weights[7] = weights[7, 0, 0, 0]
    weights[9, 0, 0, 5] = np.nan
    weights[11, 0, 0, :2] = [np.inf, -0.0]
    weights[12, 0, 0, :3] = [1e-45, -1e-40, 0]
    for codec in ("fast", "small", "smallest"):
        model = build_model({"w": weights})
        assert packing.unpack(packing.pack(model, codec=codec)) == model


@pytest.mark.parametrize("scale", [1e-44, 1e-38, 1e30, 1e38])
@pytest.mark.filterwarnings("ignore:overflow")
def test_extreme_scales(scale):
    weights = folded((32, 200), 8, "float32", zeros=0.2) * np.float32(scale)
    for codec in ("fast", "small", "smallest"):
        model = build_model({"w": weights})
        packed = packing.pack(model, codec=codec)
        assert packing.unpack(packed) == model
    assert slow_reader.unpack(packing.pack(model, codec="fast")) == model


def test_channels_of_unlike_codebooks_still_come_back():
    rng = np.random.default_rng(3)
    weights = np.stack([rng.choice(rng.normal(size=12), 300) for _ in range(30)])
    for dtype in ("float32", "float16"):
        for codec in ("fast", "small", "smallest"):
            model = build_model({"w": weights.astype(dtype)})
            assert packing.unpack(packing.pack(model, codec=codec)) == model


@pytest.mark.parametrize(
    "fields",
    [
        (4, 8, 0, 10, 0, 0, 1, 200),  # more channels than the plan has bytes
        (4, 8, 0, 10, 0, 0, 1, 0),  # none
        (4, 8, 0, 10, 0, 0, 1, 3, *[0] * 33),  # fewer than the tensor has
        (4, 16, 0, 10, 0, 0, 1, *[0] * 8),  # interleaved without channels
        (1, 9, 0, 10, 0, 0, 1, 5, *[0] * 47),  # symbols that are the bytes, and codebooks
        (4, 24, 0, 5, 0, 0, 1, 10, *[0] * 82),  # interleaved: as many as a row is long
    ],
    ids=range(6),
)
def test_bad_tables(fields):
    data = bytes(400)
    for method in (0x84, 0x86, 0x87):
        plan = Plan().record(200, 200, method, *fields)
        with pytest.raises(PackedFileError):
            packing.unpack(write_kcz(plan, data[:200], [b"\0"], data))
