"""Section 8 of the format: what a patch takes from its base, and the two models beside it."""

from __future__ import annotations

from tests.packing.slow_coding import ArithmeticDecoder, Bits
from tests.packing.slow_mixing import Counters, Mixer, input_of, learn, probability, squash


def taken_blocks(extents: list[dict]) -> set[int]:
    """Blocks of 64 bytes that lie in one extent's bytes of the base."""
    taken: set[int] = set()
    for e in extents:
        if e["method"] in (9, 10, 11) and e["size"]:
            first, end = -(-e["base"] // 64), (e["base"] + e["size"]) // 64
            taken |= set(range(first, end))
    return taken


class ReferenceModel:
    def __init__(self) -> None:
        self.counters, self.mixer = Counters(), Mixer(26214)

    def decode(
        self, coder: ArithmeticDecoder, hints: list[int], row: int, last: int, bits: int
    ) -> list[int]:
        out: list[int] = []
        strays: list[bool] = []  # elements that were not as expected
        seen: dict[int, int] = {}  # by hint: its last value
        for i, hint in enumerate(hints):
            state = sum(
                1 << k for k, back in enumerate((1, last, row)) if back <= i and strays[i - back]
            )
            before = out[-1] if out else 0
            expected = seen.get(hint, 0)
            out.append(self._value(coder, hint, before, expected, state, bits))
            strays.append(out[-1] != expected)
            seen[hint] = out[-1]
        return out

    def _value(self, coder, hint, before, expected, state, bits) -> int:
        prefix = 1
        for b in range(bits - 1, -1, -1):
            agrees = prefix == (expected | 1 << bits) >> b + 1
            guess = 2 + (expected >> b & 1) if agrees else 0
            keys = (
                ("hint", hint, prefix),
                ("before", before, prefix),
                ("alone", prefix),
                ("expected", state, guess, b),
            )
            counters = [self.counters[key] for key in keys]
            inputs = [input_of(counter) for counter in counters] + [256, 0, 0, 0]
            bit = coder.bit(probability(squash(self.mixer.mix(inputs, (state, b)))))
            self.mixer.learn(inputs, bit, 12)
            for counter in counters:
                learn(counter, bit, 255)
            prefix = 2 * prefix + bit
        return prefix - (1 << bits)


def words_of(data: bytes, width: int) -> list[int]:
    return [int.from_bytes(data[i : i + width], "little") for i in range(0, len(data), width)]


def by_reference(
    model: ReferenceModel, coder: ArithmeticDecoder, e: dict, reference: bytes
) -> bytes:
    """*reference*: the bytes of one extent."""
    if e["flags"] & 1:
        flip = 128 if e["flags"] & 4 else 0
        symbols = [value ^ flip for value in reference]
        values = model.decode(coder, [s >> 2 for s in symbols], e["row"], e["last"], 8)
        moves = [-(v + 1) // 2 if v & 1 else v // 2 for v in values]
        return bytes((s + d) % 256 ^ flip for s, d in zip(symbols, moves, strict=True))
    book = e["book"]
    entries = [_along(int.from_bytes(entry, "little"), e["element"]) for entry in book]
    nearest: dict[int, int] = {}
    hints = []
    for word in words_of(reference, e["element"]):
        if word not in nearest:
            at = _along(word, e["element"])
            nearest[word] = min(range(len(entries)), key=lambda k: abs(entries[k] - at))
        hints.append(nearest[word])
    bits = max(1, e["highest"].bit_length())
    symbols = model.decode(coder, hints, e["row"], e["last"], bits)
    return b"".join(book[s] for s in symbols)


def _along(word: int, width: int) -> int:
    """Bits as a number: magnitudes below the sign bit, negated where it is set."""
    sign = 1 << 8 * width - 1
    return -(word & ~sign) if word & sign else word


class ReferenceFloatModel:
    def __init__(self) -> None:
        self.lengths, self.upper = ReferenceModel(), Counters()

    def decode(self, coder: ArithmeticDecoder, noise: Bits, e: dict, reference: bytes) -> bytes:
        width = e["element"]
        everything, sign = (1 << 8 * width) - 1, 1 << 8 * width - 1
        words = words_of(reference, width)
        hints = [word >> 8 * width - 9 & 255 for word in words]
        lengths = self.lengths.decode(coder, hints, e["row"], e["last"], 6)
        out = bytearray()
        for word, length in zip(words, lengths, strict=True):
            rank = ~word & everything if word & sign else word | sign
            rank = rank + self._move(coder, noise, min(length, 32)) & everything
            word = rank & ~sign if rank & sign else ~rank & everything
            out += word.to_bytes(width, "little")
        return bytes(out)

    def _move(self, coder: ArithmeticDecoder, noise: Bits, length: int) -> int:
        if length == 0:
            return 0
        below = noise.take(1)
        size, left = 1, length - 1
        for _ in range(min(2, left)):
            counter = self.upper[length, size]
            bit = coder.bit(probability(counter[0] >> 6))
            learn(counter, bit, 1000)
            size, left = 2 * size + bit, left - 1
        size = size << left | noise.take(left)
        return -size if below else size
