"""Section 6 of the format: counters, logistic tables, mixers, APMs."""

from __future__ import annotations

import bisect
import math

_LIMIT = 2815
_ANCHORS = [min(65535, round(65536 / (1 + math.exp(-k / 4)))) for k in range(46)]
STEPS = [131072 // (2 * n + 3) for n in range(1024)]
_TRUST = [0] + [64 * (2 * n + 1) // (2 * n + 4) for n in range(1, 1024)]


def _squash(x: int) -> int:
    if x < 0:
        return 65536 - _squash(-x)
    a, b = _ANCHORS[x >> 6], _ANCHORS[(x >> 6) + 1]
    return a + ((b - a) * (x & 63) + 32 >> 6)


_SQUASHED = [_squash(x) for x in range(-_LIMIT, _LIMIT + 1)]
_STRETCHED = [bisect.bisect_left(_SQUASHED, p * 16 + 8) - _LIMIT for p in range(4096)]


def clamp(x: int) -> int:
    return max(-_LIMIT, min(_LIMIT, x))


def squash(x: int) -> int:
    return _SQUASHED[clamp(x) + _LIMIT]


def stretch(p: int) -> int:
    return _STRETCHED[p >> 4]


def trunc(a: int, b: int) -> int:
    """a / b, rounded toward zero."""
    return -(-a // b) if a < 0 else a // b


def probability(p: int) -> int:
    return max(1, min(65535, p))


def input_of(counter: list[int]) -> int:
    p, n = counter
    return _STRETCHED[p >> 10] * _TRUST[n] >> 6


def learn(counter: list[int], bit: int, limit: int) -> None:
    p, n = counter
    counter[0] = p + (((4194303 if bit else 0) - p) * STEPS[n] >> 16)
    if n < limit:
        counter[1] = n + 1


def fresh() -> list[int]:
    return [1 << 21, 0]


class Counters(dict):
    """Counters by any key, fresh until they are used."""

    def __missing__(self, key: object) -> list[int]:
        self[key] = counter = fresh()
        return counter


def _wrap(value: int, bits: int) -> int:
    half = 1 << bits - 1
    return (value + half & 2 * half - 1) - half


class Mixer:
    def __init__(self, first_weight: int) -> None:
        self.sets: dict[object, list[int]] = {}
        self.first_weight = first_weight

    def mix(self, inputs: list[int], key: object) -> int:
        if key not in self.sets:
            self.sets[key] = [self.first_weight] * len(inputs)
        self.chosen = self.sets[key]
        total = 0
        for value, weight in zip(inputs, self.chosen, strict=True):
            if value:
                # Hardly ever does a weight need its wrap, and this is where the time goes.
                total += value * (
                    weight >> 4 if -(1 << 19) <= weight < 1 << 19 else _wrap(weight >> 4, 16)
                )
        self.x = clamp(_wrap(total, 32) >> 12)
        return self.x

    def learn(self, inputs: list[int], bit: int, rate: int) -> None:
        e, chosen = _wrap(((bit << 16) - squash(self.x)) * rate >> 8, 16), self.chosen
        for k, value in enumerate(inputs):
            if value:
                weight = chosen[k] + (value * e + 2048 >> 12)
                chosen[k] = weight if -(1 << 31) <= weight < 1 << 31 else _wrap(weight, 32)


class Apm:
    def __init__(self) -> None:
        self.tables: dict[object, list[int]] = {}

    def refine(self, x: int, key: object) -> int:
        if key not in self.tables:
            self.tables[key] = [squash(128 * (k - 22)) for k in range(45)]
            self.tables[key][44] -= 1
        table, k, w = self.tables[key], x + 2816 >> 7, x + 2816 & 127
        self.table, self.k = table, k + (w >= 64)
        return table[k] * (128 - w) + table[k + 1] * w >> 7

    def learn(self, bit: int) -> None:
        t = self.table[self.k]
        self.table[self.k] = t + (65535 - t >> 6) if bit else t - (t >> 6)
