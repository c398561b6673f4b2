"""Weights of a few bits that were dequantized: coded as levels, and a scale a block."""

from __future__ import annotations

import lzma

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from keras_compress import packing
from keras_compress.errors import PackedFileError
from tests.packing import slow_reader
from tests.packing.foreign_models import Foreign, nibbles
from tests.packing.kcz_writer import Plan, huffman_lengths, streams, write_kcz
from tests.packing.quantizers import QUANTIZERS, blockwise, model_of

_CODERS = {"fast": {"huffman", "gaps"}, "small": {"fast symbols"}, "smallest": {"symbols"}}
_T = schema.TensorType


def _coder(packed: bytes) -> str:
    return packing.inspect(packed).tensors[0].coder


@pytest.mark.parametrize("codec", sorted(_CODERS))
@pytest.mark.parametrize("name", sorted(QUANTIZERS))
@pytest.mark.parametrize(("block", "axis"), [(32, 1), (64, 1), (16, 0), (96, 1)])
def test_quantizers(name, codec, block, axis):
    model = model_of({"w": blockwise(name, (48, 192), block, axis=axis)})
    packed = packing.pack(model, codec=codec)
    assert packing.unpack(packed) == model
    assert _coder(packed) in _CODERS[codec]
    assert len(packed) < 0.75 * len(lzma.compress(model, preset=9 | lzma.PRESET_EXTREME))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ["q4_0", "int4", "zero_point"])
def test_in_16_bits(name, dtype):
    model = model_of({"w": blockwise(name, (48, 192), 32)}, dtype)
    for codec, coders in _CODERS.items():
        packed = packing.pack(model, codec=codec)
        assert packing.unpack(packed) == model
        assert _coder(packed) in coders
        assert len(packed) < 0.85 * len(lzma.compress(model, preset=9 | lzma.PRESET_EXTREME))


