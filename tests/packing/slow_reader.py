"""A second reader of packed files, slow and in plain Python, from `export/FORMAT.md` alone.

It reads what the `fast` codec writes: frame, plan, rules, repeats, Huffman codes, gaps and planes.
The context-mixing forms and methods are left out; it says so with `NotImplementedError`.
"""

from __future__ import annotations

import math
import re
import struct
from pathlib import Path

import numpy as np

from tests.packing.kcz_writer import crc32c

_SOURCE = Path(__file__).parents[2] / "export" / "src"


def dictionary() -> bytes:
    """The dictionary's bytes, from the list in the source."""
    return bytes(int(n) for n in re.findall(r"\d+", (_SOURCE / "dictionary.inc").read_text()))


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


def read_repeats(source: Input, size: int) -> bytes:
    """Section 5."""
    tokens, distances = read_code(source), read_code(source)
    bits = Bits(source.take(len(source.data) - source.at))
    out = bytearray(dictionary())
    start, before = len(out), 0
    while len(out) - start < size:
        token = next_symbol(tokens, bits)
        if token < 256:
            out.append(token)
            continue
        length = read_class(token - 256, bits) + 3
        before = read_class(next_symbol(distances, bits), bits) or before
        for _ in range(length):
            out.append(out[-before])
    bits.finish()
    return bytes(out[start:])


def unzigzag(value: int) -> int:
    return value >> 1 if value % 2 == 0 else -(value + 1 >> 1)


def read_extent(plan: Input) -> dict:
    extent: dict = {"gap": plan.varint(), "size": plan.varint(), "element": 1}
    method = plan.byte()
    extent["method"], extent["opens"] = method & 127, method >> 7
    kind = extent["method"]
    if kind == 1:
        extent["fill"] = plan.byte()
    elif kind == 2:
        extent["back"] = plan.varint()
    elif kind in (6, 7, 4):
        extent["element"], flags = plan.byte(), plan.byte()
        plan.varint()
        extent["row"] = plan.varint()
        extent["centre"], extent["lowest"], extent["highest"] = plan.take(3)
        width = extent["element"]
        if flags & 8:
            extent["channels"] = read_channel_books(plan, extent["highest"] + 1, width)
            extent["interleaved"] = flags & 16
        elif flags & 1:
            extent["book"] = [bytes([v ^ (128 if flags & 4 else 0)]) for v in range(256)]
        else:
            extent["book"] = [plan.take(width) for _ in range(extent["highest"] + 1)]
    elif kind in (5, 8):
        form = plan.byte()
        extent["element"], extent["sparse"] = 4 if form & 3 == 2 else 2, form & 4
        plan.varint(), plan.varint(), plan.take(4)
    elif kind == 3:
        plan.byte()
    return extent


def read_channel_books(plan: Input, entries: int, width: int) -> list[list[bytes]]:
    """Section 2, *channel codebooks*."""
    channels = plan.varint()

    def planes(count: int, size: int) -> list[float]:
        data = [plan.take(count) for _ in range(size)]
        return [
            struct.unpack("<d", bytes(8 - size) + bytes(plane[i] for plane in data))[0]
            for i in range(count)
        ]

    shared, scales = planes(entries, 6), planes(channels, 5)
    books = []
    for scale in scales:
        steps = [unzigzag(plan.varint()) for _ in range(entries)]
        books.append([
            move(product_of(value * scale, width), step, width)
            for value, step in zip(shared, steps, strict=True)
        ])  # fmt: skip
    return books


def product_of(product: float, width: int) -> int:
    if width == 1:
        if not -1000 < product < 1000:
            return 0
        return max(-128, min(127, int(product + math.copysign(0.5, product)))) & 255
    kind = np.float32 if width == 4 else np.float16
    with np.errstate(all="ignore"):
        small = kind(product)
    if product and (
        abs(product) < np.finfo(kind).smallest_normal
        or abs(product) >= 2.0 ** np.finfo(kind).maxexp
    ):
        return 0
    return int.from_bytes(small.tobytes(), "little")


def move(bits: int, step: int, width: int) -> bytes:
    sign, everything = 1 << (8 * width - 1), (1 << 8 * width) - 1
    if width == 1:
        return ((bits + step) & 255).to_bytes(1, "little")
    key = (~bits & everything if bits & sign else bits | sign) + step & everything
    bits = key & ~sign if key & sign else ~key & everything
    return bits.to_bytes(width, "little")


