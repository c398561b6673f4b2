"""Bytes that are no numbers: text, code, tables that repeat, beside general compressors."""

from __future__ import annotations

import lzma
import zlib

import numpy as np
import pytest

from keras_compress import packing
from keras_compress.errors import PackedFileError
from tests.packing import slow_reader
from tests.packing.kcz_writer import Plan, container, crc32c, huffman_lengths, varint
from tests.packing.tflite_models import build_model

_CODECS = ("smallest", "auto", "small", "fast")


def words(count: int, seed: int = 0) -> bytes:
    """Text of words as frequent as those of a language."""
    rng = np.random.default_rng(seed)
    letters = np.frombuffer(b"etaoinshrdlucmfwypvbgkjqxz", np.uint8)
    weights = 1 / np.arange(2, 28)
    vocabulary = [
        rng.choice(letters, rng.integers(2, 9), p=weights / weights.sum()).tobytes()
        for _ in range(900)
    ]
    ranks = 1 / np.arange(1, 901)
    chosen = rng.choice(900, count, p=ranks / ranks.sum())
    return b" ".join(vocabulary[k] for k in chosen)


def accelerator(channels: int = 64, seed: int = 3) -> bytes:
    """Tables of biases and scales between coded weights, as accelerators have them."""
    rng = np.random.default_rng(seed)
    out = b""
    for scale in rng.integers(1 << 30, 1 << 31, 8):
        for bias in rng.normal(0, 1e4, channels).astype(np.int64):
            out += int(bias).to_bytes(5, "little", signed=True) + int(scale).to_bytes(4, "little")
            out += b"\x27"
        out += rng.integers(0, 256, 7000).astype(np.uint8).tobytes()
    return out