@pytest.mark.parametrize("codec", ["fast", "small"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("name", sorted(QUANTIZERS))
def test_the_slow_reader_agrees(name, dtype, codec):
    tensors = {"a": blockwise(name, (16, 96), 32), "b": blockwise(name, (32, 24), 16, axis=0)}
    model = model_of(tensors, dtype)
    assert slow_reader.unpack(packing.pack(model, codec=codec)) == model


@pytest.mark.slow
@pytest.mark.parametrize("name", ["int4", "q4_1"])
def test_the_slow_reader_agrees_on_smallest(name):
    model = model_of({"w": blockwise(name, (8, 96), 32)})
    assert slow_reader.unpack(packing.pack(model, codec="smallest")) == model


def test_one_weight_off_makes_floats_of_them():
    w = blockwise("int4", (48, 192), 32)
    w[40, 100] = np.nextafter(w[40, 100], np.float32(1))
    packed = packing.pack(model_of({"w": w}), codec="smallest")
    assert _coder(packed) in {"floats", "lz", "bytes"}
    assert packing.unpack(packed) == model_of({"w": w})


@pytest.mark.parametrize("values", [np.nan, np.inf, 1e-42, -0.0])
def test_odd_values_come_back(values):
    w = blockwise("int4", (48, 192), 32)
    w[3, 5:40] = values
    model = model_of({"w": w})
    for codec in _CODERS:
        assert packing.unpack(packing.pack(model, codec=codec)) == model


def test_multiples_of_one_step_stay_with_their_grid():
    w = (np.random.default_rng(0).integers(-7, 8, (64, 64)) * 0.125).astype(np.float32)
    model = model_of({"w": w})
    entropy = 64 * 64 * np.log2(15) / 8
    assert len(packing.pack(model, codec="smallest")) < entropy + 250


@pytest.mark.parametrize(("codec", "axis"), [("fast", 0), ("small", 1)])
def test_large_tensors_are_divided_between_blocks(codec, axis):
    w = np.concatenate([blockwise("int4", (640, 1024), 64, axis=axis, seed=s) for s in range(2)])
    model = model_of({"w": w, "flat": w.reshape(-1)[: 1 << 20]})
    packed = packing.pack(model, codec=codec)
    assert packing.unpack(packed, threads=2) == model
    with packing.open_packed(packed) as file:
        place = file.tensors[0]
        assert file.tensor(0).tobytes() == model[place.offset : place.offset + place.size]


@pytest.mark.parametrize("codec", ["fast", "small", "smallest", "auto"])
@pytest.mark.parametrize(
    ("kind", "bits", "low"), [(_T.INT4, 4, -8), (_T.UINT4, 4, 0), (_T.INT2, 2, -2)]
)
@pytest.mark.parametrize("shape", [(33, 57), (64, 128), (4099,)])
def test_less_than_a_byte(kind, bits, low, shape, codec):
    values = np.random.default_rng(1).normal(size=shape) * 2 + (0 if low else 8)
    values = np.clip(np.round(values), low, low + 2**bits - 1)
    f = Foreign()
    f.tensor("w", kind, shape, f.buffer(nibbles(values, bits)))
    model = f.finish()
    packed = packing.pack(model, codec=codec)
    assert packing.unpack(packed) == model
    if codec in ("fast", "small"):
        assert slow_reader.unpack(packed) == model
    if codec != "fast":
        counts = np.unique(values, return_counts=True)[1] / values.size
        entropy = -(counts * np.log2(counts)).sum() * values.size / 8
        assert len(packed) < 1.02 * entropy + 260


def test_patches():
    old = {"w": blockwise("q4_0", (48, 192), 32), "v": blockwise("q4_1", (48, 192), 32)}
    new = {k: v.copy() for k, v in old.items()}
    new["w"][7] = blockwise("q4_0", (1, 192), 32, seed=9)
    base, model = model_of(old), model_of(new)
    patch = packing.pack(model, base=base)
    assert packing.unpack(patch, base=base) == model
    assert len(patch) < 600
    patch = packing.pack(model, base=b"something else " * 90)
    assert packing.unpack(patch, base=b"something else " * 90) == model


# A file of 25 float16 zeros: three levels from 0 on, five blocks with the scale 1.
_RECORD = (0x86, 2, 64, 0, 25, 0, 0, 2, 8, 5, 1, 25, 120, 129, 2, 0, 0)
_ORIGINAL = bytes(range(10)) + bytes(50) + bytes(range(40))
_ONE = b"".join(b"\0" + bytes([b]) * 5 for b in (0, 0, 0, 0x7F))
_SYMBOLS = huffman_lengths([2, 2, 2, 2]) + streams(bytes(2), bytes(2), bytes(2), bytes(1))
_SIGNS = bytes(4)


def _file(record: tuple[int, ...] = _RECORD, payload: bytes = _ONE + _SYMBOLS + _SIGNS) -> bytes:
    plan = Plan().record(10, 50, *record)
    return write_kcz(plan, _ORIGINAL[:10] + _ORIGINAL[60:], [payload], _ORIGINAL)


def test_the_file_of_the_attacks_is_good_but_for_them():
    assert packing.unpack(_file()) == _ORIGINAL == slow_reader.unpack(_file())


def _with(place: int, *values: int) -> tuple[int, ...]:
    return _RECORD[:place] + values + _RECORD[place + len(values) :]


@pytest.mark.parametrize(
    "record",
    [
        _with(1, 4),  # an element of another size than the format's
        _with(1, 132),  # of bits
        *(_with(2, flags) for flags in (65, 72, 80, 96, 128, 192)),
        _with(8, 3),  # no such format
        *(_with(8, 8 + 16), _with(8, 12), _with(8, 32 + 8)),
        *(_with(9, block) for block in (0, 26, 2**63)),
        *(_with(10, stride) for stride in (0, 2, 2**63, 2**64 - 1)),
        *(_with(11, axis) for axis in (0, 4, 24, 26, 50, 2**62, 2**64 - 1)),
        *(_with(12, low, high) for low, high in ((0, 129), (130, 129), (120, 255))),
        _with(16, 2 * 257),  # levels from 257 on
        (*_RECORD, 0),
        _RECORD[:-1],
        (0x86, 132, 1, 0, 25, 0, 0, 16),  # four bits hold no 16
        (0x86, 129, 1, 0, 25, 0, 0, 1),
        (0x86, 132, 0, 0, 25, 0, 0, 1, 0, 0),  # bits without identity
    ],
)
def test_wrong_fields_are_refused(record):
    with pytest.raises(PackedFileError, match="damaged"):
        packing.unpack(_file(record))


@pytest.mark.parametrize(
    "payload",
    [
        *(_ONE.replace(b"\x7f", bytes([b])) + _SYMBOLS + _SIGNS for b in (0, 0xFF)),
        _ONE + _SYMBOLS.replace(bytes(2), b"\3\0", 1) + _SIGNS,
        _ONE + _SYMBOLS + _SIGNS[1:],
        _ONE + _SYMBOLS + _SIGNS + b"\0",
        _ONE + _SYMBOLS + b"\0\0\0\2",  # a sign of no zero
        _ONE + _SYMBOLS + b"\1\0\0\0",  # -0: another file
        _ONE[:-3] + _SYMBOLS + _SIGNS,
        b"",
    ],
)
def test_wrong_payloads_are_refused(payload):
    with pytest.raises(PackedFileError):
        packing.unpack(_file(payload=payload))


@pytest.mark.parametrize("method", [4, 13])
def test_noise_for_models_is_refused(method):
    rng = np.random.default_rng(method)
    record = (0x80 | method, *((0,) if method == 13 else ()), *_RECORD[1:])
    for _ in range(40):
        with pytest.raises(PackedFileError):
            packing.unpack(_file(record, rng.bytes(int(rng.integers(1, 60)))))


def test_a_listed_level_that_is_no_number_is_refused():
    levels = np.array([np.nan, 1, 2], "<f4").tobytes()
    record = (*_with(8, 16 + 8)[:16], *levels)
    with pytest.raises(PackedFileError, match="damaged"):
        packing.unpack(_file(record))
