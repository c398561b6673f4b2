"""Patterns: which weights are kept or pruned together.

A pattern is laid on the scores that a criterion gives to the values of a weight. It pools them
into one score for each of its units (a value, a block, a filter, a group of inputs) and turns
the units that are kept into a mask. The masks leave the shapes alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import keras
import numpy as np

from keras_compress.engine.frozen import Frozen
from keras_compress.engine.weights import WeightRef
from keras_compress.errors import KerasCompressError
from keras_compress.pruning.kernel_axes import filter_axes, input_axis
from keras_compress.pruning.ranking import keep_highest


class Pattern(Frozen):
    """Base class of the patterns.

    A subclass gives `pool` and `spread`, and where it can't be laid on each kernel `why_not`.
    """

    #: The share of zeros that the pattern can have at the most.
    max_sparsity: float = 1.0

    #: The share of zeros of a `PruningConfig` without a schedule.
    default_sparsity: float = 0.5

    #: Units that a weight keeps at least.
    _minimum = 1

    #: Whether that holds for each weight where several are ranked together.
    _least_of_each = True

    def why_not(self, ref: WeightRef) -> str | None:
        """Return why the pattern can't be laid on a weight, or `None` if it can.

        Args:
            ref: The weight, with the layers that it lies in.
        """
        return None

    def require_sparsity(self, sparsity: float) -> None:
        """Raise if the pattern can't have so many zeros.

        Args:
            sparsity: Share of zeros, in [0, 1).

        Raises:
            KerasCompressError: If it is above `max_sparsity`.
        """
        # A schedule may have been computed in float32.
        if sparsity > self.max_sparsity + 1e-6:
            raise KerasCompressError(
                f"{self!r} has a sparsity of {self.max_sparsity:g} at the most. "
                f"Received: sparsity={sparsity:g}. Let the schedule end there, or choose another "
                "pattern."
            )

    def pool(self, scores: np.ndarray, ref: WeightRef | None = None) -> np.ndarray:
        """Return the score of each unit, an array of any shape.

        Pooled scores have the scale of those of single values, so that units of weights of
        different shapes can be ranked together.

        Args:
            scores: The scores of the values of a weight.
            ref: The weight. Defaults to `None` (unknown).
        """
        raise NotImplementedError

    def spread(
        self, kept: np.ndarray, scores: np.ndarray, ref: WeightRef | None = None
    ) -> np.ndarray:
        """Return the mask, shaped like `scores`, of which units are kept.

        Args:
            kept: What to keep, a bool array shaped like `pool(scores, ref)`.
            scores: The scores of the values of a weight.
            ref: The weight. Defaults to `None` (unknown).
        """
        raise NotImplementedError

    def mask(self, scores: np.ndarray, sparsity: float, ref: WeightRef | None = None) -> np.ndarray:
        """Return the mask of one weight.

        Example:

        ```python
        kernel = np.random.default_rng(0).normal(size=(8, 4))
        mask = NofM(2, 4).mask(np.abs(kernel), 0.5)
        ```

        Args:
            scores: A score for each value of the weight; the lowest ones are pruned.
            sparsity: Share of zeros, in [0, 1) and not above `max_sparsity`; rounded to whole
                units, ties included.
            ref: The weight; it tells a pattern what the axes mean. Defaults to `None` (a kernel
                of which the last two axes are inputs and outputs).

        Returns:
            A bool array of the same shape, `True` where a weight is kept.

        Raises:
            KerasCompressError: If the pattern can't have so many zeros.
        """
        return self.masks([scores], sparsity, [ref])[0]

    def masks(
        self,
        scores: Sequence[np.ndarray],
        sparsity: float,
        refs: Sequence[WeightRef | None] | None = None,
        *,
        together: bool = False,
    ) -> list[np.ndarray]:
        """Return the masks of several weights.

        Args:
            scores: The scores of each weight.
            sparsity: Share of zeros, as for `mask`.
            refs: The weights. Defaults to `None` (unknown).
            together: Whether all are ranked together, so that the sparsity is that of the whole,
                instead of each by itself. Defaults to `False`.

        Raises:
            KerasCompressError: If the pattern can't have so many zeros.
        """
        self.require_sparsity(sparsity)
        share = min(sparsity / self.max_sparsity, 1.0)
        refs = [None] * len(scores) if refs is None else refs
        pooled = [self.pool(each, ref) for each, ref in zip(scores, refs, strict=True)]
        if together:
            kept = keep_highest(pooled, share, self._minimum)
            for each, unit_scores in zip(kept, pooled, strict=True):
                if self._least_of_each and not each.any():
                    # A layer cut through would never learn again.
                    each.flat[int(np.argmax(unit_scores))] = True
        else:
            kept = [keep_highest([each], share, self._minimum)[0] for each in pooled]
        return [self.spread(*each) for each in zip(kept, scores, refs, strict=True)]


@keras.saving.register_keras_serializable(package="keras_compress.pruning")
@dataclass(frozen=True)
class Unstructured(Pattern):
    """Each weight for itself, as in Deep Compression (Han et al., arXiv 1510.00149, section 2)."""

    _least_of_each = False

    def pool(self, scores: np.ndarray, ref: WeightRef | None = None) -> np.ndarray:
        return scores

    def spread(
        self, kept: np.ndarray, scores: np.ndarray, ref: WeightRef | None = None
    ) -> np.ndarray:
        return kept


@keras.saving.register_keras_serializable(package="keras_compress.pruning")
@dataclass(frozen=True)
class Blocks(Pattern):
    """Rectangles of the matrix of inputs and outputs, pruned as a whole.

    Block pruning of Narang, Undersander and Diamos (arXiv 1711.02782, section 3). The blocks tile
    the last two axes of a weight, at each place of the axes before. At the right and lower border
    they may be cut; what is cut off counts for nothing.

    Example:

    ```python
    config = PruningConfig(0.75, pattern=Blocks((1, 4)))
    ```

    Args:
        size: Rows and columns of a block, each at least 1.
        pooling: How a block's score is taken from those of its values: `"average"`, or `"max"`
            as in the paper. Defaults to `"average"`.

    Raises:
        KerasCompressError: If an argument is out of range.
    """

    size: tuple[int, int]
    pooling: Literal["average", "max"] = "average"

    def __post_init__(self) -> None:
        size = tuple(self.size) if isinstance(self.size, list | tuple) else ()
        if len(size) != 2 or not all(_is_count(side) for side in size):
            raise KerasCompressError(
                "`size` must be two ints of at least 1, the rows and columns of a block. "
                f"Received: size={self.size!r}."
            )
        object.__setattr__(self, "size", size)
        if self.pooling not in ("average", "max"):
            raise KerasCompressError(
                f'`pooling` must be "average" or "max". Received: pooling={self.pooling!r}.'
            )

    def why_not(self, ref: WeightRef) -> str | None:
        return None if len(ref.shape) >= 2 else "no matrix to lay blocks on"

    def pool(self, scores: np.ndarray, ref: WeightRef | None = None) -> np.ndarray:
        (height, width), (rows, columns) = self.size, scores.shape[-2:]
        down, across = -(-rows // height), -(-columns // width)
        margin = [(0, 0)] * (scores.ndim - 2)
        margin += [(0, down * height - rows), (0, across * width - columns)]
        padded = np.pad(scores.astype(np.float64), margin, constant_values=np.nan)
        blocks = padded.reshape(*scores.shape[:-2], down, height, across, width)
        pooled: np.ndarray = (np.nanmean if self.pooling == "average" else np.nanmax)(
            blocks, axis=(-3, -1)
        )
        return pooled

    def spread(
        self, kept: np.ndarray, scores: np.ndarray, ref: WeightRef | None = None
    ) -> np.ndarray:
        grown = kept.repeat(self.size[0], axis=-2).repeat(self.size[1], axis=-1)
        return grown[..., : scores.shape[-2], : scores.shape[-1]]


@keras.saving.register_keras_serializable(package="keras_compress.pruning")
@dataclass(frozen=True)
class NofM(Pattern):
    """At most n of each m consecutive inputs of an output are kept.

    With n = 2 and m = 4 it is the 2:4 pattern that sparse hardware reads (Mishra et al.,
    arXiv 2104.08378, section 3). The inputs of an output lie side by side in a `.tflite` file.
    While a schedule is below `1 - n / m`, the groups that lose least have the pattern and the
    others are whole. The last group of an output may be cut, and then prunes less.

    Example:

    ```python
    config = PruningConfig(pattern=NofM(2, 4))
    ```

    Args:
        n: Values kept in each group, at least 1.
        m: Size of a group, above `n`.
        axis: The axis along which the groups run. Defaults to `None`: that of the inputs, by
            the kind of the layer. Depthwise kernels and embeddings have none and are left alone.

    Raises:
        KerasCompressError: If an argument is out of range.
    """

    n: int
    m: int
    axis: int | None = None

    # A group that isn't kept has the pattern: so may all have.
    _minimum = 0
    _least_of_each = False

    def __post_init__(self) -> None:
        if not (_is_count(self.n) and _is_count(self.m) and self.n < self.m):
            raise KerasCompressError(
                "`n` and `m` must be ints with 0 < n < m, n values kept in each m. "
                f"Received: n={self.n!r} and m={self.m!r}."
            )
        share = 1.0 - self.n / self.m
        object.__setattr__(self, "max_sparsity", share)
        object.__setattr__(self, "default_sparsity", share)

    def why_not(self, ref: WeightRef) -> str | None:
        known = self.axis is not None or input_axis(ref) is not None
        return None if known else "no one axis of inputs to run groups along"

    def pool(self, scores: np.ndarray, ref: WeightRef | None = None) -> np.ndarray:
        groups = self._groups(scores, ref)
        cost: np.ndarray = np.sort(groups, axis=1)[:, : self.m - self.n].mean(axis=1)
        return cost

    def spread(
        self, kept: np.ndarray, scores: np.ndarray, ref: WeightRef | None = None
    ) -> np.ndarray:
        groups = self._groups(scores, ref)
        keep = np.ones(groups.shape, dtype=bool)
        order = np.argsort(groups, axis=1, kind="stable")[:, : self.m - self.n]
        np.put_along_axis(keep, order, kept[:, np.newaxis], axis=1)
        axis = self._axis(ref)
        moved = np.moveaxis(scores, axis, -1).shape
        inputs_last = keep.reshape(*moved[:-1], -1)[..., : moved[-1]]
        return np.moveaxis(inputs_last, -1, axis)

    def _axis(self, ref: WeightRef | None) -> int:
        if self.axis is not None:
            return self.axis
        axis = None if ref is None else input_axis(ref)
        return -2 if axis is None else axis

    def _groups(self, scores: np.ndarray, ref: WeightRef | None) -> np.ndarray:
        inputs_last = np.moveaxis(scores, self._axis(ref), -1)
        margin = [(0, 0)] * (scores.ndim - 1) + [(0, -inputs_last.shape[-1] % self.m)]
        # No score lies below the padding, so that it is pruned before anything else.
        lowest = min(0.0, float(scores.min()))
        return np.pad(inputs_last, margin, constant_values=lowest).reshape(-1, self.m)


@keras.saving.register_keras_serializable(package="keras_compress.pruning")
@dataclass(frozen=True)
class Filters(Pattern):
    """Whole filters: all that makes an output channel is kept, or none of it.

    Taking the filters out of the graph is the business of channel pruning.

    Example:

    ```python
    config = PruningConfig(0.5, pattern=Filters())
    ```

    Args:
        norm: How a filter's score is taken from those of its values: `"l1"`, their mean (Li et
            al., arXiv 1608.08710, section 3.1), or `"l2"`, that of their squares. Defaults to
            `"l1"`.
        axes: The axes of a weight that count its filters. Defaults to `None`: by the kind of
            the layer; embeddings, recurrent and attention kernels have no filters and are left
            alone.

    Raises:
        KerasCompressError: If an argument is out of range.
    """

    norm: Literal["l1", "l2"] = "l1"
    axes: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.norm not in ("l1", "l2"):
            raise KerasCompressError(f'`norm` must be "l1" or "l2". Received: norm={self.norm!r}.')
        if self.axes is not None:
            object.__setattr__(self, "axes", tuple(self.axes))

    def why_not(self, ref: WeightRef) -> str | None:
        known = self.axes is not None or filter_axes(ref) is not None
        return None if known else "no filters, as it has no axis of output channels"

    def pool(self, scores: np.ndarray, ref: WeightRef | None = None) -> np.ndarray:
        found = self.axes or (None if ref is None else filter_axes(ref)) or (-1,)
        counting = {axis % scores.ndim for axis in found}
        others = tuple(axis for axis in range(scores.ndim) if axis not in counting)
        wide = scores.astype(np.float64)
        pooled: np.ndarray = (wide if self.norm == "l1" else np.square(wide)).mean(
            axis=others, keepdims=True
        )
        return pooled

    def spread(
        self, kept: np.ndarray, scores: np.ndarray, ref: WeightRef | None = None
    ) -> np.ndarray:
        return np.broadcast_to(kept, scores.shape).copy()


def get_pattern(pattern: Pattern | str) -> Pattern:
    """Return a pattern, given as such or by its name.

    Args:
        pattern: A `Pattern`, `"unstructured"`, `"filters"`, or `"2:4"` and the like for `NofM`.

    Raises:
        KerasCompressError: If there is no such pattern.
    """
    if isinstance(pattern, Pattern):
        return pattern
    if isinstance(pattern, str):
        n, colon, m = pattern.partition(":")
        if colon and n.isdecimal() and m.isdecimal():
            return NofM(int(n), int(m))
        if pattern in _NAMED:
            return _NAMED[pattern]()
    raise KerasCompressError(
        '`pattern` must be a `Pattern`, "unstructured", "filters" or of the form "2:4". '
        f"Received: pattern={pattern!r}."
    )


_NAMED: dict[str, type[Pattern]] = {"unstructured": Unstructured, "filters": Filters}


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
