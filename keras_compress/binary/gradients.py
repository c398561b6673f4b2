"""Functions whose gradient is chosen, not derived: the straight-through estimator and its kin.

A step function has derivative zero almost everywhere, so binary nets are trained with another
slope in its place (Bengio et al., arXiv 1308.3432; XNOR-Net, arXiv 1603.05279, section 3.1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras import ops

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

__all__ = ["straight_through", "with_slope"]


def straight_through(value: Tensor, x: Tensor, low: float, high: float) -> Tensor:
    """Return `value`, differentiated as if it were `x` where `low <= x <= high`, else constant.

    The ends are included because clipping leaves many latent weights exactly there: shut out,
    they could never change sign again.

    Args:
        value: Tensor of `x`'s shape and dtype.
        x: The tensor that gets the gradient.
        low: Least value of `x` with a gradient.
        high: Largest value of `x` with a gradient.
    """
    inside = ops.logical_and(ops.greater_equal(x, low), ops.less_equal(x, high))
    # ops.clip would do, but back ends differ in its gradient at the ends; and an infinite x
    # outside must not become infinity minus infinity.
    followed = ops.where(inside, x, ops.zeros((), dtype=x.dtype))
    return ops.stop_gradient(value) + _zero_with_gradient_of(followed)


def with_slope(value: Tensor, x: Tensor, slope: Tensor) -> Tensor:
    """Return `value`, differentiated as if its derivative in `x` were `slope` (same shapes)."""
    followed = ops.where(ops.isfinite(x), x, ops.zeros((), dtype=x.dtype))
    return ops.stop_gradient(value) + ops.stop_gradient(slope) * _zero_with_gradient_of(followed)


def _zero_with_gradient_of(x: Tensor) -> Tensor:
    # The difference is exactly zero, so the value added to stays exact to the bit.
    return x - ops.stop_gradient(x)
