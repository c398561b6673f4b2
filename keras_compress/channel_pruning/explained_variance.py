"""CaP's ranking: which channels explain most of what their readers compute.

Xie, Dong, Cheng, Liu: "Pruning with Compensation", arXiv 2108.13728. Needs inputs, neither labels
nor gradients.
"""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from keras_compress.channel_pruning.criteria import Criterion, Data
from keras_compress.channel_pruning.groups import ChannelGroups
from keras_compress.channel_pruning.readers import Reader, find_readers, kernel_matrix, read_rows
from keras_compress.errors import KerasCompressError

__all__ = ["ExplainedVariance", "Moments", "forward_selection", "read_moments"]

#: Bytes of second moments that are gathered in one run over the samples.
_MOST_BYTES = 2**30


@keras.saving.register_keras_serializable(package="keras_compress")
@dataclass(frozen=True, kw_only=True)
class ExplainedVariance(Criterion):
    """The share of its readers' output variance that a channel explains beyond those before it.

    Channels are chosen one by one, the one that explains most beyond the chosen ones next: with S
    the chosen inputs, Sigma their covariance and W the kernel, the explained variance is
    `|| L^-1 Sigma_S W ||^2`, where `L L' = Sigma_SS`. What a channel adds is its score. Meant with
    `prune(..., compensate=True)`, which makes the explained part real.

    A group that is read by something else than convolutions without groups and Dense layers isn't
    cut.

    Args:
        positions: Places drawn from each sample's image. Defaults to `20`.
        seed: Of the places. Defaults to `0`.
        per: Defaults to `"macs"`.
    """

    per: str | None = "macs"
    positions: int = 20
    seed: int = 0

    def scores(self, groups: ChannelGroups, data: Data | None = None) -> dict[str, NDArray]:
        if data is None:
            raise KerasCompressError(
                "ExplainedVariance looks at what layers read. Received: no samples. Pass `x`."
            )
        readers, others = find_readers(groups)
        wanted = [n for n in groups if n not in others]
        readers = [r for r in readers if any(name in wanted for name, _ in r.channels)]
        if not readers:
            raise KerasCompressError(
                "Some group must be read by convolutions without groups or Dense layers alone. "
                f"Received: {groups.model.name!r}; read by others: {others}."
            )
        # Residuals of each reader of each group, as channels of the group are chosen.
        states: dict[str, list[_State]] = {name: [] for name in wanted}
        for part in _in_parts(readers):
            for reader, moments in zip(
                part, read_moments(groups.model, part, data, self.positions, self.seed), strict=True
            ):
                for name in {name for name, _ in reader.channels if name in wanted}:
                    states[name].append(_State(reader, moments, name))
        return {
            name: forward_selection(states[name], groups[name].size)
            for name in wanted
            if states[name]
        }


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean `(inputs,)` and covariance `(inputs, inputs)` of what a layer reads."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]


def read_moments(
    model: object, readers: list[Reader], data: Data, positions: int, seed: int
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


class _State:
    """What of a reader's inputs and outputs the chosen channels don't explain yet."""

    def __init__(self, reader: Reader, moments: Moments, name: str) -> None:
        covariance = moments.covariance.copy()
        # Inputs that never vary, or follow from others, would make it singular.
        covariance[np.diag_indices_from(covariance)] += 1e-6 * max(
            float(np.mean(np.diag(covariance))), 1e-30
        )
        self._covariance = covariance
        kernel = kernel_matrix(reader.layer)
        self._cross = covariance @ kernel
        self.total = float((kernel * self._cross).sum())
        count = len(reader.channels)
        columns = np.arange(count * reader.taps).reshape(reader.taps, count)
        self._columns: dict[int, NDArray[np.int64]] = {}
        fixed = []
        for i, (of, place) in enumerate(reader.channels):
            if of == name:
                known = self._columns.get(place, np.zeros(0, np.int64))
                self._columns[place] = np.concatenate([known, columns[:, i]])
            else:
                fixed.append(columns[:, i])
        # Channels of other groups are there whatever is chosen of this one.
        if fixed:
            self._explain(np.concatenate(fixed))

    def gain(self, channel: int) -> float:
        """Return the share of the outputs' variance that a channel would explain."""
        if channel not in self._columns:
            return 0.0
        own = self._columns[channel]
        cross = self._cross[own]
        inner = np.linalg.solve(self._covariance[np.ix_(own, own)], cross)
        return float((cross * inner).sum()) / max(self.total, 1e-30)

    def choose(self, channel: int) -> None:
        """Count a channel among the chosen ones."""
        if channel in self._columns:
            self._explain(self._columns[channel])

    def _explain(self, own: NDArray[np.int64]) -> None:
        # A block of Gaussian elimination: what is left is the covariance given the chosen.
        block = self._covariance[np.ix_(own, own)]
        factor = np.linalg.solve(block, self._covariance[own])
        cross = self._cross[own].copy()
        outer = self._covariance[:, own].copy()
        self._covariance -= outer @ factor
        self._cross -= outer @ np.linalg.solve(block, cross)
        # The chosen are explained whole: rounding must not make them look singular.
        self._covariance[own] = 0
        self._covariance[:, own] = 0
        self._covariance[own, own] = 1.0
        self._cross[own] = 0


def forward_selection(states: list[_State], size: int) -> NDArray[np.float64]:
    """Return what each channel explains when it is chosen, the largest first, over all readers.

    Gains fall as channels are chosen, so that only those near the top are worked out anew.
    """
    scores = np.zeros(size)
    bounds = np.array([sum(state.gain(c) for state in states) for c in range(size)])
    left = np.ones(size, bool)
    last = np.inf
    for _ in range(size):
        best, best_gain = -1, -1.0
        for c in np.argsort(-bounds, kind="stable"):
            if not left[c]:
                continue
            if bounds[c] <= best_gain:
                break
            bounds[c] = sum(state.gain(int(c)) for state in states)
            if bounds[c] > best_gain:
                best, best_gain = int(c), float(bounds[c])
        for state in states:
            state.choose(best)
        left[best] = False
        # A channel that supports others may gain by their choice; the order is what counts.
        last = min(last, max(best_gain, 0.0))
        scores[best] = last
        bounds[best] = -1.0
    return scores


def _in_parts(readers: list[Reader]) -> list[list[Reader]]:
    """Return the readers in parts whose moments fit into memory together."""
    parts: list[list[Reader]] = [[]]
    size = 0
    for reader in readers:
        own = 8 * int(np.prod(reader.layer.kernel.shape[:-1])) ** 2
        if parts[-1] and size + own > _MOST_BYTES:
            parts.append([])
            size = 0
        parts[-1].append(reader)
        size += own
    return parts
