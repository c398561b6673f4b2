"""What must hold for any bytes: lossless, hardly ever longer, and no harm from mutated files."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from keras_compress import packing
from keras_compress.errors import PackedFileError
from tests.packing.kcz_writer import crc32c
from tests.packing.tflite_models import build_model, clustered

_CODECS = st.sampled_from(["fast", "small", "auto", "smallest"])
_FEW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))

_MODEL = build_model(
    {
        "w": clustered((12, 20), 5, 0.6),
        "v": np.random.default_rng(1).normal(size=(8, 9)).astype(np.float32),
        "q": np.arange(300).astype(np.int8),
        "h": np.random.default_rng(2).normal(size=(6, 5)).astype(np.float16),
    },
    per_channel_scales=4,
)

_MUTATIONS = st.lists(
    st.tuples(st.integers(0, 2**16), st.integers(0, 255), st.integers(0, 3)),
    min_size=1,
    max_size=12,
)


def _mutate(data: bytes, mutations: list[tuple[int, int, int]]) -> bytes:
    """Overwrite, flip, cut out or put in bytes."""
    out = bytearray(data)
    for at, value, kind in mutations:
        at %= len(out) or 1
        if kind == 0 and out:
            out[at] = value
        elif kind == 1 and out:
            out[at] ^= 1 << value % 8
        elif kind == 2:
            del out[at : at + value % 9]
        else:
            out[at:at] = bytes([value]) * (value % 5 + 1)
    return bytes(out)


def _check_round_trip(data: bytes, codec: str) -> None:
    packed = packing.pack(data, codec=codec)
    assert len(packed) <= len(data) + 64
    assert packing.unpack(packed) == data
    packing.verify(packed)


@_FEW
@given(st.binary(max_size=3000), _CODECS)
@example(b"", "smallest")
@example(bytes(100_000), "auto")
def test_any_bytes(data, codec):
    _check_round_trip(data, codec)


@settings(_FEW, max_examples=25)
@given(st.binary(max_size=900), st.binary(max_size=900), st.booleans())
@example(_MODEL, _MODEL[:500], False)
@example(_MODEL[9:], _MODEL, False)
def test_any_bytes_beside_any_base(data, base, alike):
    new = base[: len(base) // 2] + data if alike else data
    patch = packing.pack(new, base=base)
    assert len(patch) <= len(new) + 64
    assert packing.unpack(patch, base=base) == new


@_FEW
@given(_MUTATIONS, _CODECS)
def test_models_that_were_damaged(mutations, codec):
    _check_round_trip(_mutate(_MODEL, mutations), codec)


_DTYPES = st.sampled_from([np.float32, np.float16, np.int8, np.uint8, np.int16, np.int32, np.int64])


@_FEW
@given(
    st.lists(
        st.tuples(
            _DTYPES, st.lists(st.integers(1, 9), min_size=1, max_size=4), st.binary(min_size=1)
        ),
        min_size=1,
        max_size=4,
    ),
    _CODECS,
)
def test_models_of_any_numbers(tensors, codec):
    # Values are repeated bytes: few distinct ones, among them infinities and not-a-numbers.
    model = {}
    for i, (dtype, shape, raw) in enumerate(tensors):
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        model[str(i)] = np.frombuffer((raw * size)[:size], dtype).reshape(shape)
    _check_round_trip(build_model(model), codec)


_PACKED = {codec: packing.pack(_MODEL, codec=codec) for codec in ("fast", "small", "smallest")}
_BASE = _mutate(_MODEL, [(700, 3, 0), (2000, 5, 1), (2600, 9, 0)])
_PATCH = packing.pack(_MODEL, base=_BASE)


@settings(_FEW, max_examples=300)
@given(_MUTATIONS, st.sampled_from(sorted(_PACKED)))
def test_mutated_packed_files(mutations, codec):
    data = _mutate(_PACKED[codec], mutations)
    if data == _PACKED[codec]:
        return
    try:
        packing.unpack(data, max_size=1 << 20)
    except PackedFileError:
        return
    raise AssertionError("a damaged file was taken for a good one")


@settings(_FEW, max_examples=200)
@given(_MUTATIONS, st.sampled_from(sorted(_PACKED)))
def test_mutated_sections_with_right_checksums(mutations, codec):
    """Checksums are mended, so that what is behind them is reached."""
    data = _mutate_sections(_PACKED[codec], mutations)
    try:
        assert packing.unpack(data, max_size=1 << 20) == _MODEL
    except PackedFileError as error:
        assert "(" in str(error)


@settings(_FEW, max_examples=200)
@given(_MUTATIONS)
def test_mutated_sections_of_patches_with_right_checksums(mutations):
    data = _mutate_sections(_PATCH, mutations)
    try:
        assert packing.unpack(data, max_size=1 << 20, base=_BASE) == _MODEL
    except PackedFileError as error:
        assert "(" in str(error)


def _mutate_sections(good: bytes, mutations: list[tuple[int, int, int]]) -> bytes:
    at, lengths = 6, []

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = good[at]
            at, value, shift = at + 1, value | (byte & 127) << shift, shift + 7
            if byte < 128:
                return value

    varint()
    at += 4
    if good[5] == 2:  # a patch: of its base, too
        varint()
        at += 4
    lengths = [varint() for _ in range(varint())]
    at += 4
    data = bytearray(good[:at])
    for i, length in enumerate(lengths):
        section = bytearray(good[at : at + length])
        for where, value, _ in mutations if length else []:
            if where % len(lengths) == i:
                section[where % length] ^= value
        data += section + crc32c(bytes(section)).to_bytes(4, "little")
        at += length + 4
    return bytes(data)
