"""Attack files, made by hand: each ends in its one error, names the section, and takes no memory.

All checksums are right, so that what is behind them is reached.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from keras_compress import packing
from keras_compress.errors import PackedFileError
from tests.packing.kcz_writer import (
    Plan,
    container,
    crc32c,
    huffman_lengths,
    streams,
    varint,
    write_kcz,
)

_HUGE = [2**31, 2**32 - 1, 2**32, 2**32 + 50, 2**63, 2**64 - 50, 2**64 - 1]
_DATA = bytes(range(50)) * 2
_SKELETON = _DATA[:10] + _DATA[60:]
_HEADER, _SKELETON_SECTION, _FIRST = "(header)", "(skeleton section)", "(data section 1)"
_UNKNOWN = "it uses what this version does not know "
_MALFORMED = "a field holds a value that no writer writes "
_FAIR = huffman_lengths([2, 2, 2, 2])
_EMPTY = streams(bytes(4), bytes(4), bytes(4), bytes(3))  # 13, 13, 13 and 11 symbols of two bits


def _first(form: int, plan_size: int, skeleton_size: int, body: bytes) -> bytes:
    """A file with this section 0 and no other."""
    section = bytes([form]) + varint(plan_size) + varint(skeleton_size) + body
    return container([section], original_size=100, form=1, crc=crc32c(_DATA))


def _coded(payload: bytes, *record: int, gap: int = 10, size: int = 50) -> bytes:
    """A file whose only extent, of 50 bytes, has this section."""
    plan = Plan().record(gap, size, *record)
    return write_kcz(plan, _SKELETON, [payload], _DATA)


def _planned(plan: Plan, *sections: bytes) -> bytes:
    return write_kcz(plan, _SKELETON, list(sections) or [_DATA[10:60]], _DATA)


_HUFFMAN = (0x86, 1, 1, 0, 50, 0, 0, 3)  # identity, symbols 0 to 3
_BOOK = (0x86, 1, 0, 0, 50, 0, 0, 2, 7, 8, 9)  # three entries
_GAPS = (0x87, 1, 1, 0, 50, 1, 0, 3)
_PLANES = (0x88, 0, 0, 25, 3, 9, 4, 0)
_SYMBOLS = (0x84, 1, 1, 0, 50, 1, 0, 3)
_FLOATS = (0x85, 0, 0, 25, 3, 9, 4, 0)
_BYTES = (0x83, 4)

ATTACKS: dict[str, tuple[bytes, str]] = {}


def _attack(name: str, data: bytes, error: str) -> None:
    assert name not in ATTACKS
    ATTACKS[name] = (data, error)


for _n in _HUGE:
    for _form in (0, 1):
        _attack(
            f"original of {_n}, form {_form}",
            container([b"abc"], original_size=_n, form=_form),
            "declared size of" if _n >= 2**26 else _HEADER,
        )
    _attack(f"section of {_n}", container([b"abc"], original_size=3, form=0, lengths=[_n]), "")
    _attack(f"plan of {_n}", _first(0, _n, 100, _DATA), _MALFORMED + _SKELETON_SECTION)
    _attack(f"plan of {_n} in the model", _first(16, _n, 9, _DATA), _MALFORMED + _SKELETON_SECTION)
    _attack(f"skeleton of {_n}", _first(0, 2, _n, b"\0\0"), _MALFORMED + _SKELETON_SECTION)
    _attack(f"skeleton of {_n} in repeats", _first(1, 2, _n, _FAIR), _MALFORMED + _SKELETON_SECTION)
    for _what, _plan in {
        "gap": Plan().raw(gap=_n, size=50),
        "extent": Plan().raw(gap=10, size=_n),
        "row": Plan().record(10, 50, 0x84, 1, 1, 0, _n, 1, 0, 3),
        "last": Plan().record(10, 50, 0x84, 1, 1, _n, 50, 1, 0, 3),
        "channels": Plan().record(10, 50, 0x84, 1, 8, 0, 50, 0, 0, 3, _n),
        "copy": Plan().record(10, 25, 1, 7).record(0, 25, 2, _n),
        "rule": Plan().raw(gap=10, size=50).rule(0, 2 * _n % 2**64, 4, 8),
        "rule's target": Plan().raw(gap=10, size=50).rule(_n, 2, 4, 8),
        "extents": Plan(extents=_n),
    }.items():
        _attack(f"{_what} of {_n}", _planned(_plan), _MALFORMED + _SKELETON_SECTION)
    for _what, _file in {
        "stream": _coded(_FAIR + streams(bytes(15), lengths=[_n, 4, 4, 3]), *_HUFFMAN),
        "last stream": _coded(_FAIR + streams(bytes(15), lengths=[4, 4, 4, _n]), *_HUFFMAN),
        "code": _coded(huffman_lengths([1, 1], symbols=_n) + _EMPTY, *_HUFFMAN),
        "bytes of a code": _coded(varint(4) + varint(_n) + bytes(30), *_HUFFMAN),
        "gap groups": _coded(varint(_n) + _FAIR + _EMPTY, *_GAPS),
        "arithmetic code": _coded(varint(_n) + bytes(30), *_SYMBOLS),
        "arithmetic code of floats": _coded(varint(_n) + bytes(30), *_FLOATS),
        "arithmetic code of bytes": _coded(varint(_n) + bytes(30), *_BYTES),
    }.items():
        _attack(f"{_what} of {_n}", _file, _MALFORMED + _FIRST)

# Sections that would overlap: their lengths add up to the file's only by wrapping round.
_attack(
    "lengths that wrap",
    container([b"ab", b"c"], original_size=3, form=1, lengths=[2**64 - 1, 4]),
    _HEADER,
)
_attack(
    "the same bytes twice",
    container([b"abcdef", b""], original_size=12, form=1, lengths=[6, 10]),
    "the file ends early " + _FIRST,
)
_attack("no section", container([], original_size=0, form=0), _MALFORMED + _HEADER)
_attack("too many", container([b""] * 70_000, original_size=0, form=1), _MALFORMED + _HEADER)
_attack("two stored", container([b"ab", b"c"], original_size=3, form=0), _MALFORMED + _HEADER)
_attack("stored too short", container([b"abc"], original_size=4, form=0), _MALFORMED + _HEADER)
_attack("form 5", _first(5, 2, 98, _DATA), _UNKNOWN + _SKELETON_SECTION)
_attack("form 64", _first(64, 2, 98, _DATA), _UNKNOWN + _SKELETON_SECTION)
_attack("frame of form 4", container([_DATA], original_size=100, form=4), _UNKNOWN + _HEADER)
_attack("a method of no number", _coded(bytes(50), 0x80 | 100), _UNKNOWN + _SKELETON_SECTION)
_attack("form of section 0", _first(0, 2, 97, _DATA), _MALFORMED + _SKELETON_SECTION)
_attack(
    "nothing in section 0",
    container([b""], original_size=100, form=1),
    _MALFORMED + _SKELETON_SECTION,
)
_attack(
    "another original",
    container([_DATA], original_size=100, form=0, crc=1),
    "checksum does not match (whole file)",
)

for _name, _lengths in {
    "over-subscribed": [1, 1, 1],
    "over-subscribed by one leaf": [1, 2, 2, 12],
    "under-subscribed": [1, 2],
    "under-subscribed by one leaf": [1, *range(2, 13)],
    "one word": [1, 0],
    "no words": [0] * 4,
    "words of 13 bits": [13, 13, *range(1, 13)],
    "words of 15 bits": [15] * 200,
    "a symbol too many": [8] * 254 + [9, 9, 9, 9],
}.items():
    for _method in (_HUFFMAN, _GAPS):
        _payload = (varint(1) if _method is _GAPS else b"") + huffman_lengths(_lengths)
        _attack(
            f"{_name}, {_method[0]:x}", _coded(_payload + _EMPTY, *_method), _MALFORMED + _FIRST
        )
    _attack(
        f"{_name}, planes",
        _coded(b"\1" + huffman_lengths(_lengths) + _EMPTY, *_PLANES),
        _MALFORMED + _FIRST,
    )
    _attack(
        f"{_name}, tokens",
        _first(1, 2, 98, huffman_lengths(_lengths) + _FAIR + bytes(50)),
        _MALFORMED + _SKELETON_SECTION,
    )
    _attack(
        f"{_name}, distances",
        _first(1, 2, 98, _FAIR + huffman_lengths(_lengths) + bytes(50)),
        _MALFORMED + _SKELETON_SECTION,
    )

for _name, _file in {
    "a symbol outside the codebook": _coded(
        _FAIR + streams(b"\xff" * 3 + b"\3", bytes(4), bytes(4), bytes(3)), *_BOOK
    ),
    "a stream too short": _coded(
        _FAIR + streams(bytes(3), bytes(4), bytes(4), bytes(3)), *_HUFFMAN
    ),
    "a stream too long": _coded(_FAIR + streams(bytes(5), bytes(4), bytes(4), bytes(3)), *_HUFFMAN),
    "padding": _coded(_FAIR + streams(bytes(3) + b"\x80", bytes(4), bytes(4), bytes(3)), *_HUFFMAN),
    "bytes after the streams": _coded(_FAIR + _EMPTY + b"\0", *_HUFFMAN),
    "no gap groups": _coded(varint(0) + _FAIR + _EMPTY, *_GAPS),
    "257 gap groups": _coded(varint(257) + _FAIR + _EMPTY, *_GAPS),
    "gaps without a value": _coded(
        varint(1) + huffman_lengths([1, 1]) + _EMPTY, 0x87, 1, 1, 0, 50, 2, 2, 2
    ),
    "a plane of kind 2": _coded(b"\2" + bytes(60), *_PLANES),
    "a plane cut short": _coded(b"\0" + bytes(20), *_PLANES),
    "a plane too many": _coded((b"\0" + bytes(25)) * 3, *_PLANES),
    "no arithmetic code": _coded(b"", *_SYMBOLS),
    "noise for symbols": _coded(varint(4) + bytes(5), *_SYMBOLS),
    "exponents past the format": _coded(varint(4) + bytes(30), 0x85, 0, 0, 25, 3, 40, 4, 0),
    "more mantissa than there is": _coded(varint(4) + bytes(30), 0x85, 0, 0, 25, 3, 9, 8, 3),
    "eleven modelled bits": _coded(varint(4) + bytes(30), 0x85, 0, 0, 25, 3, 9, 11, 0),
    "noise for bytes": _coded(varint(4) + bytes(5), *_BYTES),
}.items():
    _attack(_name, _file, _MALFORMED + _FIRST)
_attack(
    "raw data too short", _planned(Plan().raw(gap=10, size=50), _DATA[10:59]), _MALFORMED + _FIRST
)
_attack(
    "raw data too long", _planned(Plan().raw(gap=10, size=50), _DATA[10:61]), _MALFORMED + _FIRST
)
_attack(
    "right in everything but the values",
    _planned(Plan().raw(gap=10, size=50), bytes(50)),
    "checksum does not match (whole file)",
)
_attack(
    "a fill past the original",
    write_kcz(Plan().record(0, 1 << 40, 1, 65), b"", [], b""),
    _MALFORMED + _SKELETON_SECTION,
)
_VERSIONS = [0, 2, 3, 127, 255]


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_attack(name):
    data, error = ATTACKS[name]
    with pytest.raises(PackedFileError) as caught:
        packing.unpack(data)
    assert error in str(caught.value)
    with pytest.raises(PackedFileError) as again:
        packing.verify(data)
    assert str(again.value) == str(caught.value)


@pytest.mark.parametrize("version", _VERSIONS)
def test_wrong_versions(version):
    good = container([_DATA], original_size=100, form=0)
    head = good[:4] + bytes([version]) + good[5:13]
    data = head + crc32c(head).to_bytes(4, "little") + good[17:]
    assert len(data) == len(good)
    wanted = f"version {version}" if version > 1 else _MALFORMED + _HEADER
    with pytest.raises(PackedFileError) as caught:
        packing.unpack(data)
    assert wanted in str(caught.value)


def test_the_attacks_differ_from_good_files_in_one_thing_only():
    # The same writer, and nothing wrong: these must be read.
    assert packing.unpack(_planned(Plan().raw(gap=10, size=50))) == _DATA
    original = _SKELETON[:10] + bytes(50) + _SKELETON[10:]
    for record, payload in (
        (_HUFFMAN, _FAIR + _EMPTY),
        (_PLANES, (b"\0" + bytes(25)) * 2),
    ):
        plan = Plan().record(10, 50, *record)
        assert packing.unpack(write_kcz(plan, _SKELETON, [payload], original)) == original


_MEASURE = """
import pickle, resource, sys
from keras_compress import packing
from keras_compress.errors import PackedFileError
attacks = pickle.load(sys.stdin.buffer)
try:
    packing.unpack(b"x")
except PackedFileError:
    pass
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with open("/proc/self/statm") as file:
    now = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + (48 << 20), now + (48 << 20)))
for name, (data, base) in attacks.items():
    try:
        packing.unpack(data, max_size=1 << 20, base=base)
    except PackedFileError:
        continue
    sys.exit(f"{name}: no error")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def memory_taken(attacks: dict[str, tuple[bytes, bytes | None]]) -> int:
    """KiB that a process takes to refuse all of these, packed files and their bases."""
    environment = {**os.environ, "PYTHONPATH": str(Path(packing.__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE],
        input=pickle.dumps(attacks),
        capture_output=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr.decode()
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="limits and /proc are Linux's")
def test_no_attack_takes_memory():
    attacks = {name: (data, None) for name, (data, _) in ATTACKS.items()}
    # A thousand times what the caller allows, declared within what the file's size permits.
    big = 1 << 30
    attacks["bomb"] = container([b"\0" * 2048], original_size=big, form=1), None
    attacks["stored bomb"] = container([b"\0" * 2048], original_size=big, form=0), None
    assert memory_taken(attacks) < 24 << 10  # the models' tables, and what surrounds them
