"""An order of the channels of a layer in which neighbours are similar."""

from __future__ import annotations

import numpy as np

__all__ = ["similarity_order"]

# Multiplications that comparing all units of a layer may take, and units that may be compared;
# beyond, they are sorted by density.
_MAX_COMPARED = 4_000_000_000
_MAX_UNITS = 4096
# What a difference of 1 between logarithms of densities takes from the similarity, in cosines.
_DENSITY_WEIGHT = 0.1
_MAX_SWEEPS = 10


def similarity_order(incoming: np.ndarray, outgoing: np.ndarray) -> np.ndarray:
    """Return the order of units in which each is similar to its neighbours.

    The similarity of two units is the mean of two cosines, of the signs and of the places of their
    non-zero weights, incoming and outgoing, less a tenth of the difference of the logarithms of
    their densities. The path begins at the densest unit and goes on to the most similar one that is
    left; then units are taken out and put where they fit best until none moves (Or-opt with
    segments of one: I. Or, thesis, Northwestern University, 1976).

    Args:
        incoming: The weights of each unit, `(units, inputs)`.
        outgoing: The weights that read it, `(units, weights)`.
    """
    density = np.count_nonzero(incoming, axis=1)
    units, features = len(incoming), incoming.shape[1] + outgoing.shape[1]
    if units > _MAX_UNITS or units * units * features > _MAX_COMPARED:
        return np.argsort(-density, kind="stable")
    similarity = _similarity(np.concatenate([incoming, outgoing], axis=1), density)
    return _improved(_greedy(similarity, int(np.argmax(density))), similarity)


def _similarity(weights: np.ndarray, density: np.ndarray) -> np.ndarray:
    signs = np.sign(weights).astype(np.float32)
    signs /= np.maximum(np.linalg.norm(signs, axis=1, keepdims=True), 1e-9)
    places = np.abs(signs)
    logarithm = np.log1p(density).astype(np.float32)
    apart = np.abs(logarithm[:, None] - logarithm[None, :])
    return 0.5 * (signs @ signs.T + places @ places.T) - _DENSITY_WEIGHT * apart


def _greedy(similarity: np.ndarray, first: int) -> list[int]:
    left = np.ones(len(similarity), bool)
    path = [first]
    left[first] = False
    for _ in range(len(similarity) - 1):
        path.append(int(np.argmax(np.where(left, similarity[path[-1]], -np.inf))))
        left[path[-1]] = False
    return path


def _improved(path: list[int], similarity: np.ndarray) -> np.ndarray:
    order = np.asarray(path)
    if len(order) < 3:
        return order
    for _ in range(_MAX_SWEEPS):
        moved = False
        for unit in order.copy():
            place = int(np.flatnonzero(order == unit)[0])
            rest = np.delete(order, place)
            near = similarity[unit, rest]
            between = near[:-1] + near[1:] - similarity[rest[:-1], rest[1:]]
            gain = np.concatenate([near[:1], between, near[-1:]])
            best = int(np.argmax(gain))
            if gain[best] > gain[place] + 1e-6:
                order, moved = np.insert(rest, best, unit), True
        if not moved:
            break
    return order
