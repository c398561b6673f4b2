"""Sections 6.6 to 6.8 of the format: the range code, and the fast models of symbols and floats."""

from __future__ import annotations

from tests.packing.slow_coding import Bits
from tests.packing.slow_float_model import FORMATS
from tests.packing.slow_mixing import Counters, learn, probability
from tests.packing.slow_symbol_model import Layout, coarse, level, signed_class

_WORD = 2**64 - 1


class RangeDecoder:
    """Section 6.6: one lane."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 8
        self.range, self.value = _WORD, int.from_bytes(data[:8].ljust(8, b"\0"), "big")

    def bit(self, p: int) -> int:
        bound = (self.range >> 16) * p
        bit = int(self.value < bound)
        if bit:
            self.range = bound
        else:
            self.value, self.range = self.value - bound & _WORD, self.range - bound
        if self.range < 1 << 32:
            word = int.from_bytes(self.data[self.at : self.at + 4].ljust(4, b"\0"), "big")
            self.at += 4
            self.range <<= 32
            self.value = (self.value << 32 | word) & _WORD
        return bit

    def finish(self) -> None:
        assert len(self.data) <= self.at <= len(self.data) + 8


def _mean(a: list[int], b: list[int]) -> int:
    return (a[0] * 1024 + a[1] + b[0] * 1024 + b[1] >> 17) | 1


def _share(counter: list[int]) -> int:
    return min(coarse(counter[0] >> 13), 15)


def _class_of(difference: int) -> int:
    return min(coarse(abs(difference)) // 2, 3) + (4 if difference < 0 else 0)


def _mean_class(mean: int) -> int:
    return max(0, min(7, coarse(mean >> 7) // 2 - 2))


class FastModel:
    """Section 6.7."""

    def __init__(self) -> None:
        self.base, self.near, self.density = Counters(), Counters(), Counters()
        self.second = Counters()

    def decode(
        self, lanes: list[RangeDecoder], noise: Bits, layout: Layout, context: int
    ) -> list[int]:
        self.layout, self.lanes, self.noise = layout, lanes, noise
        self.context, self.low = context & 7, context >> 3 & 3
        self.plain_side = context >> 5
        for table, limit in ((self.base, 30), (self.near, 120), (self.density, 120)):
            for counter in table.values():
                counter[1] = min(counter[1], limit)
        self.half = (layout.count + 1) // 2
        self.ends = (self.half, layout.count)
        self.symbols = [layout.centre] * layout.count
        self.column_kept, self.row_kept = Counters(), Counters()
        self.column_means: dict[int, int] = {}
        self.means = [0, 0]
        for first in range(0, self.half, 4096):
            end = min(first + 4096, self.half)
            places = self._kept(first, end) if layout.centre_flag else self._all(first, end)
            for k in range(max(map(len, places))):
                self._side_by_side([(s, own[k]) for s, own in enumerate(places) if k < len(own)])
        return self.symbols

    def _all(self, first: int, end: int) -> list[list[int]]:
        starts = (0, self.half)
        return [
            [s + k for k in range(first, end) if s + k < stop]
            for s, stop in zip(starts, self.ends, strict=True)
        ]

    def _before(self, s: int, i: int, back: int) -> int:
        start = s * self.half
        return self.symbols[i - back] - self.layout.centre if i - back >= start else 0

    def _column(self, i: int) -> int:
        return i % self.layout.row % 4096

    def _kept(self, first: int, end: int) -> list[list[int]]:
        row, last = self.layout.row, self.layout.last
        found: list[list[int]] = [[], []]
        both = self._all(first, end)
        for k in range(len(both[0])):
            for s in range(2):
                if k >= len(both[s]):
                    continue
                i = both[s][k]
                columns = self.column_kept[self._column(i)]
                backs = (1, 2, row, last if last < row else self.layout.count)
                around = tuple(self._before(s, i, back) != 0 for back in backs)
                near = self.near[around, _share(columns)]
                density = self.density[_share(self.row_kept[s]), _share(columns)]
                bit = self.lanes[s].bit(_mean(near, density))
                learn(near, bit, 1000)
                learn(density, bit, 1000)
                learn(self.row_kept[s], bit, 24)
                learn(columns, bit, 60)
                if bit:
                    self.symbols[i] = -1  # not at the centre: its value comes later
                    found[s].append(i)
        return found

    def _side_by_side(self, places: list[tuple[int, int]]) -> None:
        layout = self.layout
        reach = max(layout.highest - layout.centre, layout.centre - layout.lowest)
        reach -= int(layout.centre_flag)
        bits = 8 if reach < 0 else reach.bit_length()
        low = min(self.low, bits)
        one_sided = layout.centre in (layout.lowest, layout.highest)
        contexts = [self._context(s, i) for s, i in places]
        above, prefixes = [], [1 << 8 - bits for _ in places]
        for (s, _), context in zip(places, contexts, strict=True):
            if one_sided:
                above.append(int(layout.highest != layout.centre))
            elif self.plain_side:
                above.append(self.noise.take(1))
            else:
                above.append(self._decide(s, (0, 0), context))
        for b in range(bits - 1, low - 1, -1):
            for k, (s, _) in enumerate(places):
                second = contexts[k] if b >= bits - 4 else None
                bit = self._decide(s, (above[k], prefixes[k]), second)
                prefixes[k] = 2 * prefixes[k] + bit
        for k, (s, i) in enumerate(places):
            away = (prefixes[k] << low | self.noise.take(low)) - 256
            away += 1 if layout.centre_flag or (above[k] and not one_sided) else 0
            symbol = layout.centre + (away if above[k] else -away)
            self.symbols[i] = max(0, min(255, symbol))
            self.means[s] += (away << 10) - self.means[s] >> 4
            mean = self.column_means.get(self._column(i), 0)
            self.column_means[self._column(i)] = mean + ((away << 10) - mean >> 3)

    def _context(self, s: int, i: int) -> object:
        row, last = self.layout.row, self.layout.last
        left, left2, up = (self._before(s, i, back) for back in (1, 2, row))
        lag = self._before(s, i, last) if last < row else 0
        column_mean = self.column_means.get(self._column(i), 0)
        near = 2 * abs(left) + abs(left2) + 2 * abs(up) + 2 * abs(lag)
        scale = 3 * self.means[s] + 3 * column_mean + 256 * near
        return [
            None,
            min(level(scale >> 9), 63),
            (_mean_class(self.means[s]), _mean_class(column_mean)),
            signed_class(up),
            signed_class(lag),
            (_class_of(lag), _class_of(left)),
            (_class_of(up), _class_of(left)),
        ][self.context]

    def _decide(self, s: int, node: tuple[int, int], context: object) -> int:
        counter = self.base[node]
        second = counter if context is None else self.second[self.context, context, node]
        bit = self.lanes[s].bit(_mean(counter, second))
        learn(counter, bit, 1000)
        if context is not None:
            learn(second, bit, 1000)
        return bit


class FastFloatModel:
    """Section 6.8."""

    def __init__(self) -> None:
        self.symbols = FastModel()
        self.zero_signs, self.signs, self.mantissas = Counters(), Counters(), Counters()

    def decode(self, lanes: list[RangeDecoder], noise: Bits, e: dict) -> bytes:
        self.lanes, self.noise, self.extent = lanes, noise, e
        count, sparse = e["count"], int(e["sparse"])
        deepest = e["highest"] - e["lowest"] + sparse
        layout = Layout(count, e["row"], e["last"], 0, deepest, 0, bool(sparse))
        self.depths = self.symbols.decode(lanes, noise, layout, e["context"])
        self.values: list[int] = [0] * count
        self.zero_sign, half = [2, 2], (count + 1) // 2
        for k in range(half):
            self._element(0, k, 0)
            if half + k < count:
                self._element(1, half + k, half)
        return b"".join(value.to_bytes(e["element"], "little") for value in self.values)

    def _bit(self, s: int, counter: list[int], limit: int) -> int:
        bit = self.lanes[s].bit(probability(counter[0] >> 6))
        learn(counter, bit, limit)
        return bit

    def _element(self, s: int, i: int, start: int) -> None:
        e = self.extent
        width, exponent_bits, mantissa_bits = FORMATS[e["format"]]
        sparse, row, last = int(e["sparse"]), e["row"], e["last"]
        top = 8 * width - 1
        if sparse and self.depths[i] == 0:
            if e["signed"]:
                counter = self.zero_signs[self.zero_sign[s]]
                self.zero_sign[s] = self._bit(s, counter, 250)
                self.values[i] = self.zero_sign[s] << top
            return

        def sign(back: int) -> int:
            if i - back < start or (sparse and self.depths[i - back] == 0):
                return 0
            return 1 + (self.values[i - back] >> top)

        around = (sign(1), sign(last) if last < row else 0, sign(row))
        negative = self._bit(s, self.signs[around], 1000)
        depth, prefix = self.depths[i] - sparse, 1
        for _ in range(e["modelled"]):
            bit = self._bit(s, self.mantissas[min(depth, 31), prefix], 1000)
            prefix = 2 * prefix + bit
        upper = prefix - (1 << e["modelled"])
        plain = mantissa_bits - e["modelled"] - e["zeros"]
        mantissa = upper << mantissa_bits - e["modelled"] | self.noise.take(plain) << e["zeros"]
        exponent = e["highest"] - depth & (1 << exponent_bits) - 1
        self.values[i] = (negative << exponent_bits | exponent) << mantissa_bits | mantissa
