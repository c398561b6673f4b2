"""Means and covariances of what layers read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from keras_compress.channel_pruning.criteria import Data
from keras_compress.channel_pruning.groups import ChannelGroups
from keras_compress.channel_pruning.reading_layers import (
    Reader,
    find_readers,
    kernel_matrix,
    read_rows,
)
from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    import keras

__all__ = ["Moments", "contributions", "group_moments", "places_of"]

#: Bytes of second moments that are gathered in one run over the samples.
_MAX_BYTES = 2**30


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean `(inputs,)` and covariance `(inputs, inputs)` of what a layer reads."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]


def contributions(reader: Reader, moments: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean products of what input channels contribute to the outputs of a reader.

    Args:
        reader: The reader.
        moments: Second moments of what it reads, `(taps * channels, taps * channels)`.

    Returns:
        `K_ij = mean of <X_i W_i, X_j W_j>`, `(channels, channels)`: with e the channels that are
        left out, the mean square of what the outputs lose is `e' K e`.
    """
    kernel = kernel_matrix(reader.layer)
    count = len(reader.channels)
    products = (moments * (kernel @ kernel.T)).reshape(reader.taps, count, reader.taps, count)
    return products.sum(axis=(0, 2))


def places_of(reader: Reader, name: str, size: int) -> NDArray[np.float64]:
    """Return 1 where an input channel of a reader is a channel of a group, `(size, channels)`."""
    found = np.zeros((size, len(reader.channels)))
    for i, (of, place) in enumerate(reader.channels):
        if of == name:
            found[place, i] = 1
    return found


def group_moments(
    groups: ChannelGroups, data: Data, positions: int, seed: int
) -> Iterator[tuple[str, Reader, Moments]]:
    """Yield, for each group and each layer that reads it, the moments of what that reads.

    Groups that are read in another way than by convolutions without groups and Dense layers are
    left out.

    Args:
        groups: The groups of the model.
        data: Samples; targets aren't looked at.
        positions: Places drawn from each sample's image.
        seed: Of the places.

    Raises:
        KerasCompressError: If no group is read by such layers alone.
    """
    readers, others = find_readers(groups)
    wanted = [name for name in groups if name not in others]
    readers = [r for r in readers if any(name in wanted for name, _ in r.channels)]
    if not readers:
        raise KerasCompressError(
            "Some group must be read by convolutions without groups or Dense layers alone. "
            f"Received: {groups.model.name!r}; read by others: {others}."
        )
    for part in _in_parts(readers):
        found = _moments(groups.model, part, data, positions, seed)
        for reader, moments in zip(part, found, strict=True):
            for name in dict.fromkeys(name for name, _ in reader.channels if name in wanted):
                yield name, reader, moments


def _moments(
    model: keras.Model, readers: list[Reader], data: Data, positions: int, seed: int
) -> list[Moments]:
    """Return the moments of what readers read, in one run over the samples."""
    sums = [np.zeros(np.prod(r.layer.kernel.shape[:-1])) for r in readers]
    squares = [np.zeros((len(s), len(s))) for s in sums]
    counts = [0] * len(readers)
    layers = [reader.layer for reader in readers]
    for found in read_rows(
        model, layers, data.x, positions=positions, batch_size=data.batch_size, seed=seed
    ):
        for i, layer in enumerate(layers):
            rows = found[id(layer)]
            sums[i] += rows.sum(axis=0)
            squares[i] += rows.T @ rows
            counts[i] += len(rows)
    means = [s / n for s, n in zip(sums, counts, strict=True)]
    return [
        Moments(mean, square / n - np.outer(mean, mean))
        for mean, square, n in zip(means, squares, counts, strict=True)
    ]


def _in_parts(readers: list[Reader]) -> list[list[Reader]]:
    """Return the readers in parts whose moments fit into memory together."""
    parts: list[list[Reader]] = [[]]
    size = 0
    for reader in readers:
        own = 8 * int(np.prod(reader.layer.kernel.shape[:-1])) ** 2
        if parts[-1] and size + own > _MAX_BYTES:
            parts.append([])
            size = 0
        parts[-1].append(reader)
        size += own
    return parts
