"""Dense weights behind a flattened image: their rows repeat at a distance that no shape tells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from keras_compress import packing
from tests.packing import slow_reader
from tests.packing.tflite_models import build_model

WIDTH = 28


def behind_an_image(dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Return weights that depend on the pixel's column, and the same with pixels shuffled."""
    rng = np.random.default_rng(8)
    loud = np.tile(rng.uniform(size=WIDTH) < 0.2, WIDTH)
    weights = np.where(loud, rng.integers(-3, 4, (100, WIDTH**2)), 0)
    # Each row has its own loud columns, so that no statistics over rows can know them.
    shifts = rng.integers(0, WIDTH, 100)
    weights = np.stack([np.roll(row, shift) for row, shift in zip(weights, shifts, strict=True)])
    return weights.astype(dtype), rng.permuted(weights, axis=1).astype(dtype)


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_the_width_is_found(dtype):
    image, shuffled = (build_model({"w": weights}) for weights in behind_an_image(dtype))
    packed = packing.pack(image, codec="smallest")
    assert packing.unpack(packed) == image
    assert slow_reader.unpack(packed) == image
    assert len(packed) < 0.75 * len(packing.pack(shuffled, codec="smallest"))


def test_what_does_not_repeat_keeps_the_shape_it_has():
    rng = np.random.default_rng(9)
    model = build_model({"w": rng.integers(-5, 6, (64, 96)).astype("int8")})
    entropy = 64 * 96 * np.log2(11) / 8
    packed = packing.pack(model, codec="smallest")
    assert packing.unpack(packed) == model
    assert len(packed) < entropy + 400


_RECORDS = Path(__file__).parents[2] / "benchmarks" / "results" / "deep_compression"


@pytest.mark.parametrize("name", ["lenet_300_100", "lenet_5", "lenet_5_tiny"])
def test_nets_of_few_weights_stay_as_small_as_their_records(name):
    # What repeats in their rows tells much of where their weights are, and has to be found.
    kept = (_RECORDS / f"{name}.kcz").read_bytes()
    packed = packing.pack(packing.unpack(kept), codec="smallest")
    # The graph takes up to ten bytes more since there is one format.
    assert len(packed) <= len(kept) + 10
