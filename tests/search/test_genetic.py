"""A genetic search of bits, on problems whose best answer is known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from keras_compress import KerasCompressError
from keras_compress.search import evolve_bits


def quadratic(seed: int, size: int):
    """Return a fitness that no order of single bits settles: pairs of them count."""
    factor = np.random.default_rng(seed).normal(size=(size, 3))
    matrix = factor @ factor.T
    return lambda bits: np.einsum("ni,ij,nj->n", ~bits, matrix, ~bits)


@pytest.mark.parametrize("seed", range(3))
def test_it_finds_the_best_of_all(seed):
    size, count = 12, 5
    fitness = quadratic(seed, size)
    every = np.array([np.isin(range(size), c) for c in itertools.combinations(range(size), count)])
    found = evolve_bits(fitness, count, size, seed=seed)
    assert found.sum() == count
    assert np.isclose(fitness(found[None])[0], fitness(every).min())
    # Far fewer than all of them by chance, and no better.
    few = evolve_bits(fitness, count, size, population=2, generations=1, seed=seed)
    assert fitness(few[None])[0] >= fitness(found[None])[0]


def test_candidates_have_the_bits_of_each_kind():
    kinds = np.array([0, 1] * 6)
    seen = []

    def fitness(bits):
        seen.append(bits)
        return bits @ np.arange(12.0)

    found = evolve_bits(fitness, 5, 12, kinds=kinds, counts={0: 3, 1: 2}, mutation=2.0)
    for bits in seen:
        assert (bits[:, kinds == 0].sum(1) == 3).all()
        assert (bits[:, kinds == 1].sum(1) == 2).all()
    assert np.flatnonzero(found).tolist() == [0, 1, 2, 3, 4]


def test_it_begins_where_it_is_told_and_never_loses_the_best():
    start = np.arange(40) < 8
    best = []

    def fitness(bits):
        best.append((bits @ np.arange(40.0)).min())
        return bits @ np.arange(40.0)

    found = evolve_bits(fitness, 8, 40, start=start[None], generations=5)
    assert best[0] == 28 and np.array_equal(found, start)


def test_errors():
    with pytest.raises(KerasCompressError, match="from 0 to `size`"):
        evolve_bits(lambda bits: bits.sum(1), 5, 4)
    with pytest.raises(KerasCompressError, match="`counts` must say"):
        evolve_bits(lambda bits: bits.sum(1), 2, 4, kinds=np.array([0, 0, 1, 1]), counts={0: 2})
    with pytest.raises(KerasCompressError, match="a finite fitness"):
        evolve_bits(lambda bits: np.full(len(bits), np.inf), 2, 4)