def apply_rules(plan: Input, rules: int, skeleton: bytearray) -> None:
    target = 0
    for _ in range(rules):
        target += plan.varint()
        count, single = divmod(plan.varint(), 2)
        weights, scale = target + unzigzag(plan.varint()), target + unzigzag(plan.varint())
        for i in range(count):
            at = weights if single else weights + 4 * i
            a, b = (struct.unpack_from("<f", skeleton, p)[0] for p in (scale, at))
            product = np.float32(a) * np.float32(b)
            bits = int(product.view(np.uint32))
            usual = [
                struct.unpack_from("<I", skeleton, p)[0] >> 23 & 255 not in (0, 255)
                for p in (scale, at)
            ]
            if all(usual) and bits >> 23 & 255 not in (0, 255):
                old = struct.unpack_from("<I", skeleton, target + 4 * i)[0]
                struct.pack_into("<I", skeleton, target + 4 * i, old ^ bits)


def unpack(data: bytes) -> bytes:
    """Restore what was packed with codec `"fast"`."""
    source = Input(data)
    assert source.take(5) == b"\x89KCZ\x01"
    form, size = source.byte(), source.varint()
    checksum = source.take(4)
    lengths = [source.varint() for _ in range(source.varint())]
    assert crc32c(data[: source.at]).to_bytes(4, "little") == source.take(4)
    sections = []
    for length in lengths:
        sections.append(source.take(length))
        assert crc32c(sections[-1]).to_bytes(4, "little") == source.take(4)
    assert source.at == len(data)
    out = sections[0] if form == 0 else read_modelled(sections, size)
    assert len(out) == size and crc32c(out).to_bytes(4, "little") == checksum
    return out


def read_modelled(sections: list[bytes], size: int) -> bytes:
    source = Input(sections[0])
    form, plan_size, skeleton_size = source.byte(), source.varint(), source.varint()
    if form == 1:
        raise NotImplementedError("the byte model")
    total = plan_size + skeleton_size
    body = source.take(total) if form == 0 else read_repeats(source, total)
    plan, skeleton = Input(body[:plan_size]), bytearray(body[plan_size:])
    count, rules = plan.varint(), plan.varint()
    extents = [read_extent(plan) for _ in range(count)]
    apply_rules(plan, rules, skeleton)
    assert plan.at == plan_size
    streams = [Input(section) for section in sections[1:]]
    opened = 0
    section_of: dict[int, int] = {}
    out, used = bytearray(), 0
    for i, extent in enumerate(extents):
        out += skeleton[used : used + extent["gap"]]
        used += extent["gap"]
        extent["size"] = extent["size"] or int.from_bytes(skeleton[used - 4 : used], "little")
        extent["count"] = extent["size"] // extent["element"]
        if extent["opens"]:
            section_of[extent["method"]] = opened
            opened += 1
        extent["offset"] = len(out)
        out += read_data(extent, extents[:i], streams, section_of, out)
    assert all(stream.at == len(stream.data) for stream in streams)
    return bytes(out + skeleton[used:])


def read_data(
    extent: dict, earlier: list[dict], streams: list[Input], section_of: dict[int, int],
    out: bytearray,
) -> bytes:  # fmt: skip
    kind = extent["method"]
    if kind == 1:
        return bytes([extent["fill"]]) * extent["size"]
    if kind == 2:
        at = earlier[-extent["back"]]["offset"]
        return bytes(out[at : at + extent["size"]])
    stream = streams[section_of[kind]]
    if kind == 0:
        return stream.take(extent["size"])
    if kind == 8:
        return read_planes(stream, extent)
    if kind in (6, 7):
        symbols = read_gaps(stream, extent) if kind == 7 else read_symbols(stream, extent["count"])
        if "channels" in extent:
            row, books = extent["row"], extent["channels"]
            where = (i % row if extent["interleaved"] else i // row for i in range(len(symbols)))
            return b"".join(books[c][s] for c, s in zip(where, symbols, strict=True))
        return b"".join(extent["book"][s] for s in symbols)
    raise NotImplementedError(f"method {kind}")
