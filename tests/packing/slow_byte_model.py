"""Sections 6.1 and 8.1 of the format: the model of bytes, alone and beside a base."""

from __future__ import annotations

from tests.packing.slow_coding import ArithmeticDecoder
from tests.packing.slow_mixing import (
    Apm,
    Counters,
    Mixer,
    fresh,
    input_of,
    learn,
    probability,
    squash,
    stretch,
    trunc,
)

_ALL = 0xFFFFFFFF


def mix(a: int, b: int) -> int:
    h = a * 0x9E3779B1 & _ALL ^ ((b + 0x7F4A7C15 & _ALL) * 0x85EBCA6B & _ALL)
    return (h ^ h >> 15) * 0xC2B2AE35 & _ALL


class Known:
    """In the place of a coder: the bits of a byte that is known."""

    def __init__(self, byte: int) -> None:
        self.bits = [byte >> i & 1 for i in range(8)]

    def bit(self, p: int) -> int:
        return self.bits.pop()


class ByteModel:
    def __init__(self, total: int, stride: int, bits: int = 0) -> None:
        if not bits:
            bits = 12
            while bits < 16 and 1 << bits < 8 * total:
                bits += 1
            match_bits = bits + 1 if bits < 16 else 18
        else:
            match_bits = bits + 1
        self.mask, self.match_mask = (1 << bits) - 1, (1 << match_bits) - 1
        self.stride, self.history, self.text = stride, bytearray(), 0
        self.groups: dict[int, tuple[int, list[list[int]]]] = {}
        self.places: dict[int, int] = {}
        self.match_at = self.match_length = 0
        self.lean = 0  # what else the first mixer's set is chosen by
        self.order0, self.trust = Counters(), Counters()
        self.mixers = [Mixer(9830) for _ in range(3)]
        self.apms = [Apm(), Apm()]
        self.vtables, self.moves, self.position = [0, 0], [0, 0], 0
        self.belief, self.came = Counters(), [0, 0, 0, 0]

    def remember(self, byte: int) -> None:
        if len(self.history) >= 5:
            self.places[self._place()] = len(self.history)
        self.history.append(byte)

    def remember_all(self, data: bytes) -> None:
        for byte in data:
            self.remember(byte)

    def know(self, byte: int, position: int) -> None:
        assert self.decode(Known(byte), position) == byte

    def decode(self, coder: ArithmeticDecoder, position: int) -> int:
        self._begin(position)
        prefix = 1
        for i in range(7, -1, -1):
            prefix = 2 * prefix + self._bit(coder, prefix, i)
        self._end(prefix & 255)
        return prefix & 255

    def _at(self, back: int) -> int:
        return self.history[-back] if back <= len(self.history) else 0

    def _word(self, back: int) -> int:
        return sum(self._at(back + 4 - k) << 8 * k for k in range(4))

    def _place(self) -> int:
        return mix(self._word(0), self._at(5)) >> 5 & self.match_mask

    def _history_word(self, at: int) -> int:
        return (
            int.from_bytes(self.history[at : at + 4], "little")
            if at + 4 <= len(self.history)
            else 0
        )

    def _begin(self, position: int) -> None:
        self.position = position
        at, j, stride = self._at, position % 4, self.stride
        self.phase, self.j = min(position % stride, 7), j
        tag, c = self.phase << 8, self._word(0)
        self.before = before = at(1)
        inside = c >> 8 * (4 - j) if j else 0
        w1, w2 = self._word(j), self._word(j + 4)
        self.guess = guess = 2 * w1 - w2 & _ALL
        g = guess >> 8 * j & 255
        if guess & (1 << 8 * j) - 1 == inside:
            g += 256
        pairs = [
            (before, tag),
            (c >> 16, 0),
            (c >> 8, 0),
            (c, at(5) + 256 * at(6)),
            (at(stride), tag + 1),
            (at(stride) + 256 * at(2 * stride), tag + 2),
            (mix(w1, inside), j),
            (mix(mix(w1, w2), inside), j),
            (g, tag + 3),
            (at(8) + (at(16) << 8) + (before << 16), position % 8),
            (self.text, before),
            (at(3) + (at(2) << 8) + (j << 16), 5),
        ]
        self.hashes = [mix(mix(a, b), k + 1) for k, (a, b) in enumerate(pairs)]
        self._take_contexts(position)

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
        self.kind = 0
        if self.match_at >= 4:
            self.kind = 1 if matched >= 0xC0000000 else 2 if matched < 1 << 16 else 3
        self.guessed = [
            guess >> 8 * j & 255 if guess & (1 << 8 * j) - 1 == inside else None
            for guess in (*guesses[:3], self.guess)
        ]
        self._add_contexts()
        self._take_groups(0)

    def _add_contexts(self) -> None:
        pass

    def _more_inputs(self, prefix: int, i: int) -> list[int]:
        return []

    def _learn_more(self, bit: int) -> None:
        pass

    def _take_groups(self, q: int) -> None:
        self.taken = []
        for value in self.hashes:
            h = mix(value, q * 0x2545F491 & _ALL)
            check, first = h | 1, h >> 7 & self.mask
            second = first ^ 1
            a, b = self.groups.get(first), self.groups.get(second)
            if a and a[0] == check:
                place = first
            elif b and b[0] == check:
                place = second
            else:
                fewer = a and (b[1][1][1] if b else 0) < a[1][1][1]
                place = second if fewer else first
                if (old := self.groups.get(place)) is None:
                    self.groups[place] = (check, [fresh() for _ in range(16)])
                else:  # who took the place a moment ago shares it
                    for counter in old[1]:
                        counter[:] = fresh()
                    self.groups[place] = (check, old[1])
            self.taken.append(self.groups[place][1])

    def _counters(self, prefix: int, i: int) -> list[list[int]]:
        if i == 3:
            self._take_groups(prefix)
        node = prefix if i >= 4 else prefix & (1 << 3 - i) - 1 | 1 << 3 - i
        return [group[node] for group in self.taken]

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
        if self.j == 0:
            self.came = [
                (came << 1 | (guess == byte)) & 7
                for came, guess in zip(self.came, self.guessed, strict=True)
            ]
        if self.position % 4 == 3:
            word = int.from_bytes(self.history[-3:] + bytes([byte]), "little")
            if word >= 0xC0000000:
                _to_front(self.vtables, self.position - 3 - word & _ALL)
            if self.match_at >= 4:
                move = word - self._history_word(self.match_at - 3) & _ALL
                if move and (move < 1 << 16 or move >= 2**32 - (1 << 16)):
                    _to_front(self.moves, move)
        if self.match_at:
            came = self.predicted == byte
            self.match_at += 1
            self.match_length = min(self.match_length + 1, 65535) if came else 0
        letter = (chr(byte).isascii() and chr(byte).isalpha()) or byte >= 128
        self.text = mix(self.text, byte) if letter else 0
        self.history.append(byte)

    def _bit(self, coder: ArithmeticDecoder, prefix: int, i: int) -> int:
        counters = self._counters(prefix, i)
        zero = self.order0[self.phase, prefix]
        inputs = [input_of(counter) for counter in counters] + [input_of(zero)]
        length, trust, level = self.match_length, None, 0
        if self.predicted is not None and (256 | self.predicted) >> i + 1 == prefix:
            expected = self.predicted >> i & 1
            trust = self.trust[length if length < 32 else 32 + length // 16 if length < 400 else 58]
            s = stretch(trust[0] >> 6)
            weak = trunc(s, 4) + (256 if length > 15 else 64)
            inputs += [s, weak] if expected else [-s, -weak]
            level = 0 if length == 0 else 1 if length < 8 else 2 if length < 24 else 3
        else:
            inputs += [0, 0]
        inputs.append(256)
        asked = []
        for k, guess in enumerate(self.guessed):
            if guess is None or (256 | guess) >> i + 1 != prefix:
                inputs.append(0)
                continue
            counter, bit = self.belief[k, self.j, self.kind, self.came[k]], guess >> i & 1
            asked.append((counter, bit))
            s = stretch(counter[0] >> 6)
            inputs.append(s if bit else -s)
        inputs += self._more_inputs(prefix, i)
        keys = [(4 * level + self.j + self.lean, i), prefix, (self.before, i)]
        a, b, c = (m.mix(inputs, key) for m, key in zip(self.mixers, keys, strict=True))
        x = trunc(2 * a + b + c, 4)
        r1 = self.apms[0].refine(x, (self.phase, prefix))
        r2 = self.apms[1].refine(x, (self.before, i))
        bit = coder.bit(probability(2 * squash(x) + r1 + r2 >> 2))
        for mixer in self.mixers:
            mixer.learn(inputs, bit, 72)
        for apm in self.apms:
            apm.learn(bit)
        for counter in counters:
            learn(counter, bit, 250)
        learn(zero, bit, 1000)
        if trust is not None:
            learn(trust, int(bit == expected), 250)
        for counter, guess in asked:
            learn(counter, int(bit == guess), 250)
        self._learn_more(bit)
        return bit


class ReferenceByteModel(ByteModel):
    """Section 8.1: with an anchor in what comes from the base."""

    def __init__(self, total: int, stride: int, reach: int, bits: int = 0) -> None:
        super().__init__(total, stride, bits)
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
