"""Section 2 of the format, *blocks*: elements that are a level times a scale, one scale a block."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.packing.slow_coding import Bits, Input

_ROUNDED: dict[int, Any] = {0: np.float16, 2: np.float32}


def read_blocks(plan: Input, highest: int, zigzag: object) -> dict:
    kind = plan.byte()
    assert kind < 32 and kind & 3 < 3 and kind & 12 != 12
    blocks: dict = {"format": kind & 3, "signed": kind & 8}
    blocks["block"], blocks["stride"], blocks["axis"] = (plan.varint() for _ in range(3))
    blocks["sides"] = [plan.take(4) for _ in range(2 if kind & 4 else 1)]
    if kind & 16:
        blocks["levels"] = np.frombuffer(plan.take(4 * (highest + 1)), "<f4")
    else:
        first = zigzag(plan.varint())
        blocks["levels"] = np.arange(first, first + highest + 1).astype(np.float32)
    return blocks


def block_of(blocks: dict, i: int) -> int:
    """The block of element i: parts that go before the axis, then along it, then between."""
    axis, stride = blocks["axis"], blocks["stride"]
    part, along, between = i // (axis * stride), i // stride % axis, i % stride
    return (part * -(-axis // blocks["block"]) + along // blocks["block"]) * stride + between


def sides(blocks: dict, count: int) -> list[dict]:
    """Scales and offsets as extents of float32."""
    assert count % (blocks["axis"] * blocks["stride"]) == 0
    along = -(-blocks["axis"] // blocks["block"])
    found = count // blocks["axis"] * along
    row = blocks["stride"] if blocks["stride"] != 1 else along
    row = found if row == 1 else row
    return [
        {
            "format": 2, "element": 4, "sparse": 0, "signed": 0, "count": found, "row": row,
            "last": row, "lowest": low, "highest": high, "modelled": modelled, "zeros": zeros,
            "context": 0,
        }
        for low, high, modelled, zeros in blocks["sides"]
    ]  # fmt: skip


def zeros_of(blocks: dict, symbols: list[int]) -> int:
    """How many signs of zeros follow the symbols."""
    return sum(blocks["levels"][s] == 0 for s in symbols) if blocks["signed"] else 0


def restore(blocks: dict, symbols: list[int], values: list[bytes], signs: Bits) -> bytes:
    scales, *offsets = (np.frombuffer(v, "<f4") for v in values)
    out = bytearray()
    with np.errstate(all="ignore"):
        for i, symbol in enumerate(symbols):
            level, scale = blocks["levels"][symbol], scales[block_of(blocks, i)]
            value = _settled(level * scale)
            for offset in offsets:
                value = _settled(value + offset[block_of(blocks, i)])
            if blocks["signed"] and level == 0 and signs.take(1):
                value = -value
            out += _element(value, blocks["format"])
    return bytes(out)


def _settled(value: np.float32) -> np.float32:
    assert np.isfinite(value)  # no writer writes others
    small = abs(value) < np.finfo(np.float32).smallest_normal
    return np.copysign(np.float32(0), value) if small else value


def _element(value: np.float32, kind: int) -> bytes:
    if kind != 1:
        return _ROUNDED[kind](value).astype("<f4" if kind == 2 else "<f2").tobytes()
    bits = int(np.float32(value).view(np.uint32))
    return (bits + 0x7FFF + (bits >> 16 & 1) >> 16 & 0xFFFF).to_bytes(2, "little")
