"""How the device adds two activations: by multipliers of 21 binary digits, in whole numbers.

XNNPACK turns the step of each operand over that of the sum into an integer, so that the larger of
both has 21 digits, adds up the products and shifts them down, half ways up (`qs8-vadd`). Exact
arithmetic lands on another integer once in some ten thousand sums, and with weights of few bits
each of these is seen by the next layers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from keras import ops

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

__all__ = ["added_integers"]

_DIGITS = 20

#: The runtime leaves operands whose step over that of the sum lies elsewhere to other kernels.
_LEAST, _MOST = 2.0**-10, 2.0**8
_EXPONENTS = np.arange(-10, 8)


def added_integers(
    one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor], step: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the sum in steps, float32 whole numbers, and whether the device adds so, a bool.

    Args:
        one: An activation on its grid, float32, and its step, a scalar.
        other: The other one.
        step: The step of the sum, a scalar above 0.
    """
    ratios = [_positive(its_step) / step for _, its_step in (one, other)]
    largest = ops.maximum(*ratios)
    covered = ops.logical_and(ops.minimum(*ratios) >= _LEAST, largest < _MOST)
    known = ops.logical_and(one[1] > 0, other[1] > 0)
    # The exponent by comparison: a logarithm may miss a power of two by a digit.
    reached = ops.cast(largest >= ops.convert_to_tensor(2.0**_EXPONENTS, "float32"), "int32")
    place = ops.maximum(ops.sum(reached) - 1, 0)
    shifts = _DIGITS - _EXPONENTS
    scale = ops.take(ops.convert_to_tensor(2.0**shifts, "float32"), place)
    divisor = ops.take(ops.convert_to_tensor(2**shifts, "int32"), place)
    products = [
        _whole(values / _positive(its_step)) * _whole(ops.minimum(ratio, _MOST) * scale)
        for (values, its_step), ratio in zip((one, other), ratios, strict=True)
    ]
    total = products[0] + products[1] + divisor // 2
    return (
        ops.cast(ops.floor_divide(total, divisor), "float32"),
        ops.logical_and(known, covered),
    )


def _positive(step: Any) -> Tensor:
    return ops.where(step > 0, step, 1.0)


def _whole(values: Tensor) -> Tensor:
    return ops.cast(ops.round(values), "int32")
