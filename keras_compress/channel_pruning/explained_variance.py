"""CaP's ranking: which channels explain most of what their readers compute.

Xie, Dong, Cheng, Liu: "Pruning with Compensation", arXiv 2108.13728. Needs inputs, neither labels
nor gradients.
"""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from keras_compress.channel_pruning.criteria import CRITERIA, Criterion, Data
from keras_compress.channel_pruning.groups import ChannelGroups
from keras_compress.channel_pruning.moments import Moments, group_moments
from keras_compress.channel_pruning.reading_layers import Reader, kernel_matrix
from keras_compress.errors import KerasCompressError

__all__ = ["ExplainedVariance", "forward_selection"]


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
        # Residuals of each reader of each group, as channels of the group are chosen.
        states: dict[str, list[_State]] = {}
        for name, reader, moments in group_moments(groups, data, self.positions, self.seed):
            states.setdefault(name, []).append(_State(reader, moments, name))
        return {name: forward_selection(of, groups[name].size) for name, of in states.items()}


CRITERIA["explained_variance"] = ExplainedVariance


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
