"""Section 6.4 of the format: the model of graphs beside a sample."""

from __future__ import annotations

import re
from pathlib import Path

from tests.packing.slow_byte_model import ByteModel, mix
from tests.packing.slow_mixing import Counters, learn, stretch

_SOURCE = Path(__file__).parents[2] / "export" / "src"
_ALL = 0xFFFFFFFF


def samples() -> list[tuple[bytes, bytes]]:
    """Plan and skeleton of each sample, from the lists in the source."""
    numbers = bytes(int(n) for n in re.findall(r"\d+", (_SOURCE / "samples.inc").read_text()))
    sizes = [int(n) for n in re.findall(r"\d+", (_SOURCE / "sample_sizes.inc").read_text())]
    found, at = [], 0
    for plan, skeleton in zip(sizes[::2], sizes[1::2], strict=True):
        middle, end = at + plan, at + plan + skeleton
        found.append((numbers[at:middle], numbers[middle:end]))
        at = end
    return found


class Known:
    """In the place of a coder: the bits of a byte that is known."""

    def __init__(self, byte: int) -> None:
        self.bits = [byte >> i & 1 for i in range(8)]

    def bit(self, p: int) -> int:
        return self.bits.pop()


class WordModel(ByteModel):
    def __init__(self, total: int = 1 << 11, stride: int = 4) -> None:
        super().__init__(total, stride)  # 2^14 groups
        self.vtables, self.moves, self.position = [0, 0], [0, 0], 0

    def remember_all(self, data: bytes) -> None:
        for byte in data:
            self.remember(byte)

    def know(self, byte: int, position: int) -> None:
        assert self.decode(Known(byte), position) == byte

    def _history_word(self, at: int) -> int:
        return (
            int.from_bytes(self.history[at : at + 4], "little")
            if at + 4 <= len(self.history)
            else 0
        )

    def _begin(self, position: int) -> None:
        self.position = position
        super()._begin(position)

    def _take_contexts(self, position: int) -> None:
        self._find_match()
        j = self.j
        inside = self._word(0) >> 8 * (4 - j) if j else 0
        matched = self._history_word(self.match_at - j) if self.match_at >= 4 else 0
        guesses = [position - j - vtable & _ALL for vtable in self.vtables]
        guesses += [matched + move & _ALL for move in self.moves]
        for k, guess in enumerate(guesses):
            a = guess >> 8 * j & 255 | j << 9
            if guess & (1 << 8 * j) - 1 == inside:
                a += 256
            self.hashes.append(mix(mix(a, 6 + k), 13 + k))
        self._add_contexts()
        self._take_groups(0)

    def _add_contexts(self) -> None:
        pass

    def _find_match(self) -> None:
        history, size = self.history, len(self.history)
        if size >= 5:
            place = self._place()
            candidate = self.places.get(place, 0)
            if self.match_length < 16 and candidate not in (0, self.match_at):
                n = 0
                while n < min(400, candidate) and history[candidate - 1 - n] == history[-1 - n]:
                    n += 1
                if n >= 5 and n > self.match_length:
                    self.match_length, self.match_at = n, candidate
            self.places[place] = size
        self.predicted = history[self.match_at] if self.match_at else None

    def _end(self, byte: int) -> None:
        if self.position % 4 == 3:
            word = int.from_bytes(self.history[-3:] + bytes([byte]), "little")
            if word >= 0xC0000000:
                _to_front(self.vtables, self.position - 3 - word & _ALL)
            if self.match_at >= 4:
                move = word - self._history_word(self.match_at - 3) & _ALL
                if move and (move < 1 << 16 or move >= 2**32 - (1 << 16)):
                    _to_front(self.moves, move)
        at, length = self.match_at, self.match_length
        came = self.predicted == byte
        super()._end(byte)
        if at:
            self.match_at, self.match_length = at + 1, min(length + 1, 65535) if came else 0


class BesideModel(WordModel):
    """Section 8.1: with an anchor in what comes from the base."""

    def __init__(self, total: int, stride: int, reach: int) -> None:
        super().__init__(total, stride)
        bits = 16
        while bits < 22 and 1 << bits < reach:
            bits += 1
        self.match_mask = (1 << bits) - 1
        self.anchor_at = self.base_end = self.agreed = 0
        self.anchored: int | None = None
        self.faith, self.asked = Counters(), None

    def _add_contexts(self) -> None:
        at, before, tag = self.anchor_at, self.before, min(self.position % self.stride, 7) << 8
        self.anchored = self.history[at] if 0 < at < self.base_end else None
        old = 0 if self.anchored is None else self.history[at - 1]
        g = 0 if self.anchored is None else self.anchored + 256
        pairs = [
            (g + (self.agreed << 9), tag + 10),
            (g | (before - old << 9 & _ALL), 11),
            (g + (before << 9), tag + 12),
        ]
        self.hashes += [mix(mix(a, b), 17 + k) for k, (a, b) in enumerate(pairs)]
        self.lean = 16 * (self.agreed & 3)

    def _more_inputs(self, prefix: int, i: int) -> list[int]:
        self.asked = None
        if self.anchored is None or (256 | self.anchored) >> i + 1 != prefix:
            return [0]
        bit = self.anchored >> i & 1
        self.asked = self.faith[self.agreed, self.j, bit], bit
        s = stretch(self.asked[0][0] >> 6)
        return [s if bit else -s]

    def _learn_more(self, bit: int) -> None:
        if self.asked is not None:
            learn(self.asked[0], int(bit == self.asked[1]), 250)

    def _end(self, byte: int) -> None:
        self.agreed = (self.agreed << 1 | (self.anchored == byte)) & 255
        if self.anchor_at:
            self.anchor_at += 1
        super()._end(byte)
        if self.match_length >= 32 and self.agreed != 255 and self.match_at < self.base_end:
            self.anchor_at = self.match_at


def _to_front(two: list[int], value: int) -> None:
    if two[0] != value:
        two[:] = [value, two[0]]
