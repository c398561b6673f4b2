"""A second reader of packed files, slow and in plain Python, from `export/FORMAT.md` alone.

Frame and original are here; what the other sections of the format say is in `slow_coding`,
`slow_plan`, `slow_mixing` and the modules of the single models.
"""

from __future__ import annotations

import functools
import pickle
from typing import Any

from tests.packing.kcz_writer import crc32c
from tests.packing.slow_blocks import restore, sides, zeros_of
from tests.packing.slow_byte_model import ByteModel, ReferenceByteModel
from tests.packing.slow_coding import (
    ArithmeticDecoder,
    Bits,
    Input,
    priming_graphs,
    read_gaps,
    read_planes,
    read_repeats,
    read_symbols,
)
from tests.packing.slow_fast_model import FastFloatModel, FastModel, RangeDecoder
from tests.packing.slow_float_model import FloatModel
from tests.packing.slow_integer_model import FastIntegerModel, IntegerModel
from tests.packing.slow_lz import LzModel
from tests.packing.slow_patch import (
    ReferenceFloatModel,
    ReferenceModel,
    by_reference,
    taken_blocks,
)
from tests.packing.slow_plan import Places, apply_rules, read_extent
from tests.packing.slow_symbol_model import Layout, SymbolModel

_MODELLED = (3, 4, 5, 10, 11, 12, 16)
_FAST = (13, 14, 15)


def unpack(data: bytes, base: bytes = b"") -> bytes:
    """Restore what was packed with any codec, or as a patch for `base`."""
    source = Input(data)
    assert source.take(4) == b"\x89KCZ"
    assert source.byte() == 1
    form, size = source.byte(), source.varint()
    checksum = source.take(4)
    if form == 2:
        assert source.varint() == len(base)
        assert source.take(4) == crc32c(base).to_bytes(4, "little")
    sections = []
    if form == 3:
        assert len(data) <= 1 << 16
        assert crc32c(data[:-4]).to_bytes(4, "little") == data[-4:]
        lengths = [source.varint() for _ in range(source.varint() - 1)]
        sections = [source.take(length) for length in lengths]
        sections.append(source.take(len(data) - 4 - source.at))
        source.take(4)
    else:
        lengths = [source.varint() for _ in range(source.varint())]
        assert crc32c(data[: source.at]).to_bytes(4, "little") == source.take(4)
        for length in lengths:
            sections.append(source.take(length))
            assert crc32c(sections[-1]).to_bytes(4, "little") == source.take(4)
    assert source.at == len(data)
    out = sections[0] if form == 0 else read_modelled(sections, size, base if form == 2 else None)
    assert len(out) == size and crc32c(out).to_bytes(4, "little") == checksum
    return out


def read_plan(data: bytes) -> tuple[list[dict], int, Input]:
    """The extents, how many rules there are, and where they stand."""
    plan = Input(data)
    count, rules = plan.varint(), plan.varint()
    places = Places()
    return [read_extent(plan, places) for _ in range(count)], rules, plan


def read_first(section: bytes, size: int, base: bytes | None) -> tuple[list[dict], bytearray]:
    """Section 0: the extents, and the skeleton with its rules undone."""
    source = Input(section)
    form, plan_size = source.byte(), source.varint()
    if form >= 16:
        extents, rules, plan, skeleton = read_with_model(source, form, plan_size, size, base)
    else:
        total = plan_size + source.varint()
        before = b"".join(a + b for a, b in priming_graphs()) if form in (2, 4) else b""
        body = source.take(len(section) - source.at)
        if form in (1, 2):
            body = read_repeats(Input(body), total, before)
        elif form:
            body = LzModel(body, before).decode(total)
        assert len(body) == total
        extents, rules, plan = read_plan(body[:plan_size])
        skeleton = bytearray(body[plan_size:])
    apply_rules(plan, rules, skeleton)
    assert plan.at == plan_size
    return extents, skeleton


def graph_positions(extents: list[dict], size: int, skeleton: bytearray):
    """Where in the original each byte of the skeleton, which grows meanwhile, has its place."""
    position = 0
    for extent in extents:
        yield from range(position, position + extent["gap"])
        position += extent["gap"]
        position += extent["size"] or int.from_bytes(skeleton[-4:], "little")
    yield from range(position, size)


@functools.cache
def primed(number: int, bits: int, reach: int | None) -> bytes:
    """A model that knows the priming graphs, pickled; beside a base where `reach` is its size.

    Learning a graph bit by bit takes seconds, and most files begin from the same few.
    """
    model = ByteModel(0, 4, bits) if reach is None else ReferenceByteModel(0, 4, reach, bits)
    for k, (its_plan, its_skeleton) in enumerate(priming_graphs()):
        if k != number:
            model.remember_all(its_plan + its_skeleton)
    its_plan, its_skeleton = priming_graphs()[number]
    for position, byte in enumerate(its_plan):
        model.know(byte, position)
    seen = bytearray()
    positions = graph_positions(read_plan(its_plan)[0], 1 << 40, seen)
    for byte in its_skeleton:
        model.know(byte, next(positions))
        seen.append(byte)
    return pickle.dumps(model)


