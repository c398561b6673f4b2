"""A genetic search for which of many bits to set, their number being given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_compress.argument_checks import check_count
from keras_compress.errors import KerasCompressError

__all__ = ["evolve_bits"]

Bits = NDArray[np.bool_]


def evolve_bits(
    fitness: Callable[[Bits], NDArray[Any]],
    count: int,
    size: int,
    *,
    kinds: NDArray[np.int64] | None = None,
    counts: dict[int, int] | None = None,
    start: Bits | None = None,
    population: int = 60,
    generations: int = 60,
    mutation: float = 1.0,
    elite: int = 2,
    seed: int = 0,
) -> Bits:
    """Return the `count` of `size` bits with the lowest fitness that was found.

    Parents win tournaments of two. A child has what both have, and by chance as much of the rest as
    the number of bits asks for; then bits are swapped by chance. The best live on.

    Example:

    ```python
    weights = np.arange(10.0)
    search.evolve_bits(lambda bits: bits @ weights, 3, 10)  # the first three
    ```

    Args:
        fitness: Takes candidates, bools `(n, size)`, and returns a number for each, `(n,)`;
            infinity for one that isn't allowed.
        count: How many bits are set.
        size: How many there are.
        kinds: The kind of each bit, ints `(size,)`, where the number of bits of each kind is
            given. Defaults to `None`: one kind.
        counts: How many bits of each kind are set; needed with `kinds`.
        start: Candidates to begin with, besides random ones, `(n, size)`. Defaults to `None`.
        population: Candidates in a generation. Defaults to `60`.
        generations: How many. Defaults to `60`.
        mutation: Expected number of swaps in a child. Defaults to `1.0`.
        elite: How many of the best go on unchanged. Defaults to `2`.
        seed: Of the generator. Defaults to `0`.

    Raises:
        KerasCompressError: If a number is out of range, or nothing allowed was found.
    """
    for name, value in (("population", population), ("generations", generations)):
        check_count(name, value)
    if not 0 <= count <= size:
        raise KerasCompressError(
            f"`count` must be from 0 to `size`. Received: count={count}, size={size}."
        )
    kinds = np.zeros(size, np.int64) if kinds is None else np.asarray(kinds)
    wanted = {0: count} if counts is None else counts
    if sum(wanted.values()) != count or set(np.unique(kinds)) - set(wanted):
        raise KerasCompressError(
            "`counts` must say how many bits of each of `kinds` are set, `count` in all. Received: "
            f"counts={counts}, count={count}, kinds {np.unique(kinds).tolist()}."
        )
    generator = np.random.default_rng(seed)
    places = [(np.flatnonzero(kinds == kind), number) for kind, number in wanted.items()]

    def filled(preference: NDArray[Any]) -> Bits:
        """Return bits where preferences, `(n, size)`, are highest within each kind."""
        bits = np.zeros(preference.shape, bool)
        for own, number in places:
            order = np.argsort(-preference[:, own], axis=1, kind="stable")[:, :number]
            np.put_along_axis(bits, own[order], True, axis=1)
        return bits

    # Bernoulli samples, with chance deciding on what is too many or too few.
    drawn = generator.random((population, size))
    candidates = filled((drawn < count / max(size, 1)) + generator.random((population, size)))
    if start is not None:
        given = np.asarray(start, bool)[:population]
        candidates[: len(given)] = filled(given + 0.5 * generator.random(given.shape))
    scores = np.asarray(fitness(candidates), np.float64)
    for _ in range(generations):
        order = np.argsort(scores, kind="stable")
        best = order[: min(elite, population)]
        number = population - len(best)
        rivals = generator.integers(0, population, (2, number, 2))
        won = np.where(
            scores[rivals[..., 0]] <= scores[rivals[..., 1]], rivals[..., 0], rivals[..., 1]
        )
        votes = candidates[won[0]].astype(np.float64) + candidates[won[1]]
        children = filled(votes + 0.9 * generator.random(votes.shape))
        _swap(children, [own for own, _ in places], generator.poisson(mutation, number), generator)
        found = np.asarray(fitness(children), np.float64)
        candidates = np.concatenate([candidates[best], children])
        scores = np.concatenate([scores[best], found])
    place = int(np.argmin(scores))
    if not np.isfinite(scores[place]):
        raise KerasCompressError(
            "A search needs a candidate with a finite fitness. Received: none in "
            f"{generations} generations of {population}."
        )
    return candidates[place]


def _swap(
    bits: Bits, kinds: list[NDArray[Any]], swaps: NDArray[Any], generator: np.random.Generator
) -> None:
    """Swap a set and an unset bit of one kind, so many times in each row; in place."""
    shares = np.array([len(own) for own in kinds], np.float64)
    for row in np.flatnonzero(swaps):
        for _ in range(swaps[row]):
            own = kinds[generator.choice(len(kinds), p=shares / shares.sum())]
            ones, zeros = own[bits[row, own]], own[~bits[row, own]]
            if len(ones) and len(zeros):
                bits[row, generator.choice(ones)] = False
                bits[row, generator.choice(zeros)] = True
