"""Damaged and hostile packed files end in one error, never in a crash or in wrong bytes."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from keras_compress import packing
from keras_compress.errors import PackedFileError
from tests.packing.kcz_writer import Plan, container, crc32c, reframed, varint, write_kcz
from tests.packing.tflite_models import build_model, clustered

_GOLDEN = Path(__file__).with_name("golden")


@pytest.fixture(scope="module", params=["fast", "small", "smallest"])
def packed(request) -> bytes:
    model = build_model({
        "w": clustered((12, 20), 5, 0.6),
        "v": np.random.default_rng(1).normal(size=(8, 9)).astype(np.float32),
        "q": np.arange(300).astype(np.int8),
    })  # fmt: skip
    return packing.pack(model, codec=request.param)


def test_every_flipped_bit_is_found(packed):
    for at in range(len(packed)):
        for bit in range(8):
            broken = bytearray(packed)
            broken[at] ^= 1 << bit
            with pytest.raises(PackedFileError):
                packing.unpack(bytes(broken))


@pytest.mark.parametrize(
    "path",
    [p for p in sorted(_GOLDEN.glob("*.kcz")) if p.stat().st_size < 8000],
    ids=lambda p: p.stem,
)
def test_every_flipped_bit_of_golden_files_is_found(path):
    base = (
        packing.unpack((_GOLDEN / "kinds_smallest.kcz").read_bytes())
        if "patch" in path.stem
        else None
    )
    broken = bytearray(path.read_bytes())
    # Of larger ones not every byte: the whole takes no minute.
    for at in range(0, len(broken), 1 if len(broken) < 2000 else 11):
        for bit in range(8):
            broken[at] ^= 1 << bit
            with pytest.raises(PackedFileError):
                packing.unpack(bytes(broken), base=base)
            broken[at] ^= 1 << bit
    packing.verify(bytes(broken), base=base)  # whole again, it is a good one


def test_every_truncation_is_found(packed):
    for size in range(len(packed)):
        with pytest.raises(PackedFileError, match=r"ends early|not a packed file|\(whole file\)"):
            packing.unpack(packed[:size])


@pytest.mark.parametrize("extra", [b"\0", b"more", b"\x89KCZ"])
def test_trailing_bytes_are_found(packed, extra):
    # A small file has one checksum for all, and no length for its last section.
    with pytest.raises(PackedFileError, match=r"checksum does not match \(whole file\)"):
        packing.unpack(packed + extra)
    larger = reframed(packed)
    with pytest.raises(PackedFileError, match="bytes follow the last section"):
        packing.unpack(larger + extra)


def test_the_section_is_named():
    packed = reframed((_GOLDEN / "sparse_small.kcz").read_bytes())
    assert packing.unpack(packed)
    broken = bytearray(packed)
    broken[-8] ^= 1
    with pytest.raises(PackedFileError, match=r"checksum does not match \(data section \d\)"):
        packing.unpack(bytes(broken))
    broken = bytearray(packed)
    broken[8] ^= 1
    with pytest.raises(PackedFileError, match=r"\(header\)"):
        packing.unpack(bytes(broken))


def test_a_newer_version_is_named(packed):
    with pytest.raises(PackedFileError, match=r"version 2\. Update keras-compress"):
        packing.unpack(packed[:4] + b"\x02" + packed[5:])


def test_verify_finds_what_unpack_finds(packed):
    packing.verify(packed)
    with pytest.raises(PackedFileError):
        packing.verify(packed[:-1])


@pytest.mark.parametrize("size", [2**31, 2**32 - 1, 2**32, 2**32 + 1, 2**40, 2**63, 2**64 - 1])
def test_huge_declared_sizes_are_refused_before_memory_is_taken(size):
    for form in (0, 1):
        with pytest.raises(PackedFileError, match=r"declared size|damaged"):
            packing.unpack(container([b"abc"], original_size=size, form=form))


@pytest.mark.parametrize("length", [4, 100, 2**31, 2**32 - 1, 2**32, 2**63, 2**64 - 1])
def test_sections_longer_than_the_file(length):
    data = container([b"abc"], original_size=3, form=0, lengths=[length])
    with pytest.raises(PackedFileError):
        packing.unpack(data)


def test_a_number_too_long_for_64_bits():
    head = b"\x89KCZ\x01\x00" + b"\xff" * 11 + bytes(8)
    with pytest.raises(PackedFileError):
        packing.unpack(head + crc32c(head).to_bytes(4, "little"))


def test_a_number_in_a_longer_form_than_needed():
    good = container([b"abc"], original_size=3, form=0)
    assert packing.unpack(good) == b"abc"
    with pytest.raises(PackedFileError):
        packing.unpack(container([b"abc"], original_size=b"\x83\x00", form=0))


@pytest.mark.parametrize("form", [2, 3, 15, 0x20, 0x80])
def test_unknown_forms(form):
    with pytest.raises(PackedFileError):
        packing.unpack(container([b"abc"], original_size=3, form=form))


def test_no_sections_and_very_many():
    with pytest.raises(PackedFileError):
        packing.unpack(container([], original_size=0, form=0))
    with pytest.raises(PackedFileError):
        packing.unpack(container([b""] * 5000, original_size=0, form=1))


def test_a_stored_file_with_a_wrong_size():
    with pytest.raises(PackedFileError):
        packing.unpack(container([b"abc"], original_size=4, form=0))


class TestPlans:
    """Files whose checksums are right and whose plans are not."""

    def test_the_writer_of_these_tests_is_right(self):
        data = bytes(range(100))
        plan = Plan().raw(gap=10, size=50)
        assert packing.unpack(write_kcz(plan, data[:10] + data[60:], [data[10:60]], data)) == data

    @pytest.mark.parametrize(
        "plan",
        [
            Plan().raw(gap=51, size=50),  # a gap past the skeleton
            Plan().raw(gap=2**63, size=50),
            Plan().raw(gap=10, size=51),  # more than the original
            Plan().raw(gap=10, size=49),  # less
            Plan().raw(gap=10, size=2**64 - 1),
            Plan().raw(gap=10, size=25).raw(gap=0, size=2**64 - 25),
            Plan().record(10, 50, 9),  # an unknown method
            Plan().record(10, 50, 127),
            Plan().record(10, 50, 0),  # no section opened
            Plan().record(10, 50, 0x81, 7),  # fill needs no section
            Plan().record(10, 50, 2, 1),  # a copy of nothing
            Plan().record(10, 25, 1, 7).record(0, 25, 2, 0),  # a copy of itself
            Plan().record(10, 20, 1, 7).record(0, 30, 2, 1),  # a copy of another size
            Plan().record(10, 50, 0x83, 0),  # a stride of nothing
            Plan().record(10, 50, 0x85, 3, 50, 50, 0, 9, 4, 0),  # an unknown float format
            Plan().record(10, 48, 0x85, 2, 0, 12, 9, 8, 4, 0),  # lowest above highest
            Plan().record(10, 50, 0x84, 3, 0, 0, 50, 0, 0, 0),  # elements of three bytes
            Plan().record(10, 50, 0x84, 1, 255, 0, 50, 0, 0, 0, 0),  # unknown flags
            Plan().record(10, 50, 0x84, 1, 1, 0, 0, 5, 0, 9),  # rows of nothing
            Plan().record(10, 50, 0x84, 1, 1, 60, 50, 5, 0, 9),  # last above row
            Plan().record(10, 50, 0x84, 1, 1, 0, 51, 5, 0, 9),  # row above all
            Plan().record(10, 50, 0x84, 1, 1, 0, 50, 200, 0, 9),  # centre out of range
            Plan().record(10, 50, 0x84, 1, 0, 0, 50, 0, 0, 255),  # a codebook cut short
            Plan().raw(gap=10, size=50).rule(0, 2**62, 0, 0),  # rules out of bounds
            Plan().raw(gap=10, size=50).rule(0, 4, -4, 8),
            Plan().raw(gap=10, size=50).rule(0, 4, 4, 2**40),
            Plan().raw(gap=10, size=50).rule(0, 4, 0, 20),  # a rule over itself
            Plan().raw(gap=10, size=50).rule(8, 2, 8, 12).rule(-8 % 2**64, 1, 8, 12),
            Plan(extents=2**40),
            Plan(extents=2),
            Plan(tail=b"\0"),
        ],
        ids=range(31),
    )
    def test_bad_plans(self, plan):
        data = bytes(range(100))
        packed = write_kcz(plan, data[:10] + data[60:], [data[10:60]], data)
        with pytest.raises(PackedFileError):
            packing.unpack(packed)

    def test_more_sections_than_planned(self):
        data = bytes(range(100))
        plan = Plan().raw(gap=10, size=50)
        skeleton = data[:10] + data[60:]
        for sections in ([], [data[10:60], b""], [data[10:61]], [data[10:59]]):
            with pytest.raises(PackedFileError):
                packing.unpack(write_kcz(plan, skeleton, sections, data))

    def test_nothing_outside_the_extents(self):
        # Found by fuzzing: with an empty skeleton a null pointer went into a copy of no bytes.
        data = b"A" * 40 + bytes(range(60))
        plan = Plan().record(0, 40, 1, 65).raw(gap=0, size=60)
        plan._records[1] = plan._records[1][:-1] + b"\x80"
        assert packing.unpack(write_kcz(plan, b"", [data[40:]], data)) == data

    def test_a_zip_bomb_is_bounded_by_the_limit(self):
        # 20 MB out of some forty bytes is what a writer may declare; a caller may allow less.
        size = 20 << 20
        plan = Plan().record(0, size, 1, 65)
        packed = write_kcz(plan, b"", [], b"A" * size)
        assert len(packed) < 100
        with pytest.raises(PackedFileError, match="declared size"):
            packing.unpack(packed, max_size=1 << 20)
        assert packing.unpack(packed) == b"A" * size

    @pytest.mark.parametrize("method", [6, 7])
    @pytest.mark.parametrize("seed", range(40))
    def test_random_huffman_sections(self, method, seed):
        rng = random.Random(seed)
        data = bytes(range(100))
        payload = varint(rng.choice([1, 2, 255, 256])) if method == 7 else b""
        payload += varint(rng.choice([0, 1, 2, 7, 256, 257, 2048, 2**40]))
        body = rng.randbytes(rng.randrange(0, 60))
        payload += varint(rng.choice([len(body), 0, 5, 2**63])) + body + rng.randbytes(30)
        plan = Plan().record(10, 50, 0x80 | method, 1, 1, 0, 50, 4, 0, 200)
        with pytest.raises(PackedFileError):
            packing.unpack(write_kcz(plan, data[:10] + data[60:], [payload], data))

    @pytest.mark.parametrize("seed", range(40))
    def test_random_model_sections(self, seed):
        rng = random.Random(seed)
        data = bytes(range(100))
        plan = [
            Plan().record(10, 50, 0x84, 1, 0, 0, 50, 0, 0, 2, 7, 8, 9),
            Plan().record(10, 48, 0x85, 2, 0, 12, 3, 200, 9, 14).record(0, 2, 1, 0),
            Plan().record(10, 48, 0x85, 2, 0, 12, 3, 200, 10, 14).record(0, 2, 1, 0),
            Plan().record(10, 50, 0x83, 4),
        ][seed % 4]
        payload = varint(rng.choice([0, 5, 30, 2**50])) + rng.randbytes(rng.randrange(60))
        with pytest.raises(PackedFileError):
            packing.unpack(write_kcz(plan, data[:10] + data[60:], [payload], data))
