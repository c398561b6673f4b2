"""What there is for small files: compact frames, priming graphs, grids, integers."""

from __future__ import annotations

import numpy as np
import pytest

from keras_compress import packing
from keras_compress.errors import PackedFileError
from tests.packing.kcz_writer import Plan, crc32c, varint
from tests.packing.tflite_models import build_model

_INTEGERS = {"integers", "fast integers", "skeleton"}


def _grid(shape, step, kind=np.float32):
    rng = np.random.default_rng(4)
    multiples = rng.integers(-6, 9, shape) * (rng.uniform(size=shape) < 0.4)
    return (multiples * kind(step) + kind(0)).astype(kind)


@pytest.mark.parametrize("codec", ["fast", "small", "smallest"])
@pytest.mark.parametrize(
    ("values", "coders"),
    [
        (_grid((9, 20), 0.1171875), {"symbols", "gaps", "fast symbols"}),
        (_grid((9, 20), 0.3) * np.float32(1), {"symbols", "gaps", "fast symbols"}),
        (_grid((9, 20), 0.0625, np.float16), {"symbols", "gaps", "fast symbols"}),
        (3 * _grid((9, 20), 0.25), {"symbols", "gaps", "fast symbols"}),
        (-np.abs(_grid((200,), 0.5)) + np.float32(0), {"symbols", "gaps", "fast symbols"}),
        (np.arange(40, dtype=np.int32) * 3777 - 70000, _INTEGERS),
        (np.array([-(2**31), 2**31 - 1, 0, 1, -1] * 8, np.int32), _INTEGERS),
    ],
)
def test_grids_and_integers_come_back(values, coders, codec):
    model = build_model({"values": values})
    packed = packing.pack(model, codec=codec)
    assert packing.unpack(packed) == model
    assert {t.coder for t in packing.inspect(packed).tensors if t.count == values.size} <= coders


def test_a_grid_costs_less_than_its_values():
    values = _grid((9, 20), 0.1171875)
    odd = values.copy()
    odd[0, 0] = 0.77  # no multiple of anything the others are
    models = (build_model({"v": v}) for v in (values, odd))
    grid, other = (len(packing.pack(model, codec="smallest")) for model in models)
    assert grid < other - 20


def test_zeros_of_both_signs_are_kept():
    values = _grid((9, 20), 0.25)
    values[2, 3] = -0.0
    model = build_model({"values": values})
    assert packing.unpack(packing.pack(model, codec="smallest")) == model


def test_a_small_file_has_one_checksum():
    packed = packing.pack(bytes(300) + b"abc" * 30, codec="smallest")
    assert packed[4:6] == b"\x01\x03"
    assert packed[-4:] == crc32c(packed[:-4]).to_bytes(4, "little")


def _compact(first: bytes, sections: list[bytes], size: int, version: int = 1) -> bytes:
    lengths = [len(part) for part in [first, *sections]][:-1]
    head = b"\x89KCZ" + bytes([version, 3]) + varint(size) + bytes(4)
    body = head + varint(1 + len(sections)) + b"".join(map(varint, lengths)) + first
    body += b"".join(sections)
    return body + crc32c(body).to_bytes(4, "little")


def _planned(plan: Plan, skeleton: bytes = bytes(10)) -> bytes:
    encoded = plan.encode()
    return b"\0" + varint(len(encoded)) + varint(len(skeleton)) + encoded + skeleton


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (_compact(b"\x1e" + varint(2) + bytes(9), [], 100), "skeleton"),  # there is no such sample
        (_compact(b"\xff" + varint(2) + bytes(9), [], 100), "does not know .*skeleton"),
        (_compact(b"\x10" + varint(2**40) + bytes(9), [], 100), "skeleton"),  # a plan of a terabyte
        (_compact(b"\x10" + varint(2) + bytes(9), [], 10**7), "skeleton"),  # nothing codes so much
        (_compact(b"\x10" + varint(2) + bytes(9), [], 2**60), "declared size"),
        (_compact(_planned(Plan().record(10, 40, 0x8C, 0)), [b"\0"], 50), "skeleton"),  # no length
        (_compact(_planned(Plan().record(10, 40, 0x8C, 33)), [b"\0"], 50), "skeleton"),
        (_compact(_planned(Plan().record(10, 40, 0x8C, 3)), [b"\7"], 50), "data section 1"),
        # Grids of bytes, with identity, with channels, and from a multiple that is too far.
        (
            _compact(_planned(Plan().record(10, 40, 0x84, 1, 32, 0, 10, 0, 0, 3)), [b"\0"], 50),
            "skel",
        ),
        (
            _compact(_planned(Plan().record(10, 40, 0x84, 4, 33, 0, 10, 0, 0, 3)), [b"\0"], 50),
            "skel",
        ),
        (
            _compact(_planned(Plan().record(10, 40, 0x84, 4, 40, 0, 10, 0, 0, 3)), [b"\0"], 50),
            "skel",
        ),
        (
            _compact(
                _planned(Plan().record(10, 40, 0x84, 4, 32, 0, 10, 0, 0, 3, 0, 0, 0, 63, 1 << 18)),
                [b"\0"],
                50,
            ),
            "skel",
        ),
        (_compact(b"\0" * 70000, [], 100), "header"),  # too long for a compact file
        (_compact(b"\0\2\0\0\0", [], 100, version=0), "header"),
    ],
)
def test_attack(data, place):
    with pytest.raises(PackedFileError, match=place):
        packing.unpack(data)
