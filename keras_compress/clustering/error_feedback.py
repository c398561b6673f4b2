"""Shared values layer by layer: each weight takes up the errors that those before it made.

The output of a layer is a product of what it reads with its kernel, so the error of its output is
quadratic in that of the kernel, and samples of what it reads give the form. One row of the kernel
after the other is rounded, and the rows that are left are moved to make up for it: optimal brain
surgery, in the order of GPTQ (Frantar et al., arXiv 2210.17323, section 3; Optimal Brain
Compression, arXiv 2208.11580). A weight goes to the level where error plus price of the bits is
least, as in entropy-constrained quantization (`entropy_constrained`), so that what matters little
becomes zero: pruning needs no step of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keras_compress.errors import KerasCompressError

__all__ = ["Block", "RoundedKernel", "round_with_feedback"]

_Floats = NDArray[np.float64]

# Of the mean of a Gram matrix' diagonal, added to it: what samples don't tell stays as it is.
_DAMPING = 0.01
_PASSES = 3
# Steps that are tried, as factors on the one that theory gives for fine steps.
_STEPS = (0.8, 1.1, 1.5)
# Levels on either side of zero; what lies beyond is cut.
_REACH = 255


@dataclass(frozen=True, eq=False)
class Block:
    """Columns of a kernel that read the same numbers.

    Attributes:
        kernel: `(reads, outputs)`.
        gram: `(reads, reads)`: the mean over samples of products of what is read. Centered where a
            bias takes up the mean.
        importance: `(outputs,)`: what a squared error of an output costs.
    """

    kernel: _Floats
    gram: _Floats
    importance: _Floats


@dataclass(frozen=True, eq=False)
class RoundedKernel:
    """A kernel of shared values.

    Attributes:
        levels: For each block the level of each weight, int32, 0 for zero.
        values: For each block its kernel.
        error: Cost of the error of the outputs.
        bits: Bits that an ideal coder of single symbols needs.
    """

    levels: tuple[NDArray[np.int32], ...]
    values: tuple[_Floats, ...]
    error: float
    bits: float


def round_with_feedback(blocks: Sequence[Block], price: float) -> RoundedKernel:
    """Return the kernel of few values whose error plus `price` times its bits is least, nearly.

    The levels are those of a grid; then each gets the value that suits all weights on it best, by
    least squares.

    Args:
        blocks: The kernel: one block, or one for each group of a convolution.
        price: What a bit costs, in the unit of the errors; above 0.

    Raises:
        KerasCompressError: If a number isn't finite, or the price isn't above 0.
    """
    if not 0 < price < float("inf"):
        raise KerasCompressError(
            f"`price` must be a finite number above 0. Received: price={price!r}."
        )
    for block in blocks:
        if not all(np.isfinite(a).all() for a in (block.kernel, block.gram, block.importance)):
            raise KerasCompressError(
                "A kernel, what it reads and how much its outputs matter must be finite. Received: "
                "NaN or infinity. Check the model and the samples."
            )
    feedbacks = [_Feedback(block) for block in blocks]
    fine = _fine_step(feedbacks, price)
    tried = [_rounded(feedbacks, price, factor * fine) for factor in _STEPS]
    best = min(tried, key=lambda each: each.error + price * each.bits)
    values = _trained(feedbacks, best)
    kernels = tuple(values[each + _REACH] for each in best.levels)
    error = sum(f.error(kernel) for f, kernel in zip(feedbacks, kernels, strict=True))
    return RoundedKernel(best.levels, kernels, float(error), best.bits)


def _fine_step(feedbacks: Sequence[_Feedback], price: float) -> float:
    """Return the step at which a bit more saves an error of `price`, were all steps fine.

    The error of a step s is s**2 / 12 times its weight; a bit more makes it a quarter.
    """
    logs = [np.log(each.weights).ravel() for each in feedbacks]
    weight = float(np.exp(np.mean(np.concatenate(logs))))
    step = float(np.sqrt(6 * price / (np.log(2) * weight)))
    largest = max(float(np.abs(each.kernel).max(initial=0)) for each in feedbacks)
    return min(max(step, largest / _REACH), max(2 * largest, 1e-30))


def _trained(feedbacks: Sequence[_Feedback], grid: _OnGrid) -> _Floats:
    """Return the value of each level from -_REACH to _REACH: zero, or the best for all on it."""
    values: _Floats = np.arange(-_REACH, _REACH + 1, dtype=np.float64) * grid.step
    used = np.unique(np.concatenate([each.ravel() for each in grid.levels]))
    used = used[used != 0]
    if not used.size:
        return values
    place = np.full(2 * _REACH + 1, len(used))
    place[used + _REACH] = np.arange(len(used))
    normal = np.zeros((len(used), len(used)))
    slope = np.zeros(len(used))
    for feedback, levels in zip(feedbacks, grid.levels, strict=True):
        its = place[levels + _REACH]
        slope += _per_level(its, feedback.pull(), len(used))
        for number in np.unique(its[its < len(used)]):
            effect = feedback.pull((its == number).astype(np.float64))
            normal[number] += _per_level(its, effect, len(used))
    # Hardly used levels stay where the grid has them.
    start = values[used + _REACH]
    normal[np.diag_indices_from(normal)] += 1e-6 * np.trace(normal) / len(used) + 1e-30
    values[used + _REACH] = start + np.linalg.solve(normal, slope - normal @ start)
    return values


def _per_level(its: NDArray[np.int64], effect: _Floats, count: int) -> _Floats:
    sums = np.bincount(its.ravel(), effect.ravel(), minlength=count + 1)[:count]
    return sums.astype(np.float64)


@dataclass(frozen=True, eq=False)
class _OnGrid:
    """A kernel rounded to multiples of a step."""

    levels: tuple[NDArray[np.int32], ...]
    step: float
    error: float
    bits: float


def _rounded(feedbacks: Sequence[_Feedback], price: float, step: float) -> _OnGrid:
    # The first lengths are those of plain rounding.
    levels = [
        np.clip(np.rint(each.kernel / step), -_REACH, _REACH).astype(np.int32) for each in feedbacks
    ]
    errors = [0.0]
    for _ in range(_PASSES):
        lengths = _lengths(levels)
        results = [each.round(step, price * lengths) for each in feedbacks]
        levels, errors = [r[0] for r in results], [r[1] for r in results]
    final = _lengths(levels, smoothing=0.0)
    bits = sum(float(final[each + _REACH].sum()) for each in levels)
    return _OnGrid(tuple(levels), step, float(sum(errors)), bits)


def _lengths(levels: Sequence[NDArray[np.int32]], smoothing: float = 0.5) -> _Floats:
    """Return the bits of each level, from -_REACH to _REACH."""
    flat = np.concatenate([each.ravel() for each in levels]) + _REACH
    counts = np.bincount(flat, minlength=2 * _REACH + 1).astype(np.float64)
    if smoothing:
        # A level that nobody took is as rare as its neighbours make it.
        near = np.convolve(counts, [0.25, 0.5, 0.25], mode="same")
        counts = 0.5 * counts + 0.5 * near + smoothing
    with np.errstate(divide="ignore"):
        return -np.log2(counts / counts.sum())


class _Feedback:
    """Rounds the columns of one block."""

    def __init__(self, block: Block) -> None:
        diagonal = np.diag(block.gram)
        #: Rows that matter most come first: those left can make up for them.
        self._order = np.argsort(-diagonal, kind="stable")
        gram = block.gram[np.ix_(self._order, self._order)].copy()
        gram[np.diag_indices_from(gram)] += max(_DAMPING * float(diagonal.mean()), 1e-12)
        # inverse = upper.T @ upper; an error e in row i costs (e / upper[i, i])**2.
        self._upper = np.linalg.cholesky(np.linalg.inv(gram)).T
        self._cost = 1 / np.square(np.diag(self._upper))
        self._importance = np.maximum(block.importance, 1e-30)
        self.kernel = block.kernel[self._order]
        self._block = block
        #: What a squared error of each weight costs once the others have made up for it.
        self.weights = self._cost[:, None] * self._importance

    def pull(self, kernel: _Floats | None = None) -> _Floats:
        """Return half the slope of the error of a kernel, at zero; by default of the exact one."""
        kernel = self._block.kernel if kernel is None else kernel
        return (self._block.gram @ kernel) * self._importance

    def error(self, kernel: _Floats) -> float:
        """Return what it costs to compute with `kernel`."""
        missed = kernel - self._block.kernel
        return float(np.sum(missed * self.pull(missed)))

    def round(self, step: float, prices: _Floats) -> tuple[NDArray[np.int32], float]:
        """Return the levels, and what their errors cost."""
        left = self.kernel.copy()
        levels = np.empty(left.shape, np.int32)
        error = 0.0
        columns = np.arange(left.shape[1])
        for row in range(len(left)):
            exact = left[row] / step
            near = np.clip(np.rint(exact), -_REACH, _REACH).astype(np.int32)
            # The nearest level, the next one towards zero, and zero.
            choices = np.stack([near, near - np.sign(near), np.zeros_like(near)])
            errors = np.square(exact - choices) * (step * step * self.weights[row])
            best = np.argmin(errors + prices[choices + _REACH], axis=0)
            levels[row] = choices[best, columns]
            error += float(errors[best, columns].sum())
            missed = (left[row] - levels[row] * step) / self._upper[row, row]
            if row + 1 < len(left):
                left[row + 1 :] -= self._upper[row, row + 1 :, None] * missed
        unsorted = np.empty_like(levels)
        unsorted[self._order] = levels
        return unsorted, error
