"""Channels as labels, and which of them must go together.

A symbolic tensor carries an integer array with one label for each element of its shape without
the batch; an axis along which the labels don't vary has size 1. The result of a convolution has
labels `(1, 1, channels)`, its `Flatten` has `(height * width * channels,)`. What moves elements
moves the labels, by NumPy's own indexing; what merges tensors ties them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Components", "Coupling", "Labels", "axis_labels", "collapse"]

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Components:
    """Labels that are tied, directly or through others.

    Attributes:
        of: The component of each label, `(labels,)`.
        reasons: Why a component has to stay, in the order it was found; none if it may go.
    """

    of: NDArray[np.int64]
    reasons: dict[int, tuple[str, ...]]


class Coupling:
    """Makes labels, ties them, and finds the components in the end."""

    def __init__(self) -> None:
        self._count = 0
        self._edges: list[Labels] = []
        self._frozen: list[tuple[Labels, str]] = []

    def fresh(self, count: int) -> Labels:
        """Return labels that are tied to nothing yet."""
        made = np.arange(self._count, self._count + count, dtype=np.int64)
        self._count += count
        return made

    def freeze(self, labels: Labels, reason: str) -> None:
        """Say that what has these labels has to stay."""
        self._frozen.append((np.unique(labels), reason))

    def tie(self, one: Labels, other: Labels) -> None:
        """Say that labels at one place, broadcast, go together."""
        one, other = np.broadcast_arrays(one, other)
        differ = one != other
        if differ.any():
            pairs = np.stack([one[differ], other[differ]], axis=1)
            self._edges.append(np.unique(pairs, axis=0))

    def one_axis(self, labels: Labels) -> Labels:
        """Return labels that vary along one axis alone, for what is left must be a box.

        In images and sequences this is the last axis; with more axes, as in the middle of a
        shuffle, the longest.
        """
        labels = collapse(labels)
        varying = [axis for axis, size in enumerate(labels.shape) if size > 1]
        kept = max(varying, key=lambda axis: labels.shape[axis], default=None)
        if labels.ndim in (2, 3) and labels.ndim - 1 in varying:
            kept = labels.ndim - 1
        for axis in varying:
            if axis != kept:
                first = labels.take([0], axis)
                self.tie(labels, first)
                labels = first
        return labels

    def components(self) -> Components:
        """Return what the ties amount to."""
        from scipy.sparse import coo_matrix
        from scipy.sparse.csgraph import connected_components

        edges = np.concatenate([np.zeros((0, 2), np.int64), *self._edges])
        ones = np.ones(len(edges), np.int8)
        graph = coo_matrix((ones, (edges[:, 0], edges[:, 1])), shape=(self._count, self._count))
        _, of = connected_components(graph, directed=False)
        reasons: dict[int, dict[str, None]] = {}
        for labels, reason in self._frozen:
            for component in np.unique(of[labels]):
                reasons.setdefault(int(component), {})[reason] = None
        return Components(of.astype(np.int64), {c: tuple(why) for c, why in reasons.items()})


def collapse(labels: Labels) -> Labels:
    """Return `labels` with each axis along which they don't vary at size 1."""
    for axis in range(labels.ndim):
        first = labels.take([0], axis)
        if labels.shape[axis] > 1 and (labels == first).all():
            labels = first
    return labels


def axis_labels(labels: Labels, axis: int) -> Labels:
    """Return the labels along one axis, at the first place of all others."""
    moved = np.moveaxis(labels, axis, 0)
    return moved.reshape(moved.shape[0], -1)[:, 0]
