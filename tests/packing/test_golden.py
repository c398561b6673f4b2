"""Packed files that were written before are read: these are made anew only with the format."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from keras_compress import packing

_GOLDEN = Path(__file__).with_name("golden")
_SUMS = json.loads((_GOLDEN / "sums.json").read_text())

# Patches, and the golden file that holds what they were made for.
_BASES = {"patch.kcz": "kinds_smallest.kcz"}


@pytest.mark.parametrize("name", sorted(_SUMS))
def test_golden_file(name):
    base = _BASES.get(name)
    old = packing.unpack((_GOLDEN / base).read_bytes()) if base else None
    restored = packing.unpack((_GOLDEN / name).read_bytes(), base=old)
    assert hashlib.sha256(restored).hexdigest() == _SUMS[name]


def test_every_golden_file_has_a_sum():
    assert {path.name for path in _GOLDEN.glob("*.kcz")} == set(_SUMS)
