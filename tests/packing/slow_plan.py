"""Section 2 of the format: extents, channel codebooks, rules."""

from __future__ import annotations

import math
import struct

import numpy as np

from tests.packing.slow_blocks import read_blocks
from tests.packing.slow_coding import Input


def unzigzag(value: int) -> int:
    return value >> 1 if value % 2 == 0 else -(value + 1 >> 1)


class Places:
    """Where in the base extents stand, beside where they are in the file."""

    def __init__(self) -> None:
        self.offset, self.shift = 0, 0

    def read(self, plan: Input) -> int:
        self.shift += unzigzag(plan.varint())
        return self.offset + self.shift


def read_extent(plan: Input, places: Places) -> dict:
    extent: dict = {"gap": plan.varint(), "size": plan.varint(), "element": 1}
    places.offset += extent["gap"]
    method = plan.byte()
    extent["method"], extent["opens"] = method & 127, method >> 7
    kind = extent["method"]
    if kind in (13, 14, 15):
        extent["context"] = plan.byte()
        assert extent["context"] < 64 and extent["context"] & 7 < 7
    if kind == 1:
        extent["fill"] = plan.byte()
    elif kind == 2:
        extent["back"] = plan.varint()
    elif kind == 9:
        extent["base"] = places.read(plan)
    elif kind == 16:
        extent["base"], extent["stride"] = places.read(plan), plan.byte()
        if extent["opens"]:
            extent["window"] = plan.varint(), plan.varint()
    elif kind == 11:
        extent["base"], extent["element"] = places.read(plan), plan.byte()
        extent["last"], extent["row"] = plan.varint(), plan.varint()
    elif kind in (6, 7, 4, 10, 13):
        if kind == 10:
            extent["base"] = places.read(plan)
        extent["element"], flags = plan.byte(), plan.byte()
        extent["flags"], extent["last"], extent["row"] = flags, plan.varint(), plan.varint()
        extent["centre"], extent["lowest"], extent["highest"] = plan.take(3)
        width = extent["element"]
        if width & 128:
            extent["element"], extent["bits"] = 1, width & 127
            assert extent["bits"] in (2, 4) and flags & 1
        if flags & 64:
            extent["blocks"] = read_blocks(plan, extent["highest"], unzigzag)
        elif flags & 32:
            extent["book"] = read_grid(plan, extent["highest"] + 1, width)
        elif flags & 8:
            extent["channels"] = read_channel_books(plan, extent["highest"] + 1, width)
            extent["interleaved"] = flags & 16
        elif flags & 1:
            extent["book"] = [bytes([v ^ (128 if flags & 4 else 0)]) for v in range(256)]
        else:
            extent["book"] = [plan.take(width) for _ in range(extent["highest"] + 1)]
    elif kind in (5, 8, 14):
        form = plan.byte()
        extent["format"], extent["sparse"], extent["signed"] = form & 3, form >> 2 & 1, form >> 3
        extent["element"] = 4 if form & 3 == 2 else 2
        extent["last"], extent["row"] = plan.varint(), plan.varint()
        extent["lowest"], extent["highest"] = plan.take(2)
        extent["modelled"], extent["zeros"] = plan.take(2)
    elif kind == 3:
        extent["stride"] = plan.byte()
    elif kind in (12, 15):
        extent["element"], extent["highest"] = 4, plan.byte()
    extent["last"] = extent.get("last") or extent.get("row")
    places.offset += extent["size"]
    return extent


def read_grid(plan: Input, entries: int, width: int) -> list[bytes]:
    """Section 2, *grids*."""
    step = np.frombuffer(plan.take(width), "<f4" if width == 4 else "<f2")[0]
    first = unzigzag(plan.varint())
    return [
        product_of(k * float(step), width).to_bytes(width, "little")
        for k in range(first, first + entries)
    ]


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
