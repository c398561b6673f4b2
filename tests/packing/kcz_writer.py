"""Writes packed files by hand, right or wrong, from the words of `export/FORMAT.md`."""

from __future__ import annotations

import functools


@functools.cache
def _crc_table() -> tuple[int, ...]:
    table = []
    for i in range(256):
        c = i
        for _ in range(8):
            c = (c >> 1) ^ (0x82F63B78 if c & 1 else 0)
        table.append(c)
    return tuple(table)


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli)."""
    table, crc = _crc_table(), 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def varint(value: int) -> bytes:
    """Seven bits a byte, low ones first."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _sum(data: bytes) -> bytes:
    return crc32c(data).to_bytes(4, "little")


def container(
    sections: list[bytes],
    *,
    original_size: int | bytes,
    form: int,
    crc: int | None = None,
    lengths: list[int] | None = None,
    base: tuple[int, int] | None = None,
    version: int = 1,
) -> bytes:
    """Header, sections and all checksums; `original_size`, `lengths` and `base` may lie.

    `base` is size and checksum of a patch's base.
    """
    size = original_size if isinstance(original_size, bytes) else varint(original_size)
    crc = crc32c(b"".join(sections)) if crc is None else crc
    head = b"\x89KCZ" + bytes([version, form]) + size + crc.to_bytes(4, "little")
    if base is not None:
        head += varint(base[0]) + base[1].to_bytes(4, "little")
    head += varint(len(sections))
    head += b"".join(map(varint, lengths or [len(section) for section in sections]))
    return head + _sum(head) + b"".join(section + _sum(section) for section in sections)


def reframed(compact: bytes) -> bytes:
    """The same file with the frame of larger ones: a checksum for each section."""

    def number(at: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            value |= (compact[at] & 127) << shift
            at, shift = at + 1, shift + 7
            if compact[at - 1] < 128:
                return value, at

    assert compact[5] == 3
    size, at = number(6)
    crc = int.from_bytes(compact[at : at + 4], "little")
    count, at = number(at + 4)
    lengths = []
    for _ in range(count - 1):
        length, at = number(at)
        lengths.append(length)
    sections = []
    for length in [*lengths, len(compact) - 4 - at - sum(lengths)]:
        sections.append(compact[at : at + length])
        at += length
    return container(sections, original_size=size, form=1, crc=crc)


class Plan:
    """A plan, field by field."""

    def __init__(self, *, extents: int | None = None, tail: bytes = b"") -> None:
        self._records: list[bytes] = []
        self._rules: list[bytes] = []
        self._extents = extents
        self._tail = tail

    def record(self, gap: int, size: int, *fields: int) -> Plan:
        """An extent: gap, size, then varints (a byte below 128 is its own varint)."""
        method, *rest = fields
        self._records.append(
            varint(gap) + varint(size) + bytes([method]) + b"".join(_field(f) for f in rest)
        )
        return self

    def raw(self, *, gap: int, size: int) -> Plan:
        """An extent stored as it is, in a new section for the first."""
        return self.record(gap, size, 0x80 if not self._records else 0)

    def rule(self, target: int, count: int, weights: int, input_at: int) -> Plan:
        """A scale rule; positions of weights and input relative to the target."""
        fields = (target, count, _zigzag(weights), _zigzag(input_at))
        self._rules.append(b"".join(map(varint, fields)))
        return self

    def encode(self) -> bytes:
        """The bytes of the plan."""
        extents = len(self._records) if self._extents is None else self._extents
        head = varint(extents) + varint(len(self._rules))
        return head + b"".join(self._records) + b"".join(self._rules) + self._tail


def _field(value: int) -> bytes:
    # Fields of one byte may be above 127; those of this size are never varints in these tests.
    return bytes([value]) if 128 <= value <= 255 else varint(value)


def _zigzag(value: int) -> int:
    return value << 1 if value >= 0 else (-value << 1) - 1


def write_kcz(
    plan: Plan, skeleton: bytes, sections: list[bytes], original: bytes, base: bytes | None = None
) -> bytes:
    """A packed file, or a patch for `base`, whose plan and skeleton are not compressed."""
    encoded = plan.encode()
    first = b"\0" + varint(len(encoded)) + varint(len(skeleton)) + encoded + skeleton
    return container(
        [first, *sections],
        original_size=len(original),
        form=1 if base is None else 2,
        crc=crc32c_fast(original),
        base=None if base is None else (len(base), crc32c(base)),
    )


def crc32c_fast(data: bytes) -> int:
    """CRC-32C of long runs without hours of Python."""
    if len(data) < 1 << 20 or data.count(data[:1]) != len(data):
        return crc32c(data)
    # crc(A||B) of equal halves, by the matrix of |B| zero bytes.
    half = len(data) // 2
    first = crc32c_fast(data[:half])
    second = first if half * 2 == len(data) else crc32c_fast(data[half:])
    return _combine(first, second, len(data) - half)


def _combine(first: int, second: int, length: int) -> int:
    def times(matrix: list[int], vector: int) -> int:
        result = 0
        for row in matrix:
            if vector & 1:
                result ^= row
            vector >>= 1
        return result

    matrix = [0x82F63B78] + [1 << i for i in range(31)]  # one zero bit
    bits = 8 * length
    while bits:
        if bits & 1:
            first = times(matrix, first)
        matrix = [times(matrix, row) for row in matrix]
        bits >>= 1
    return first ^ second


class ArithmeticEncoder:
    """Section 6, *Coder*, with a decoder's face: `bit` takes the next of the bits to come."""

    def __init__(self, bits: list[int]) -> None:
        self.bits = bits[::-1]
        self.low, self.high, self.out = 0, 2**32 - 1, bytearray()

    def bit(self, p: int) -> int:
        """Write the next bit, which is 1 with probability `p` / 65536, and return it."""
        bit, middle = self.bits.pop(), self.low + ((self.high - self.low) * p >> 16)
        if bit:
            self.high = middle
        else:
            self.low = middle + 1
        while self.low >> 24 == self.high >> 24:
            self.out.append(self.low >> 24)
            self.low = self.low << 8 & 0xFFFFFFFF
            self.high = (self.high << 8 & 0xFFFFFFFF) | 255
        return bit

    def finish(self) -> bytes:
        """Return all bytes; a reader sees zeros after them."""
        return bytes(self.out) + (bytes([(self.low >> 24) + 1]) if self.low else b"")


def huffman_lengths(lengths: list[int], *, symbols: int | None = None) -> bytes:
    """Section 4: a code's lengths, right or wrong; `symbols` may lie about their number."""
    bits = [length >> i & 1 for length in lengths for i in range(3, -1, -1)]
    coder, counters = ArithmeticEncoder(bits), {}
    before = 0
    for _ in lengths:
        prefix = 1
        for _ in range(4):
            p, n = counters.get((before, prefix), (1 << 21, 0))
            bit = coder.bit(max(p >> 6, 1))
            p += (((1 << 22) - 1 if bit else 0) - p) * (131072 // (2 * n + 3)) >> 16
            counters[before, prefix] = (p, min(n + 1, 60))
            prefix = 2 * prefix + bit
        before = prefix & 15
    body = coder.finish()
    return varint(len(lengths) if symbols is None else symbols) + varint(len(body)) + body


def streams(*parts: bytes, lengths: list[int] | None = None) -> bytes:
    """Section 3: four lengths, which may lie, and four streams."""
    sizes = lengths or [len(part) for part in parts]
    return b"".join(map(varint, sizes)) + b"".join(parts)
