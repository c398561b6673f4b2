"""Section 5.1 of the format: repeats with adaptive codes."""

from __future__ import annotations

from tests.packing.slow_fast_model import RangeDecoder
from tests.packing.slow_mixing import Counters, Mixer, input_of, learn, squash

_LIMIT, _LITERAL_LIMIT = 60, 250


def _clamped(p: int) -> int:
    return max(32, min(65504, p))


class LzModel:
    def __init__(self, data: bytes, before: bytes = b"") -> None:
        self.coder, self.counters, self.mixer = RangeDecoder(data), Counters(), Mixer(26214)
        self.out, self.kinds, self.last = bytearray(before), 0, [1, 1, 1, 1]
        self.came = [0, 0, 0]

    def decode(self, size: int) -> bytes:
        start = len(self.out)
        while len(self.out) < start + size:
            if self._bit("kind", self.kinds):
                length = self._match()
                for _ in range(length):
                    self.out.append(self.out[-self.last[0]])
                self.kinds = (self.kinds << 1 | 1) & 7
            else:
                self.out.append(self._guessed_or_literal(len(self.out) % 4))
                self.kinds = self.kinds << 1 & 7
        self.coder.finish()
        assert len(self.out) == start + size
        return bytes(self.out[start:])

    def _bit(self, *key: object) -> int:
        counter = self.counters[key]
        bit = self.coder.bit(_clamped(counter[0] >> 6))
        learn(counter, bit, _LIMIT)
        return bit

    def _even(self, bits: int) -> int:
        value = 0
        for _ in range(bits):
            value = 2 * value + self.coder.bit(32768)
        return value

    def _tree(self, bits: int, *key: object) -> int:
        prefix = 1
        for _ in range(bits):
            prefix = 2 * prefix + self._bit(*key, prefix)
        return prefix - (1 << bits)

    def _match(self) -> int:
        if not self._bit("new", self.kinds):
            length = self._length(0)
            self.last = [self._distance(length), *self.last[:3]]
            return length + 2
        number = 0
        if self._bit("second", self.kinds):
            number = 1
            if self._bit("third", self.kinds):
                number = 2 + self._bit("fourth", self.kinds)
        elif self._bit("byte", self.kinds):
            return 1
        length = self._length(min(number, 1) + 1)
        self.last.insert(0, self.last.pop(number))
        return length + 2

    def _length(self, number: int) -> int:
        c = self._tree(6, "length", number)
        if c < 4:
            return c
        extra = c // 2 - 1
        upper = min(extra, 4)
        rest = self._tree(upper, "length bits", number, c) << extra - upper
        return (2 + c % 2 << extra) + rest + self._even(extra - upper)

    def _distance(self, length: int) -> int:
        c = self._tree(6, "distance", min(length, 3))
        if c < 4:
            return c + 1
        extra = c // 2 - 1
        start = 2 + c % 2 << extra
        if c < 14:
            return start + self._tree(extra, "distance bits", c) + 1
        upper, prefix, low = self._even(extra - 4) << 4, 1, 0
        for i in range(4):
            bit = self._bit("aligned", prefix)
            prefix, low = 2 * prefix + bit, low | bit << i
        return start + upper + low + 1

    def _guess(self, place: int) -> int | None:
        size, distance = len(self.out), self.last[0]
        if distance < 4 or size < 2 * distance + 4:
            return None

        def word(back: int) -> int:
            first = size - place - back
            return int.from_bytes(self.out[first : first + 4], "little")

        guess = (2 * word(distance) - word(2 * distance)) % 2**32
        guessed = guess.to_bytes(4, "little")
        if self.out[size - place :] != guessed[:place]:
            return None
        return guessed[place]

    def _guessed_or_literal(self, place: int) -> int:
        guess = self._guess(place)
        if guess is None:
            return self._literal(place)
        if sum(self.came) >= 2 and self._bit("guess", *self.came, place):
            byte = guess
        else:
            byte = self._literal(place)
        self.came = [*self.came[1:], int(byte == guess)]
        return byte

    def _literal(self, place: int) -> int:
        one, two = [*b"\0\0", *self.out[-2:]][-1], [*b"\0\0", *self.out[-2:]][-2]
        two_before = (one + 256 * two) * 0x9E3779B1 % 2**32 >> 22
        wanted = None
        if self.kinds & 1 and self.last[0] <= len(self.out):
            wanted = self.out[-self.last[0]] | 256
        prefix = 1
        for i in range(7, -1, -1):
            agrees = wanted is not None and wanted >> i + 1 == prefix
            keys = [
                ("place", place, prefix),
                ("one", one, prefix),
                ("two", two_before, prefix),
                ("none", i) if wanted is None else ("match", wanted, prefix),
            ]
            counters = [self.counters[key] for key in keys]
            inputs = [input_of(counter) for counter in counters]
            x = self.mixer.mix(inputs, (wanted is None, agrees, place, i))
            bit = self.coder.bit(_clamped(squash(x)))
            self.mixer.learn(inputs, bit, 50)
            for counter in counters:
                learn(counter, bit, _LITERAL_LIMIT)
            prefix = 2 * prefix + bit
        return prefix & 255