def read_with_model(source: Input, form: int, plan_size: int, size: int, base: bytes | None):
    ranges, at, reach = [], 0, None
    if base is not None:
        for _ in range(source.varint()):
            first, length = at + source.varint(), source.varint()
            at = first + length
            ranges.append(range(first, at))
        # Smaller bases have the same tables as one of 2^16 bytes.
        reach = max(sum(map(len, ranges)) or len(base), 1 << 16)
    model = pickle.loads(primed(form % 16, 12 + 2 * (form // 16), reach))
    coder = ArithmeticDecoder(source.take(len(source.data) - source.at))
    coded = bytes(model.decode(coder, k) for k in range(plan_size))
    extents, rules, plan = read_plan(coded)
    skeleton = bytearray()
    if base is None:
        for position in graph_positions(extents, size, skeleton):
            skeleton.append(model.decode(coder, position))
        return extents, rules, plan, skeleton
    known = learn_base(model, base, ranges or outside(base, extents))
    position = 0
    for extent in [*extents, {"gap": None}]:
        end = size if extent["gap"] is None else position + extent["gap"]
        for place in range(position, end):
            skeleton.append(model.decode(coder, place))
        position = end + extent.get("size", 0)
        behind = extent.get("base", -1) + extent.get("size", 0)
        if "base" in extent and behind in known:
            model.anchor_at = known[behind]
    return extents, rules, plan, skeleton


def outside(base: bytes, extents: list[dict]) -> list[range]:
    """Blocks of the base but those that lie in one extent's bytes of it."""
    taken = taken_blocks(extents)
    blocks = [k for k in range(-(-len(base) // 64)) if k not in taken]
    return [range(64 * k, min(64 * k + 64, len(base))) for k in blocks]


def learn_base(model: ReferenceByteModel, base: bytes, ranges: list[range]) -> dict[int, int]:
    """Section 8.2: where the bytes that were learned stand in the history."""
    known: dict[int, int] = {}
    for position in (k for r in ranges for k in r):
        known[position] = len(model.history)
        if len(known) <= 1 << 17:
            model.know(base[position], position)
        else:
            model.remember(base[position])
    if known:
        model.base_end, model.anchor_at = len(model.history), min(known.values())
    return known


def read_modelled(sections: list[bytes], size: int, base: bytes | None = None) -> bytes:
    extents, skeleton = read_first(sections[0], size, base)
    streams: list[Section] = []
    section_of: dict[int, Section] = {}
    used = 0
    for extent in extents:
        used += extent["gap"]
        extent["size"] = extent["size"] or int.from_bytes(skeleton[used - 4 : used], "little")
        extent["count"] = extent["size"] // extent["element"] * 8 // extent.get("bits", 8)
        if extent["opens"]:
            section_of[extent["method"]] = Section(sections[1 + len(streams)], extent, base)
            streams.append(section_of[extent["method"]])
        if "base" in extent and extent["method"] != 16:
            at = extent["base"]
            extent["reference"] = base[at : at + extent["size"]]
            assert len(extent["reference"]) == extent["size"]
        if extent["method"] not in (1, 2, 9):
            extent["section"] = section_of[extent["method"]]
            extent["section"].total += extent["size"]
    assert len(sections) == 1 + len(streams)
    out, used = bytearray(), 0
    for i, extent in enumerate(extents):
        out += skeleton[used : used + extent["gap"]]
        used += extent["gap"]
        extent["offset"] = len(out)
        if extent["method"] == 1:
            out += bytes([extent["fill"]]) * extent["size"]
        elif extent["method"] == 2:
            at = extents[i - extent["back"]]["offset"]
            out += out[at : at + extent["size"]]
        elif extent["method"] == 9:
            out += extent["reference"]
        else:
            out += extent["section"].read(extent)
    for stream in streams:
        stream.finish()
    return bytes(out + skeleton[used:])


class Section:
    """Section 3: one data section, whose extents are read in order."""

    def __init__(self, data: bytes, first: dict, base: bytes | None) -> None:
        self.source, self.first, self.total, self.base = Input(data), first, 0, base
        self.model: Any = None
        self.sides: Any = None  # the model of scales and offsets
        self.used = 0  # bytes of an lz section that were taken
        if first["method"] in _MODELLED:
            self.coder = ArithmeticDecoder(self.source.take(self.source.varint()))
            self.noise = Bits(self.source.take(len(data) - self.source.at))
        if first["method"] in _FAST:
            lengths = [self.source.varint() for _ in range(2)]
            self.lanes = [RangeDecoder(self.source.take(length)) for length in lengths]
            self.noise = Bits(self.source.take(len(data) - self.source.at))

    def read(self, extent: dict) -> bytes:
        method = extent["method"]
        if "blocks" in extent:
            return self.read_blocks(extent)
        if method in (4, 6, 7, 13):
            return elements(extent, self.read_symbols(extent))
        if method == 0:
            return self.source.take(extent["size"])
        if method == 17:
            return read_repeats(Input(self.source.take(self.source.varint())), extent["size"])
        if method == 18:
            if self.model is None:
                rest = self.source.take(len(self.source.data) - self.source.at)
                self.model = LzModel(rest).decode(self.total)
            at, self.used = self.used, self.used + extent["size"]
            return self.model[at : self.used]
        if method == 8:
            return read_planes(self.source, extent)
        if method == 3:
            self.model = self.model or ByteModel(self.total, self.first["stride"])
            return bytes(self.model.decode(self.coder, k) for k in range(extent["size"]))
        if method == 16:
            start, size = self.first["window"]
            if self.model is None:
                stride = self.first["stride"]
                self.model = ReferenceByteModel(self.total, stride, self.total + size)
                self.model.history.append(0)
                self.model.remember_all(self.base[start : start + size])
                self.model.base_end = 1 + size
            at = extent["base"] - start
            self.model.anchor_at = at + 1 if 0 <= at < size else 0
            return bytes(self.model.decode(self.coder, k) for k in range(extent["size"]))
        if method == 12:
            self.model = self.model or IntegerModel()
            return self.model.decode(self.coder, self.noise, extent["count"], extent["highest"])
        if method == 5:
            self.model = self.model or FloatModel()
            return self.model.decode(self.coder, self.noise, extent)
        if method == 14:
            self.model = self.model or FastFloatModel()
            return self.model.decode(self.lanes, self.noise, extent)
        if method == 15:
            self.model = self.model or FastIntegerModel()
            return self.model.decode(self.lanes, self.noise, extent)
        if method == 10:
            self.model = self.model or ReferenceModel()
            return by_reference(self.model, self.coder, extent, extent["reference"])
        assert method == 11
        self.model = self.model or ReferenceFloatModel()
        return self.model.decode(self.coder, self.noise, extent, extent["reference"])

    def read_symbols(self, extent: dict) -> list[int]:
        if extent["method"] == 7:
            return read_gaps(self.source, extent)
        if extent["method"] == 6:
            return read_symbols(self.source, extent["count"])
        keys = ("count", "row", "last", "lowest", "highest", "centre")
        layout = Layout(**{key: extent[key] for key in keys}, centre_flag=bool(extent["flags"] & 2))
        if extent["method"] == 13:
            self.model = self.model or FastModel()
            return self.model.decode(self.lanes, self.noise, layout, extent["context"])
        self.model = self.model or SymbolModel()
        return self.model.decode(self.coder, layout)

    def read_blocks(self, extent: dict) -> bytes:
        values = [self.read_side(extent, side) for side in sides(extent["blocks"], extent["count"])]
        symbols = self.read_symbols(extent)
        zeros = zeros_of(extent["blocks"], symbols)
        if extent["method"] in (4, 13):
            return restore(extent["blocks"], symbols, values, self.noise)
        signs = Bits(self.source.take(-(-zeros // 8)))
        out = restore(extent["blocks"], symbols, values, signs)
        signs.finish()
        return out

    def read_side(self, extent: dict, side: dict) -> bytes:
        if extent["method"] == 4:
            self.sides = self.sides or FloatModel()
            return self.sides.decode(self.coder, self.noise, side)
        if extent["method"] == 13:
            self.sides = self.sides or FastFloatModel()
            return self.sides.decode(self.lanes, self.noise, side)
        return read_planes(self.source, side)

    def finish(self) -> None:
        assert self.source.at == len(self.source.data)
        if self.first["method"] in _MODELLED + _FAST:
            self.noise.finish()
        if self.first["method"] in _FAST:
            for lane in self.lanes:
                lane.finish()


def elements(extent: dict, symbols: list[int]) -> bytes:
    """Section 2: symbols to elements, by codebook or as they are."""
    if "bits" in extent:
        bits, flip = extent["bits"], extent["flags"] >> 2 & 1
        number = sum((s ^ flip << bits - 1) << bits * i for i, s in enumerate(symbols))
        return number.to_bytes(extent["size"], "little")
    if "channels" not in extent:
        return b"".join(extent["book"][s] for s in symbols)
    row, books = extent["row"], extent["channels"]
    where = (i % row if extent["interleaved"] else i // row for i in range(len(symbols)))
    return b"".join(books[c][s] for c, s in zip(where, symbols, strict=True))