def addresses(count: int = 400) -> np.ndarray:
    """A list of commands whose addresses grow by constants, which change now and then."""
    step = np.repeat([168, 72, 8, 4096], count // 4)
    sources, targets = 0x333690 + np.cumsum(step), 0xAB1878 + 8 * np.arange(count)
    words = [np.full(count, 0x4000), sources, np.full(count, 0x4010), targets, np.full(count, 5)]
    return np.stack(words, axis=1).astype("<u4").view(np.uint8).ravel()


def _numbers(data: bytes) -> np.ndarray:
    return np.frombuffer(data, np.uint8)


_TENSORS = {
    "text": _numbers(words(1500)),
    "vocabulary": _numbers(b"\n".join(b"%d\t%s" % w for w in enumerate(words(1200).split()))),
    "accelerator": _numbers(accelerator()),
    "addresses": addresses(),
    "commands": np.tile(np.arange(60, dtype="<u2"), 40).view(np.uint8),
    "rows": np.tile(np.random.default_rng(1).normal(size=(1, 300)), (30, 1)).astype(np.float32),
    "noise": np.random.default_rng(2).integers(0, 256, 9000).astype(np.uint8),
}


def _general(model: bytes) -> tuple[int, int]:
    return len(zlib.compress(model, 9)) + 12, len(
        lzma.compress(model, preset=9 | lzma.PRESET_EXTREME)
    )


@pytest.mark.parametrize("name", sorted(_TENSORS))
def test_no_larger_than_general_compressors_and_faster_codecs_make_it(name):
    model = build_model({name: _TENSORS[name]})
    gzip, xz = _general(model)
    packed = {codec: packing.pack(model, codec=codec) for codec in _CODECS}
    assert all(packing.unpack(each) == model for each in packed.values())
    sizes = {codec: len(each) for codec, each in packed.items()}
    assert sizes["fast"] <= gzip
    assert sizes["small"] <= xz * 1.01
    assert sizes["auto"] <= xz
    assert sorted(sizes.values()) == list(sizes.values())


@pytest.mark.parametrize("name", sorted(_TENSORS))
def test_slower_codecs_are_never_larger_where_there_is_no_model(name):
    data = _TENSORS[name].tobytes()
    packed = [packing.pack(data, codec=codec) for codec in _CODECS]
    assert sorted(map(len, packed)) == list(map(len, packed))
    assert all(packing.unpack(p) == data for p in packed)


def test_text_behind_a_model_gets_tables_that_hold_it():
    weights = np.random.default_rng(0).integers(-9, 9, (50, 64)).astype(np.int8)
    model = build_model({"w": weights}) + words(6000)
    packed = packing.pack(model)
    assert len(packed) < 0.85 * _general(model)[1]
    assert packing.unpack(packed) == model


def test_addresses_that_grow_by_constants_cost_next_to_nothing():
    few, many = (build_model({"a": addresses(count)}) for count in (400, 2000))
    more = len(packing.pack(many, codec="small")) - len(packing.pack(few, codec="small"))
    assert more < 0.25 * (_general(many)[1] - _general(few)[1])


def test_floats_that_repeat_cost_next_to_nothing_in_fast():
    model = build_model({"rows": _TENSORS["rows"]})
    row = build_model({"rows": _TENSORS["rows"][:1]})
    assert len(packing.pack(model, codec="fast")) < len(packing.pack(row, codec="fast")) + 180


def test_the_coders_are_those_for_bytes():
    model = build_model({"text": _TENSORS["vocabulary"]})
    coders = {c: packing.inspect(packing.pack(model, codec=c)).tensors[0].coder for c in _CODECS}
    assert coders == {"fast": "repeats", "small": "lz", "auto": "bytes", "smallest": "bytes"}


@pytest.mark.parametrize("codec", ["fast", "small"])
def test_both_readers_agree(codec):
    tensors = {k: v[: 5000 // v[:1].size] for k, v in _TENSORS.items() if k != "noise"}
    model = build_model(tensors)
    packed = packing.pack(model, codec=codec)
    assert slow_reader.unpack(packed) == model


def test_both_readers_agree_on_a_primed_graph():
    # Names as converters write them are in the priming graphs, and tell the small codec's form.
    text = words(40) + b"StatefulPartitionedCall:0 serving_default_input_1:0 " * 2
    packed = packing.pack(text, codec="small")
    assert slow_reader.unpack(packed) == text


_DATA = bytes(range(50)) * 2


def _file(method: int, payload: bytes) -> bytes:
    plan = Plan().record(10, 50, 0x80 | method).encode()
    skeleton = _DATA[:50]
    first = b"\0" + varint(len(plan)) + varint(len(skeleton)) + plan + skeleton
    return container([first, payload], original_size=100, form=1, crc=crc32c(_DATA))


def _first(form: int, body: bytes) -> bytes:
    section = bytes([form]) + varint(2) + varint(98) + body
    return container([section], original_size=100, form=1, crc=crc32c(_DATA))


_FAIR = huffman_lengths([2, 2, 2, 2])
_HUGE = (51, 2**31, 2**32 - 1, 2**63, 2**64 - 1)
_ATTACKS = {
    "nothing": b"",
    "an empty block": varint(0) + _FAIR + _FAIR + varint(0),
    "a block without its codes": varint(50),
    "a stream cut short": varint(50) + _FAIR + _FAIR + varint(4) + bytes(4),
    "a stream too long": varint(50) + _FAIR + _FAIR + varint(20) + bytes(20),
    "no second block": varint(20) + _FAIR + _FAIR + varint(5) + bytes(5),
    "bytes behind the last": varint(50) + _FAIR + _FAIR + varint(13) + bytes(13) + b"\0",
    **{f"a block of {n}": varint(n) + _FAIR + _FAIR + varint(13) + bytes(13) for n in _HUGE},
    **{f"a stream of {n}": varint(50) + _FAIR + _FAIR + varint(n) + bytes(13) for n in _HUGE},
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(_ATTACKS))
def test_attack_of_repeats(name):
    body = _ATTACKS[name]
    for data in (_file(17, varint(len(body)) + body), _first(1, body), _first(2, body)):
        with pytest.raises(PackedFileError, match="section"):
            packing.unpack(data)


def test_a_good_block_is_read():
    body = varint(50) + _FAIR + _FAIR + varint(13) + bytes(13)
    wanted = _DATA[:10] + bytes(50) + _DATA[10:50]
    plan = Plan().record(10, 50, 0x80 | 17).encode()
    first = b"\0" + varint(len(plan)) + varint(50) + plan + _DATA[:50]
    data = container(
        [first, varint(len(body)) + body], original_size=100, form=1, crc=crc32c(wanted)
    )
    assert packing.unpack(data) == slow_reader.unpack(data) == wanted


@pytest.mark.parametrize("length", [0, 1, 2, 5, 9, 20, 60])
def test_any_code_of_lz_ends_in_an_error(length):
    rng = np.random.default_rng(length)
    for _ in range(40):
        body = rng.bytes(length)
        for data in (_file(18, body), _first(3, body), _first(4, body)):
            with pytest.raises(PackedFileError):
                packing.unpack(data)
