"""The fast models: what they are for, and files that abuse them."""

from __future__ import annotations

import numpy as np
import pytest

from keras_compress import packing
from keras_compress.errors import PackedFileError
from tests.packing import slow_reader
from tests.packing.kcz_writer import Plan, container, crc32c, varint
from tests.packing.tflite_models import build_model, clustered

_RNG = np.random.default_rng(12)


def _filters(shape: tuple[int, ...], spread: float) -> np.ndarray:
    """Rows of unlike sizes, each element like the one before it."""
    noise = _RNG.normal(size=shape) * _RNG.uniform(0.2, 1, (shape[0],) + (1,) * (len(shape) - 1))
    noise[..., 1:] = 0.8 * noise[..., :-1] + 0.6 * noise[..., 1:]
    return noise * spread


_TENSORS = {
    "int8": np.clip(_filters((40, 3, 3, 8), 20), -128, 127).astype(np.int8),
    "uint8": np.clip(_filters((30, 90), 20) + 140, 0, 255).astype(np.uint8),
    "one side": _RNG.integers(0, 90, (20, 31)).astype(np.uint8) ** 2 // 90,
    "odd count": _filters((1, 1, 1, 137), 40).astype(np.int8),
    "long rows": (_filters((3, 5000), 9) * (_RNG.uniform(size=(3, 5000)) < 0.2)).astype(np.int8),
    "two values": np.where(_RNG.uniform(size=(20, 40)) < 0.3, np.float32(-0.5), np.float32(0.25)),
    "codebook": clustered((60, 50), 30, 0.6),
    "half": _filters((12, 40), 0.1).astype(np.float16),
    "float": _filters((17, 3, 3, 5), 0.1).astype(np.float32),
    "biases": (_RNG.normal(size=67) * 1e6).astype(np.int32),
}


@pytest.mark.parametrize("name", _TENSORS)
def test_both_readers_agree(name):
    model = build_model({name: _TENSORS[name]})
    packed = packing.pack(model, codec="small")
    assert any(t.coder.startswith("fast ") for t in packing.inspect(packed).tensors)
    assert packing.unpack(packed) == model
    assert slow_reader.unpack(packed) == model


@pytest.mark.parametrize("count", [*range(32, 44), 8191, 8192, 8193, 8194])
def test_blocks_and_halves_of_any_length(count):
    values = np.round(_RNG.normal(size=count) * 2).astype(np.int8)
    model = build_model({"dense": values + np.int8(60), "w": values})
    packed = packing.pack(model, codec="small")
    assert packing.unpack(packed) == model
    assert slow_reader.unpack(packed) == model


def test_small_is_between_fast_and_smallest():
    model = build_model({name: values for name, values in _TENSORS.items() if name != "biases"})
    sizes = {c: len(packing.pack(model, codec=c)) for c in ("fast", "small", "smallest")}
    assert sizes["smallest"] < sizes["small"] < 0.99 * sizes["fast"]


def test_contexts_are_chosen_that_tell_something():
    # Each row repeats the one before it with little noise: what is above tells nearly all.
    row = _RNG.integers(-100, 100, 200)
    alike = (row + _RNG.integers(-2, 3, (60, 200))).astype(np.int8)
    mixed = _RNG.permuted(alike, axis=1)
    sizes = [len(packing.pack(build_model({"w": w}), codec="small")) for w in (alike, mixed)]
    assert sizes[0] < 0.8 * sizes[1]


def test_auto_leaves_large_tensors_to_fast_models():
    large = np.clip(_filters((1000, 1500), 20), -128, 127).astype(np.int8)
    packed = packing.pack(build_model({"large": large, "w": _TENSORS["int8"]}))
    coders = {t.count: t.coder for t in packing.inspect(packed).tensors}
    assert coders[large.size] == "fast symbols"
    assert coders[_TENSORS["int8"].size] == "symbols"


_DATA = bytes(range(50)) * 2
_FAST = (0x8D, 0, 1, 1, 0, 50, 1, 0, 3)
_FLOATS = (0x8E, 0, 0, 0, 25, 3, 9, 4, 0)
_INTEGERS = (0x8F, 0, 20)


def _file(record: tuple[int, ...], payload: bytes, *, size: int = 50) -> bytes:
    plan = Plan().record(10, size, *record).encode()
    skeleton = _DATA[: 100 - size]
    first = b"\0" + varint(len(plan)) + varint(len(skeleton)) + plan + skeleton
    return container([first, payload], original_size=100, form=1, crc=crc32c(_DATA))


def _lanes(first: bytes, second: bytes, noise: bytes = b"") -> bytes:
    return varint(len(first)) + varint(len(second)) + first + second + noise


def _changed(record: tuple[int, ...], at: int, value: int) -> tuple[int, ...]:
    return (*record[:at], value, *record[at + 1 :])


_HUGE = (2**31, 2**32 - 1, 2**63, 2**64 - 1)


@pytest.mark.parametrize(
    ("data", "place"),
    [
        *((_file(_changed(_FAST, 1, c), bytes(9)), "skeleton") for c in (7, 15, 63, 64, 255)),
        *((_file(_changed(_FLOATS, 1, c), bytes(9)), "skeleton") for c in (7, 64, 128)),
        *((_file(_changed(_INTEGERS, 2, n), bytes(9)), "skeleton") for n in (0, 33, 255)),
        (_file(_changed(_FAST, 5, 51), bytes(9)), "skeleton"),  # a row longer than the extent
        (_file(_changed(_FAST, 4, 51), bytes(9)), "skeleton"),
        (_file(_INTEGERS, bytes(9)), "skeleton"),  # no whole elements
        *((_file(_FAST, varint(n) + bytes(20)), "section 1") for n in _HUGE),
        *((_file(_FAST, varint(4) + varint(n) + bytes(20)), "section 1") for n in _HUGE),
        (_file(_FAST, b""), "section 1"),
        (_file(_FAST, _lanes(bytes(40), bytes(1))), "section 1"),  # bytes left over
        (_file(_FAST, _lanes(bytes(1), bytes(40))), "section 1"),
        (_file(_FAST, _lanes(b"\x80", b"\x80", bytes(3))), "section 1"),  # noise left over
        (_file(_changed(_FAST, 1, 56), _lanes(b"\x80", b"\x80")), "section 1"),  # none there
        (_file(_FLOATS, _lanes(b"\x80", b"\x80", bytes(4))), "section 1"),
        (_file(_changed(_FLOATS, 7, 11), _lanes(b"\x80", b"\x80")), "section 1"),  # 11 bits of 10
        (_file(_changed(_FLOATS, 6, 32), _lanes(b"\x80", b"\x80")), "section 1"),  # exponent 32
        (_file(_INTEGERS, _lanes(b"\x80", b"\x80", bytes(400)), size=40), "section 1"),
    ],
)  # fmt: skip
def test_attack(data, place):
    with pytest.raises(PackedFileError, match=place):
        packing.unpack(data)


@pytest.mark.parametrize("context", [0, 1, 2, 3, 4, 5, 6, 0o52, 0o37])
@pytest.mark.parametrize("record", [_FAST, _FLOATS, _INTEGERS])
def test_any_code_ends_in_an_error(record, context):
    """Whatever the lanes hold, symbols stay in their codebook's range or the file is refused."""
    rng = np.random.default_rng(context)
    size = 40 if record is _INTEGERS else 50
    for length in range(1, 40):
        payload = _lanes(rng.bytes(length), rng.bytes(length), rng.bytes(length % 7))
        with pytest.raises(PackedFileError):
            packing.unpack(_file(_changed(record, 1, context), payload, size=size))
