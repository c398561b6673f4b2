"""Varints, bits, the arithmetic code, Huffman codes and what is coded with them alone."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import numpy as np

_SOURCE = Path(__file__).parents[2] / "export" / "src"


@cache
def priming_graphs() -> list[tuple[bytes, bytes]]:
    """Plan and skeleton of each priming graph, from the files in the source."""
    sizes = [int(n) for n in re.findall(r"\d+", (_SOURCE / "priming_sizes.inc").read_text())]
    coded = (_SOURCE / "priming.bin").read_bytes()
    data = Input(read_repeats(Input(coded), sum(sizes)))
    return [(data.take(a), data.take(b)) for a, b in zip(sizes[::2], sizes[1::2], strict=True)]


class Input:
    """Bytes, read in order."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        assert self.at + count <= len(self.data)
        self.at += count
        return self.data[self.at - count : self.at]

    def byte(self) -> int:
        return self.take(1)[0]

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value


class Bits:
    """Bits of bytes, the lowest first; zeros past the end."""

    def __init__(self, data: bytes) -> None:
        self.value, self.left = int.from_bytes(data, "little"), 8 * len(data)

    def take(self, count: int) -> int:
        value = self.value & ((1 << count) - 1)
        self.value >>= count
        self.left -= count
        return value

    def finish(self) -> None:
        assert 0 <= self.left < 8 and self.value == 0


class ArithmeticDecoder:
    """Section 6, *Coder*."""

    def __init__(self, data: bytes) -> None:
        self.data = iter(data)
        self.low, self.high, self.value = 0, 2**32 - 1, 0
        for _ in range(4):
            self.value = self.value << 8 | next(self.data, 0)

    def bit(self, p: int) -> int:
        middle = self.low + ((self.high - self.low) * p >> 16)
        bit = int(self.value <= middle)
        if bit:
            self.high = middle
        else:
            self.low = middle + 1
        while self.low >> 24 == self.high >> 24:
            self.low = self.low << 8 & 0xFFFFFFFF
            self.high = (self.high << 8 & 0xFFFFFFFF) | 255
            self.value = (self.value << 8 & 0xFFFFFFFF) | next(self.data, 0)
        return bit


class Counter:
    """Section 6, *Counter*."""

    def __init__(self) -> None:
        self.p, self.n = 1 << 21, 0

    def learn(self, bit: int, limit: int) -> None:
        target = (1 << 22) - 1 if bit else 0
        self.p += (target - self.p) * (131072 // (2 * self.n + 3)) >> 16
        self.n = min(self.n + 1, limit)


def read_code(source: Input) -> dict[tuple[int, int], int]:
    """Section 4: (length, code bits as read) -> symbol."""
    symbols = source.varint()
    decoder = ArithmeticDecoder(source.take(source.varint()))
    counters: dict[tuple[int, int], Counter] = {}
    lengths, before = [], 0
    for _ in range(symbols):
        prefix = 1
        for _ in range(4):
            counter = counters.setdefault((before, prefix), Counter())
            bit = decoder.bit(max(counter.p >> 6, 1))
            counter.learn(bit, 60)
            prefix = prefix * 2 + bit
        before = prefix & 15
        lengths.append(before)
    assert sum(1 << (12 - n) for n in lengths if n) == 1 << 12
    code, table, last = 0, {}, 0
    for length, symbol in sorted((n, s) for s, n in enumerate(lengths) if n):
        code <<= length - last
        last = length
        table[length, int(f"{code:0{length}b}"[::-1], 2)] = symbol
        code += 1
    return table


def next_symbol(table: dict[tuple[int, int], int], bits: Bits) -> int:
    code = length = 0
    while True:
        code |= bits.take(1) << length
        length += 1
        if (length, code) in table:
            return table[length, code]
        assert length < 12


def read_streams(source: Input) -> list[Bits]:
    lengths = [source.varint() for _ in range(4)]
    return [Bits(source.take(n)) for n in lengths]


def parts(count: int) -> list[tuple[int, int]]:
    quarter = -(-count // 4)
    return [(min(s * quarter, count), min((s + 1) * quarter, count)) for s in range(4)]


def read_symbols(source: Input, count: int) -> list[int]:
    table, out = read_code(source), []
    for bits, (first, end) in zip(read_streams(source), parts(count), strict=True):
        out += [next_symbol(table, bits) for _ in range(end - first)]
        bits.finish()
    return out


def read_gaps(source: Input, extent: dict) -> list[int]:
    gaps, table = source.varint(), None
    values = extent["highest"] - extent["lowest"] + 1
    table = read_code(source)
    centre = extent["centre"]
    others = [v for v in range(extent["lowest"], extent["highest"] + 1) if v != centre]
    out = [centre] * extent["count"]
    for bits, (first, end) in zip(read_streams(source), parts(extent["count"]), strict=True):
        at = first
        while at < end:
            symbol = next_symbol(table, bits)
            if symbol == gaps * (values - 1):
                at = min(at + gaps, end)
                continue
            at += symbol // (values - 1)
            out[at] = others[symbol % (values - 1)]
            at += 1
        bits.finish()
    return out


def read_planes(source: Input, extent: dict) -> bytes:
    width, count = extent["element"], extent["count"]
    kinds = [2] * count
    if extent["sparse"]:
        kinds = read_gaps(source, {"lowest": 0, "highest": 2, "centre": 1, "count": count})
        count = kinds.count(2)
    values = np.zeros(count, np.uint64)
    for plane in range(width):
        if source.byte() == 0:
            data = np.frombuffer(source.take(count), np.uint8)
        else:
            data = np.array(read_symbols(source, count))
        values |= data.astype(np.uint64) << np.uint64(8 * plane)
    top = np.uint64(8 * width - 1)
    out = np.zeros(len(kinds), np.uint64)
    where = np.array(kinds)
    out[where == 0] = 1 << (8 * width - 1)
    out[where == 2] = values >> np.uint64(1) | (values & np.uint64(1)) << top
    return out.astype(f"<u{width}").tobytes()


def read_class(number: int, bits: Bits) -> int:
    if number < 4:
        return number
    extra = (number >> 1) - 1
    return ((2 + (number & 1)) << extra) + bits.take(extra)


def read_repeats(source: Input, size: int, before_it: bytes = b"") -> bytes:
    """Section 5: `size` bytes, which may repeat some of what stands before them."""
    out = bytearray(before_it)
    start, before = len(out), 0
    while len(out) - start < size:
        end = len(out) + source.varint()
        tokens, distances = read_code(source), read_code(source)
        bits = Bits(source.take(source.varint()))
        while len(out) < end:
            token = next_symbol(tokens, bits)
            if token < 256:
                out.append(token)
                continue
            length = read_class(token - 256, bits) + 3
            before = read_class(next_symbol(distances, bits), bits) or before
            for _ in range(length):
                out.append(out[-before])
        assert len(out) == end
        bits.finish()
    assert source.at == len(source.data) and len(out) - start == size
    return bytes(out[start:])
