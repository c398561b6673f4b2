"""Section 6.3 of the format: the model of floats."""

from __future__ import annotations

from tests.packing.slow_coding import ArithmeticDecoder, Bits
from tests.packing.slow_mixing import Counters, Mixer, input_of, learn, probability, squash
from tests.packing.slow_symbol_model import Layout, SymbolModel

# Bytes, bits of the exponent, bits of the mantissa.
FORMATS = {0: (2, 5, 10), 1: (2, 8, 7), 2: (4, 8, 23)}


class FloatModel:
    def __init__(self) -> None:
        self.symbols = SymbolModel()
        self.zero_signs, self.signs, self.mantissas = Counters(), Counters(), Counters()
        self.sign_mixer, self.mantissa_mixer = Mixer(22937), Mixer(22937)

    def decode(self, coder: ArithmeticDecoder, noise: Bits, e: dict) -> bytes:
        width, exponent_bits, mantissa_bits = FORMATS[e["format"]]
        sparse, row, last, modelled = int(e["sparse"]), e["row"], e["last"], e["modelled"]
        deepest = e["highest"] - e["lowest"] + sparse
        layout = Layout(e["count"], row, last, 0, deepest, 0, bool(sparse))
        depths = self.symbols.decode(coder, layout)
        signs, out = [], bytearray()  # of elements so far: 0 a zero, 1 positive, 2 negative
        zero_sign = 2
        for i, depth in enumerate(depths):
            in_row = i % row
            if in_row == 0:
                zero_sign = 2
            if sparse and depth == 0:
                if e["signed"]:
                    counter = self.zero_signs[zero_sign]
                    zero_sign = coder.bit(probability(counter[0] >> 6))
                    learn(counter, zero_sign, 250)
                negative = int(bool(e["signed"]) and zero_sign == 1)
                out += (negative << 8 * width - 1).to_bytes(width, "little")
                signs.append(0)
                continue
            negative = self._sign(coder, [
                signs[i - 1] if in_row >= 1 else 0,
                signs[i - last] if in_row >= last and last > 1 else 0,
                signs[i - row] if i >= row else 0,
                signs[i - 2 * row] if i >= 2 * row else 0,
            ])  # fmt: skip
            signs.append(1 + negative)
            beside = [depths[i - 1]] if in_row >= 1 else []
            beside += [depths[i - row]] if i >= row else []
            near = [d - sparse for d in beside if d >= sparse]
            depth -= sparse
            rank = 15
            if near:
                rank = depth - (sum(near) + len(near) // 2) // len(near) + 15
            upper = self._upper(coder, modelled, min(depth, 31), max(0, min(31, rank)))
            plain = mantissa_bits - modelled - e["zeros"]
            mantissa = upper << mantissa_bits - modelled | noise.take(plain) << e["zeros"]
            exponent = e["highest"] - depth & (1 << exponent_bits) - 1
            value = (negative << exponent_bits | exponent) << mantissa_bits | mantissa
            out += value.to_bytes(width, "little")
        return bytes(out)

    def _sign(self, coder: ArithmeticDecoder, n: list[int]) -> int:
        keys = [("near", *n[:3]), ("left", n[1], n[2], n[3], n[0])]
        return self._mixed(coder, [self.signs[key] for key in keys], [], self.sign_mixer, 0)

    def _upper(self, coder: ArithmeticDecoder, bits: int, depth: int, rank: int) -> int:
        prefix = 1
        for number in range(bits):
            keys = [("depth", depth, prefix), ("rank", rank, prefix), prefix]
            counters = [self.mantissas[key] for key in keys]
            prefix = 2 * prefix + self._mixed(coder, counters, [0], self.mantissa_mixer, number)
        return prefix - (1 << bits)

    @staticmethod
    def _mixed(coder, counters, rest, mixer, key) -> int:
        inputs = [input_of(counter) for counter in counters] + rest
        bit = coder.bit(probability(squash(mixer.mix(inputs, key))))
        mixer.learn(inputs, bit, 4)
        for counter in counters:
            learn(counter, bit, 1000)
        return bit
