"""Sections 6.5 and 6.9 of the format: the models of integers."""

from __future__ import annotations

from tests.packing.slow_coding import ArithmeticDecoder, Bits
from tests.packing.slow_fast_model import FastModel, RangeDecoder
from tests.packing.slow_mixing import Counters, learn, probability
from tests.packing.slow_symbol_model import Layout, SymbolModel


class _Parts:
    """What follows the lengths."""

    def __init__(self) -> None:
        self.counters = Counters()

    def number(
        self, coder: ArithmeticDecoder | RangeDecoder, noise: Bits, length: int, before: int
    ) -> tuple[int, int]:
        """The number, and what it is to the one after it."""
        if length <= 0:
            return 0, 0
        negative = self._bit(coder, ("sign", before))
        found, node = 1, 1
        modelled = min(length - 1, 3)
        for _ in range(modelled):
            bit = self._bit(coder, (length, node))
            found, node = 2 * found + bit, 2 * node + bit
        left = length - 1 - modelled
        found = found << left | noise.take(left)
        return (-found if negative else found) & 0xFFFFFFFF, 1 + negative

    def _bit(self, coder: ArithmeticDecoder | RangeDecoder, key: object) -> int:
        counter = self.counters[key]
        bit = coder.bit(probability(counter[0] >> 6))
        learn(counter, bit, 255)
        return bit


class IntegerModel:
    def __init__(self) -> None:
        self.symbols, self.parts = SymbolModel(), _Parts()

    def decode(self, coder: ArithmeticDecoder, noise: Bits, count: int, longest: int) -> bytes:
        depths = self.symbols.decode(coder, Layout(count, count, count, 0, longest, 0, False))
        out, before = bytearray(), 0
        for depth in depths:
            value, before = self.parts.number(coder, noise, longest - depth, before)
            out += value.to_bytes(4, "little")
        return bytes(out)


class FastIntegerModel:
    def __init__(self) -> None:
        self.symbols, self.parts = FastModel(), _Parts()

    def decode(self, lanes: list[RangeDecoder], noise: Bits, e: dict) -> bytes:
        count, longest = e["count"], e["highest"]
        layout = Layout(count, count, count, 0, longest, 0, False)
        depths = self.symbols.decode(lanes, noise, layout, e["context"])
        values, before, half = [0] * count, [0, 0], (count + 1) // 2
        for k in range(half):
            for s, i in enumerate(range(k, count, half)):
                length = longest - depths[i]
                values[i], before[s] = self.parts.number(lanes[s], noise, length, before[s])
        return b"".join(value.to_bytes(4, "little") for value in values)
