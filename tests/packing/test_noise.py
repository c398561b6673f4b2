"""What is compressed already, outside of tensors, is stored as it is, unless it stood before."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from keras_compress import packing
from tests.packing.tflite_models import build_model

_CODECS = ("fast", "small", "auto", "smallest")
_RNG = np.random.default_rng(11)
_MODEL = build_model({"w": _RNG.integers(-3, 4, (60, 50)).astype(np.int8)})
# Words of a few letters, compressed: some 13,000 bytes.
_TEXT = " ".join("".join(w) for w in _RNG.choice(list("etaoin shr"), (4500, 5))).encode()
_NOISE = zlib.compress(_TEXT, 9)


def _packed(data: bytes, codec: str) -> int:
    packed = packing.pack(data, codec=codec)
    assert packing.unpack(packed) == data
    return len(packed)


@pytest.mark.parametrize("codec", _CODECS)
def test_noise_is_stored(codec):
    assert 10_000 < len(_NOISE) < 20_000
    alone, behind = _packed(_MODEL, codec), _packed(_MODEL + _NOISE, codec)
    assert behind <= alone + len(_NOISE) + 64


@pytest.mark.parametrize("codec", _CODECS)
def test_text_between_noise_is_not(codec):
    # Edges are found to some bytes, and what lies between them is coded.
    data = _MODEL + _NOISE + _TEXT[:6000] + _NOISE[::-1]
    least = _packed(_MODEL + _TEXT[:6000], codec) + 2 * len(_NOISE)
    assert _packed(data, codec) <= least + 250


@pytest.mark.parametrize("codec", _CODECS)
def test_noise_that_stood_before_is_a_repeat(codec):
    once, twice = _packed(_MODEL + _NOISE, codec), _packed(_MODEL + 2 * _NOISE, codec)
    assert twice <= once + 100
    # Also where it ends and begins within.
    assert _packed(_MODEL + _NOISE + _NOISE[3000:9000], codec) <= once + 100


@pytest.mark.parametrize("width", [2, 4])
def test_numbers_that_grow_are_no_noise(width):
    # All bytes are equally frequent, and few repeat as a row of four.
    i = np.arange(1 << 12)
    numbers = ((16 * i + i % 16) * (65537 if width == 4 else 1)).astype(f"<u{width}").tobytes()
    assert _packed(_MODEL + numbers, "auto") < _packed(_MODEL, "auto") + len(numbers) / 2


def test_every_place_of_the_edges():
    for cut in (0, 1, 31, 32, 33, 1023, 1024, 1025):
        data = _MODEL + bytes(cut) + _NOISE[: 4096 + cut] + bytes(1024 - cut % 7) + _NOISE[cut:]
        assert packing.unpack(packing.pack(data, codec="fast")) == data
