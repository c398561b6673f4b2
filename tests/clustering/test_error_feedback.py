"""Rounding with error feedback: what it costs, against plain rounding and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from keras_compress.clustering import Block, round_with_feedback
from keras_compress.errors import KerasCompressError

pytestmark = pytest.mark.backend_independent


def block(reads=24, outputs=16, seed=0, importance=None):
    generator = np.random.default_rng(seed)
    mixing = generator.normal(size=(reads, reads)) * generator.random(reads)
    samples = generator.normal(size=(500, reads)) @ mixing
    weight = np.ones(outputs) if importance is None else importance
    return Block(generator.normal(size=(reads, outputs)), samples.T @ samples / 500, weight)


def cost(of, kernel):
    missed = kernel - of.kernel
    return float(np.sum((of.gram @ missed) * missed * of.importance))


def test_the_error_is_that_of_the_outputs():
    one = block()
    found = round_with_feedback([one], 0.05)
    assert found.error == pytest.approx(cost(one, found.values[0]))
    assert found.levels[0].shape == (24, 16) and found.levels[0].dtype == np.int32


def test_each_level_has_one_value_and_zero_is_zero():
    one = block()
    found = round_with_feedback([one], 0.5)
    for level in np.unique(found.levels[0]):
        values = np.unique(found.values[0][found.levels[0] == level])
        assert values.size == 1 and (level != 0 or values[0] == 0)


def test_it_beats_plain_rounding_of_as_many_bits():
    one = block()
    found = round_with_feedback([one], 0.05)

    def plain(step):
        levels = np.rint(one.kernel / step).astype(int)
        shares = np.unique(levels, return_counts=True)[1] / levels.size
        return cost(one, levels * step), -levels.size * float(np.sum(shares * np.log2(shares)))

    # The finest grid that takes no more bits.
    steps = [s for s in np.geomspace(0.01, 4, 200) if plain(s)[1] <= found.bits]
    assert found.error < 0.6 * plain(min(steps))[0]


def test_a_dearer_bit_saves_bits_and_makes_zeros():
    one = block()
    runs = [round_with_feedback([one], price) for price in (1e-3, 1e-1, 1e1)]
    bits = [run.bits for run in runs]
    zeros = [np.mean(run.levels[0] == 0) for run in runs]
    assert bits == sorted(bits, reverse=True) and bits[0] > 2 * bits[2]
    assert zeros == sorted(zeros) and zeros[2] > 0.5
    assert runs[0].error < runs[1].error < runs[2].error


def test_bits_go_to_the_outputs_that_matter():
    importance = np.repeat([1.0, 1e-3], 8)
    found = round_with_feedback([block(importance=importance)], 0.02)
    off = np.abs(found.values[0] - block().kernel).mean(axis=0)
    assert off[:8].mean() < 0.75 * off[8:].mean()


def test_groups_share_one_codebook():
    blocks = [block(9, 1, seed) for seed in range(6)]
    found = round_with_feedback(blocks, 0.05)
    values = np.unique(np.concatenate([each.ravel() for each in found.values]))
    levels = np.unique(np.concatenate([each.ravel() for each in found.levels]))
    assert values.size <= levels.size < 40
    assert found.error == pytest.approx(sum(map(cost, blocks, found.values)))


def test_what_samples_never_read_becomes_zero_first():
    one = block()
    gram = one.gram.copy()
    gram[3], gram[:, 3] = 0, 0
    found = round_with_feedback([Block(one.kernel, gram, one.importance)], 5.0)
    zeros = (found.levels[0] == 0).mean(axis=1)
    assert zeros[3] == zeros.max() == 1.0 and zeros.mean() < 1.0


def test_a_kernel_of_zeros():
    one = block()
    found = round_with_feedback([Block(one.kernel * 0, one.gram, one.importance)], 0.1)
    assert not found.values[0].any() and found.error == 0 and found.bits == 0


@pytest.mark.parametrize("price", [0, -1, float("nan"), float("inf")])
def test_a_price_is_above_zero(price):
    with pytest.raises(KerasCompressError, match="`price` must be a finite number above 0"):
        round_with_feedback([block()], price)


def test_numbers_are_finite():
    one = block()
    with pytest.raises(KerasCompressError, match="NaN or infinity"):
        round_with_feedback([Block(one.kernel * np.nan, one.gram, one.importance)], 0.1)
