"""Section 6.5 of the format: the model of integers."""

from __future__ import annotations

from tests.packing.slow_coding import ArithmeticDecoder, Bits
from tests.packing.slow_mixing import Counters, learn, probability
from tests.packing.slow_symbol_model import Layout, SymbolModel


class IntegerModel:
    def __init__(self) -> None:
        self.symbols, self.counters = SymbolModel(), Counters()

    def decode(self, coder: ArithmeticDecoder, noise: Bits, count: int, longest: int) -> bytes:
        depths = self.symbols.decode(coder, Layout(count, count, count, 0, longest, 0, False))
        out, before = bytearray(), 0
        for depth in depths:
            length = max(longest - depth, 0)
            if length == 0:
                before = 0
                out += bytes(4)
                continue
            negative = self._bit(coder, ("sign", before))
            before = 1 + negative
            found, node = 1, 1
            modelled = min(length - 1, 3)
            for _ in range(modelled):
                bit = self._bit(coder, (length, node))
                found, node = 2 * found + bit, 2 * node + bit
            left = length - 1 - modelled
            found = found << left | noise.take(left)
            out += ((-found if negative else found) & 0xFFFFFFFF).to_bytes(4, "little")
        return bytes(out)

    def _bit(self, coder: ArithmeticDecoder, key: object) -> int:
        counter = self.counters[key]
        bit = coder.bit(probability(counter[0] >> 6))
        learn(counter, bit, 255)
        return bit
