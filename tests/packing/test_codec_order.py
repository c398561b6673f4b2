"""No codec writes a larger file than one that restores faster, however large the file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from keras_compress import packing
from tests.packing.tflite_models import build_model

_FROM_LARGE = ("fast", "small", "auto", "smallest")
# Larger ones are measured by benchmarks/foreign_models.py and pack_models.py.
_LARGEST = 200_000
_CORPUS = Path(os.environ.get("KERAS_COMPRESS_DATA", ""), "models")


def _generated() -> dict[str, bytes]:
    """Files above a megabyte, of numbers that suit one codec more or less than another."""
    rng = np.random.default_rng(5)
    bytes_of = rng.normal(size=(1100, 1000)) * 30
    return {
        "int8": build_model({"w": bytes_of.clip(-127, 127).astype(np.int8)}),
        "flat int8": build_model({"w": rng.integers(-128, 128, (1100, 1000)).astype(np.int8)}),
        "float32": build_model({"w": rng.normal(size=(300, 1000)).astype(np.float32)}),
        "repeating": build_model({"w": np.resize(np.arange(7), 140_000)}),
    }


_GENERATED = _generated()


def _check(original: bytes) -> None:
    sizes = [len(packing.pack(original, codec=codec)) for codec in _FROM_LARGE]
    assert sizes == sorted(sizes, reverse=True), dict(zip(_FROM_LARGE, sizes, strict=True))


@pytest.mark.parametrize("name", _GENERATED)
def test_generated(name):
    assert len(_GENERATED[name]) > 1 << 20
    _check(_GENERATED[name])


@pytest.mark.skipif(not _CORPUS.is_dir(), reason="needs KERAS_COMPRESS_DATA, a folder with models/")
def test_corpus():
    files = [p for p in sorted(_CORPUS.glob("*/*.tflite")) if p.stat().st_size <= _LARGEST]
    assert files
    for path in files:
        _check(path.read_bytes())
