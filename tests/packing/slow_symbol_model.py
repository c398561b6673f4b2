"""Section 6.2 of the format: the model of symbols."""

from __future__ import annotations

from dataclasses import dataclass

from tests.packing.slow_coding import ArithmeticDecoder
from tests.packing.slow_mixing import (
    Apm,
    Counters,
    Mixer,
    input_of,
    learn,
    probability,
    squash,
    trunc,
)


@dataclass
class Layout:
    count: int
    row: int
    last: int
    lowest: int
    highest: int
    centre: int
    centre_flag: bool


def level(x: int) -> int:
    octave = (x + 4).bit_length() - 1
    return 4 * (octave - 2) + ((x + 4) >> octave - 2) % 4


def coarse(x: int) -> int:
    octave = (x + 2).bit_length() - 1
    return 2 * (octave - 1) + ((x + 2) >> octave - 1) % 2


def signed_class(v: int) -> int:
    return min(coarse(abs(v)), 15) + (16 if v < 0 else 0)


class SymbolModel:
    def __init__(self) -> None:
        self.own, self.tables = Counters(), [Counters() for _ in range(8)]
        self.by_node, self.by_scale, self.low = Mixer(5242), Mixer(5242), Mixer(10485)
        self.apm = Apm()
        self.seen, self.rate = 0, 0

    def decode(self, coder: ArithmeticDecoder, l: Layout) -> list[int]:  # noqa: E741
        self.l, self.coder = l, coder
        reach = max(l.highest - l.centre, l.centre - l.lowest) - int(l.centre_flag)
        self.bits = 8 if reach < 0 else reach.bit_length()
        self._cut(self.own, 6)
        self.tables[7] = Counters()
        mean, step, means, column_step = 0, 1, [0] * l.last, 1
        out: list[int] = []
        for i in range(l.count):
            in_row, column = i % l.row, i % l.last
            if l.row >= 48 and in_row == 0:
                self.tables[1] = Counters({k: list(c) for k, c in self.own.items()})
                self._cut(self.tables[1], 12)
                step = 2
            self._look_around(out, in_row, mean, means[column])
            symbol = self._symbol()
            out.append(symbol)
            distance = abs(symbol - l.centre)
            mean += trunc(1024 * distance - mean, step)
            step = min(step + 1, 24)
            means[column] += trunc(1024 * distance - means[column], column_step)
            if column == l.last - 1:
                column_step = min(column_step + 1, 20)
        return out

    @staticmethod
    def _cut(counters: Counters, limit: int) -> None:
        for counter in counters.values():
            counter[1] = min(counter[1], limit)

    def _look_around(self, out: list[int], in_row: int, mean: int, column_mean: int) -> None:
        l, i = self.l, len(out)  # noqa: E741

        def there(back: int, if_so: bool) -> int:
            return out[i - back] - l.centre if if_so else 0

        left, left2 = there(1, in_row >= 1), there(2, in_row >= 2)
        lag = there(l.last, in_row >= l.last and l.last > 1)
        up, up2 = there(l.row, i >= l.row), there(2 * l.row, i >= 2 * l.row)
        near = 2 * abs(left) + abs(left2) + 2 * abs(up) + abs(up2) + 2 * abs(lag)
        scale = 3 * mean + 3 * column_mean + 256 * near
        self.s = min(level(scale >> 9), 63)
        around, row = max(scale >> 5, 96), max(mean >> 2, 96)
        self.widths = (1 << 24) // around, (163 << 24) // around**2, (163 << 24) // row**2
        sides = (
            ("left", signed_class(left), left2 < 0),
            ("up", signed_class(up), up2 < 0),
            ("lag", signed_class(lag), signed_class(left)),
        )
        both = min(coarse(mean >> 7), 23), min(coarse(column_mean >> 7), 23)
        self.around = sides, both, in_row % 4096

    def _counters(self, node: int, side: int) -> list[list[int]]:
        sides, both, place = self.around
        first = self.own[side, node]
        tables = self.tables
        found = [
            first,
            tables[1][side, node] if self.l.row >= 48 else first,
            tables[2][self.s, node],
            tables[3][both, node],
        ]
        found += [tables[4 + k][key, side, node] for k, key in enumerate(sides)]
        if node < 7:
            found.append(tables[7][place, node])
        return found

    def _curves(self, f: int, h: int) -> list[int]:
        laplace, wide, of_row = self.widths
        sizes = h * laplace >> 8, h * (f + h) * wide >> 8, h * (f + h) * of_row >> 8
        return [-min(size, 2047) for size in sizes]

    def _symbol(self) -> int:
        l = self.l  # noqa: E741
        if l.centre_flag and self._bit(0, 0, 0, [0, 0, 0]):
            return l.centre
        asked = False
        if l.highest == l.centre:
            above = 0
        elif l.lowest == l.centre:
            above = 1
        else:
            above, asked = self._bit(1, 0, 1, [0, 0, 0]), True
        prefix = 1
        for b in range(self.bits - 1, -1, -1):
            curves = self._curves((prefix << b + 1) - (1 << self.bits), 1 << b)
            if b >= self.bits - 2:
                bit = self._bit(1 + prefix, above, 10 - b, curves)
            else:
                bit = self._low_bit(1 + prefix, above, curves)
            prefix = 2 * prefix + bit
        distance = prefix - (1 << self.bits) + int(l.centre_flag or (asked and above == 1))
        return max(0, min(255, l.centre + (distance if above else -distance)))

    def _bit(self, node: int, side: int, kind: int, curves: list[int]) -> int:
        counters = self._counters(node, side)
        inputs = [input_of(counter) for counter in counters] + [0] * (8 - len(counters))
        inputs += [256, *curves, 0, 0, 0, 0]
        a = self.by_node.mix(inputs, (side, node))
        b = self.by_scale.mix(inputs, (self.s, kind))
        x = trunc(a + b, 2)
        refined = self.apm.refine(x, (self.s, kind))
        bit = self.coder.bit(probability(3 * squash(x) + refined >> 2))
        rate = self._rate()
        self.by_node.learn(inputs, bit, rate)
        self.by_scale.learn(inputs, bit, rate)
        self.apm.learn(bit)
        self._learn(counters, bit, [1000, 255, 1000, 1000, 1000, 1000, 1000, 127])
        return bit

    def _low_bit(self, node: int, side: int, curves: list[int]) -> int:
        found = self._counters(node, side)
        counters = [*found[:4], found[5]]
        inputs = [input_of(counter) for counter in counters] + curves
        bit = self.coder.bit(probability(squash(self.low.mix(inputs, (side, node)))))
        self.low.learn(inputs, bit, self._rate())
        self._learn(counters, bit, [1000, 255, 1000, 1000, 1000])
        return bit

    @staticmethod
    def _learn(counters: list[list[int]], bit: int, limits: list[int]) -> None:
        for k, counter in enumerate(counters):
            if k != 1 or counter is not counters[0]:
                learn(counter, bit, limits[k])

    def _rate(self) -> int:
        if self.seen % 64 == 0:
            self.rate = 6 + 480000 // (20000 + self.seen)
        self.seen = min(self.seen + 1, 1 << 24)
        return self.rate
