"""Attack files among patches: whatever they say of their base is checked before it is used."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from keras_compress import packing
from keras_compress.errors import PackedFileError
from tests.packing import slow_reader
from tests.packing.kcz_writer import ArithmeticEncoder, Plan, container, crc32c, varint, write_kcz
from tests.packing.slow_patch import ReferenceModel
from tests.packing.test_attacks import memory_taken

_HUGE = [2**31, 2**32 - 1, 2**32, 2**32 + 50, 2**63, 2**64 - 50, 2**64 - 1]
_BASE = _DATA = bytes(range(100))
_SKELETON = _DATA[:10] + _DATA[60:]
_SUM = crc32c(_BASE)
_ANOTHER, _MALFORMED = "Received: another file", "a field holds a value that no writer writes "
_HEADER, _SKELETON_SECTION, _FIRST = "(header)", "(skeleton section)", "(data section 1)"


def _place(base: int, offset: int = 10, shift: int = 0) -> int:
    """How the plan names `base` for an extent at `offset`; the one before was `shift` further."""
    moved = (base - offset - shift + 2**63) % 2**64 - 2**63
    return 2 * moved if moved >= 0 else -2 * moved - 1


def _patch(plan: Plan, *sections: bytes, size: int = 100) -> bytes:
    return write_kcz(plan, _SKELETON, list(sections), _DATA[:size], _BASE)


def _framed(**changes) -> bytes:
    fields = {"original_size": 100, "form": 2, "crc": crc32c(_DATA), "base": (100, _SUM)}
    plan = Plan().record(10, 50, 9, 0).encode()
    first = b"\0" + varint(len(plan)) + varint(len(_SKELETON)) + plan + _SKELETON
    return container([first], **{**fields, **changes})


# Method, place in the base (10, as in the file), then as
# for symbols: element, flags, last, row, centre, lowest, highest.
_SYMBOLS = (0x8A, 0, 1, 1, 0, 50, 0, 0, 255)
_BOOK = (0x8A, 0, 2, 0, 0, 25, 0, 0, 2, *[7] * 6)
_FLOATS = (0x8B, 0, 2, 0, 25)
_SECTION = varint(30) + bytes(60)

ATTACKS: dict[str, tuple[bytes, str]] = {
    "another base": (_framed(base=(100, _SUM ^ 1)), _ANOTHER),
    "a base of another size": (_framed(base=(99, _SUM)), _ANOTHER),
    "a base of nothing": (_framed(base=(0, 0)), _ANOTHER),
    "version 0": (_framed(version=0), _MALFORMED + _HEADER),
    "bytes of a base in form 1": (_framed(form=1, base=None), _MALFORMED + _SKELETON_SECTION),
    "another original": (_framed(crc=1), "checksum does not match (whole file)"),
    "a section for bytes of the base": (
        _patch(Plan().record(10, 50, 0x89, 0), b""), _MALFORMED + _SKELETON_SECTION,
    ),
    "one byte past the base": (
        _patch(Plan().record(10, 50, 9, _place(51))), _MALFORMED + _SKELETON_SECTION,
    ),
    "bytes of no base": (
        write_kcz(Plan().record(10, 50, 9, 0), _SKELETON, [], _DATA),
        _MALFORMED + _SKELETON_SECTION,
    ),
    "a copy of itself": (
        _patch(Plan().record(10, 25, 9, 0).record(0, 25, 2, 0)), _MALFORMED + _SKELETON_SECTION,
    ),
    "a copy of another size": (
        _patch(Plan().record(10, 20, 9, 0).record(0, 30, 2, 1)), _MALFORMED + _SKELETON_SECTION,
    ),
}  # fmt: skip
for _n in _HUGE:
    ATTACKS[f"base of {_n}"] = _framed(base=(_n, _SUM)), _ANOTHER
    ATTACKS[f"base and original of {_n}"] = (
        _framed(base=(_n, _SUM), original_size=_n),
        _ANOTHER if _n < 2**62 else "declared size of",
    )
    ATTACKS[f"original of {_n}"] = (
        _framed(original_size=_n),
        "declared size of",
    )
    for _name, _record in {
        "base": (9,),
        "reference symbols": _SYMBOLS,
        "reference floats": _FLOATS,
    }.items():
        _at = (_record[0], _place(_n), *_record[2:])
        ATTACKS[f"{_name} at {_n}"] = (
            _patch(Plan().record(10, 50, *_at), _SECTION), _MALFORMED + _SKELETON_SECTION,
        )  # fmt: skip
        ATTACKS[f"{_name} of {_n} bytes"] = (
            _patch(Plan().record(10, _n, *(_record if len(_record) > 1 else (9, 0))), _SECTION),
            _MALFORMED + _SKELETON_SECTION,
        )
    for _what, _record in {
        "row of a reference": (*_SYMBOLS[:5], _n, *_SYMBOLS[6:]),
        "last of a reference": (*_SYMBOLS[:4], _n, *_SYMBOLS[5:]),
        "row of a drift": (*_FLOATS[:4], _n),
        "last of a drift": (*_FLOATS[:3], _n, 25),
    }.items():
        ATTACKS[f"{_what}: {_n}"] = (
            _patch(Plan().record(10, 50, *_record), _SECTION), _MALFORMED + _SKELETON_SECTION,
        )  # fmt: skip
    for _what, _record in {"reference symbols": _SYMBOLS, "reference floats": _FLOATS}.items():
        ATTACKS[f"arithmetic code of a {_what}: {_n}"] = (
            _patch(Plan().record(10, 50, *_record), varint(_n) + bytes(40)), _MALFORMED + _FIRST,
        )  # fmt: skip
for _what, _record in {
    "channels beside a reference": (0x8A, 0, 2, 8, 0, 25, 0, 0, 2, 1, *[0] * 40),
    "elements of three bytes": (0x8A, 0, 3, 0, 0, 10, 0, 0, 2, *[7] * 9),
    "identity of two bytes": (0x8A, 0, 2, 1, 0, 25, 0, 0, 2),
    "a centre out of range": (0x8A, 0, 1, 1, 0, 50, 9, 0, 3),
    "a codebook cut short": (0x8A, 0, 4, 0, 0, 10, 0, 0, 255, 1, 2, 3),
    "rows of nothing": (0x8A, 0, 1, 1, 0, 0, 0, 0, 255),
    "rows of nothing in a drift": (0x8B, 0, 2, 0, 0),
    "drift of bytes": (0x8B, 0, 1, 0, 50),
    "drift of three bytes": (0x8B, 0, 3, 0, 10),
    "drift of eight bytes": (0x8B, 0, 8, 0, 5),
    "drift of a half element": (0x8B, 0, 4, 0, 12),
    "a reference past the end": (0x8A, _place(51), *_SYMBOLS[2:]),
    "a drift past the end": (0x8B, _place(51), *_FLOATS[2:]),
    "no section opened": (10, *_SYMBOLS[1:]),
}.items():
    ATTACKS[_what] = (
        _patch(Plan().record(10, 50, *_record), _SECTION), _MALFORMED + _SKELETON_SECTION,
    )  # fmt: skip
for _what, _record, _payload in (
    ("nothing for a reference", _SYMBOLS, b""),
    ("a reference's code cut short", _SYMBOLS, varint(3) + b"\xff\xee\xdd"),
    ("noise for a reference", _SYMBOLS, varint(4) + bytes(5)),
    ("nothing for a drift", _FLOATS, b""),
    ("no noise for a drift", _FLOATS, varint(40) + b"\x55" * 40),
    ("noise too long for a drift", _FLOATS, varint(4) + bytes(400)),
    # Two bits, 3, where the codebook has three entries.
    ("a symbol outside the codebook", _BOOK, varint(40) + bytes(40)),
):
    ATTACKS[_what] = _patch(Plan().record(10, 50, *_record), _payload), _MALFORMED + _FIRST


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_patch_attack(name):
    data, error = ATTACKS[name]
    with pytest.raises(PackedFileError) as caught:
        packing.unpack(data, base=_BASE)
    assert error in str(caught.value)
    with pytest.raises(PackedFileError) as again:
        packing.verify(data, base=_BASE)
    assert str(again.value) == str(caught.value)


@pytest.mark.skipif(sys.platform != "linux", reason="limits and /proc are Linux's")
def test_no_patch_attack_takes_memory():
    attacks = {name: (data, _BASE) for name, (data, _) in ATTACKS.items()}
    # The base costs a patch nothing: 2^16 times the base is within what it may declare.
    plan = Plan()
    for i in range(65_535):
        plan.record(0, 100, 9, 0 if i == 0 else _place(0, 100))
    encoded = plan.encode()
    first = b"\0" + varint(len(encoded)) + b"\0" + encoded
    attacks["the base many times"] = (
        container([first], original_size=100 * 65_535, form=2, base=(100, _SUM)), _BASE,
    )  # fmt: skip
    assert memory_taken(attacks) < 24 << 10


def test_the_attacks_differ_from_good_patches_in_one_thing_only():
    base = _framed()
    assert packing.unpack(base, base=_BASE) == slow_reader.unpack(base, _BASE)
    # Bytes of the base may be taken more than once, and copied on.
    original = _SKELETON[:10] + (_BASE[20:45] + _BASE[30:55]) * 2 + _SKELETON[10:]
    plan = (
        Plan()
        .record(10, 25, 9, _place(20))
        .record(0, 25, 9, _place(30, 35, 10))
        .record(0, 25, 2, 2)
        .record(0, 25, 2, 2)
    )
    patch = write_kcz(plan, _SKELETON, [], original, _BASE)
    assert packing.unpack(patch, base=_BASE) == slow_reader.unpack(patch, _BASE) == original


def _encoded_values(values: list[int], hints: list[int], row: int, bits: int) -> bytes:
    """Values by the slow model of references, which decodes what an encoder tells it."""
    wanted = [value >> b & 1 for value in values for b in range(bits - 1, -1, -1)]
    coder = ArithmeticEncoder(wanted)
    assert ReferenceModel().decode(coder, hints, row, row, bits) == values
    return coder.finish()


def test_a_reference_written_by_hand():
    rng = np.random.default_rng(3)
    moves = rng.integers(-3, 4, 50)
    reference = np.frombuffer(_BASE[10:60], np.uint8)
    elements = ((reference + moves) % 256).astype(np.uint8).tobytes()
    values = [int(2 * d if d >= 0 else -2 * d - 1) for d in moves]
    coded = _encoded_values(values, [b >> 2 for b in _BASE[10:60]], 50, 8)
    original = _SKELETON[:10] + elements + _SKELETON[10:]
    plan = Plan().record(10, 50, *_SYMBOLS)
    patch = write_kcz(plan, _SKELETON, [varint(len(coded)) + coded], original, _BASE)
    assert packing.unpack(patch, base=_BASE) == slow_reader.unpack(patch, _BASE) == original


@pytest.mark.parametrize("length", [33, 40, 63])
def test_moves_longer_than_any_element_count_as_32_bits(length):
    # No writer writes such lengths; all readers have to make the same of them.
    lengths = [length, 1, 0, length] + [0] * 21
    hints = [int.from_bytes(_BASE[i : i + 2], "little") >> 7 & 255 for i in range(10, 60, 2)]
    coded = _encoded_values(lengths, hints, 25, 6)
    # What follows are bits of counters: 0 by the coder's end, and noise as it likes.
    noise = b"\x5a" * 7 + b"\x1a"  # a sign and 29 bits below the upper two, twice; and a sign
    plan = Plan().record(10, 50, *_FLOATS)
    section = varint(len(coded)) + coded + noise
    first = slow_reader.read_modelled(
        [b"\0" + varint(len(plan.encode())) + varint(50) + plan.encode() + _SKELETON, section],
        100,
        _BASE,
    )
    patch = write_kcz(plan, _SKELETON, [section], first, _BASE)
    assert packing.unpack(patch, base=_BASE) == slow_reader.unpack(patch, _BASE) == first


# Method, place, stride, and the window of the base.
_BYTES = (0x90, 0, 1, 0, 100)


def _beside(plan: Plan, *sections: bytes, first: bytes | None = None) -> bytes:
    encoded = plan.encode()
    plain = b"\0" + varint(len(encoded)) + varint(len(_SKELETON)) + encoded + _SKELETON
    return container(
        [plain if first is None else first, *sections],
        original_size=100, form=2, crc=crc32c(_DATA), base=(100, _SUM),
    )  # fmt: skip


_BYTES_FILES: dict[str, tuple[bytes, str]] = {}
for _n in _HUGE:
    for _name, _record in {
        "a window": (0x90, 0, 1, _n, 100),
        "a window's size": (0x90, 0, 1, 0, _n),
        "a run": (9, _place(_n)),
    }.items():
        _BYTES_FILES[f"{_name} of {_n}"] = (
            _beside(Plan().record(10, 50, *_record), *[_SECTION] * (_record[0] > 127)),
            _MALFORMED + _SKELETON_SECTION,
        )
    _BYTES_FILES[f"ranges: {_n}"] = (
        _beside(Plan(), first=b"\x10\x02" + varint(_n) + bytes(60)), _MALFORMED + _SKELETON_SECTION,
    )  # fmt: skip
    for _name, _range in {"first": varint(_n) + b"\1", "size": b"\0" + varint(_n)}.items():
        _BYTES_FILES[f"a range's {_name} of {_n}"] = (
            _beside(Plan(), first=b"\x10\x02\x01" + _range + bytes(60)),
            _MALFORMED + _SKELETON_SECTION,
        )
for _what, _record in {
    "a window past the end": (0x90, 0, 1, 1, 100),
    "a stride of nothing": (0x90, 0, 0, 0, 100),
    "no section opened beside": (16, 0, 1),
}.items():
    _BYTES_FILES[_what] = (
        _beside(Plan().record(10, 50, *_record), _SECTION), _MALFORMED + _SKELETON_SECTION,
    )  # fmt: skip
_BYTES_FILES["an unknown size"] = (
    _beside(Plan().record(10, 0, 9, 0)), _MALFORMED + _SKELETON_SECTION,
)  # fmt: skip
_BYTES_FILES["an empty range"] = (
    _beside(Plan(), first=b"\x10\x02\x01\0\0" + bytes(60)), _MALFORMED + _SKELETON_SECTION,
)  # fmt: skip
_BYTES_FILES["nothing beside"] = _beside(Plan().record(10, 50, *_BYTES), b""), _MALFORMED + _FIRST
_BYTES_FILES["a code cut short beside"] = (
    _beside(Plan().record(10, 50, *_BYTES), varint(3) + b"\xff\xee\xdd"), _MALFORMED + _FIRST,
)  # fmt: skip


@pytest.mark.parametrize("name", sorted(_BYTES_FILES))
def test_attack_beside_a_base(name):
    data, error = _BYTES_FILES[name]
    with pytest.raises(PackedFileError) as caught:
        packing.unpack(data, base=_BASE)
    assert error in str(caught.value)


@pytest.mark.parametrize("place", [0, 2, 3, 2**63, 2**64 - 1])
def test_an_anchor_may_be_anywhere(place):
    plan = Plan().record(10, 50, 0x90, place, 1, 0, 100)
    section = varint(30) + bytes(30)
    first = b"\0" + varint(len(plan.encode())) + varint(50) + plan.encode() + _SKELETON
    wanted = slow_reader.read_modelled([first, section], 100, _BASE)
    patch = container(
        [first, section], original_size=100, form=2, crc=crc32c(wanted), base=(100, _SUM)
    )
    assert packing.unpack(patch, base=_BASE) == wanted
