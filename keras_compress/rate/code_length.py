"""How many bits a weight on a grid takes, under statistics of the weights around it.

The packer codes a weight as [is it zero?] [sign] [magnitude], and predicts the first from how
full the weight's row and column are. The same is written down here as a smooth cost: the
probability that a weight isn't zero is the product of its input's and its output's density over
the density of the whole, and magnitudes fall off geometrically. These statistics are taken from
the weights themselves at every step (no gradient flows into them), so that there is nothing to
train or to save beside the weights, and inputs and units that are hardly used become dear: rich
ones get richer, the rest empties.

Between two whole numbers the cost is a straight line, so its slope is exactly what the step from
one value to the next saves. That makes it an L1 penalty, reweighted at every step by the code
length (compare Oktay et al., Scalable Model Compression by Entropy Penalized Reparameterization,
arXiv 1906.06624, who train a density and add noise instead).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import keras

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

_LN2 = math.log(2.0)
# What is seen in advance, in weights: a row that is empty so far isn't so for certain.
_PRIOR = 1.0
_MIN, _MAX = 1e-6, 0.98


def code_length(values: Tensor) -> Tensor:
    """Return the bits that `values` take, a float32 scalar.

    Args:
        values: Weights over their step size, of any shape; the last two axes are inputs and
            outputs, as in Keras' kernels. Whole numbers give the code length; between them it is
            interpolated, with a gradient.
    """
    ops = keras.ops
    values = ops.cast(values, "float32")
    magnitude = ops.abs(values)
    probability, more, stop = _statistics(ops.stop_gradient(ops.round(magnitude)))
    nothing = -ops.log(1.0 - probability) / _LN2
    # Is it zero? Its sign. No further step.
    first = 1.0 + stop - ops.log(probability) / _LN2 - nothing
    bits = nothing + ops.minimum(magnitude, 1.0) * ops.relu(first)
    # In a full tensor zero costs more than one: that counts, but draws no weight away from zero.
    bits = bits - ops.stop_gradient(ops.minimum(magnitude, 1.0) * ops.relu(-first))
    bits = bits + ops.relu(magnitude - 1.0) * more
    return ops.sum(bits)


def _statistics(magnitude: Any) -> tuple[Any, Any, Any]:
    """Return the probability of each weight not to be zero, and the bits of "larger" and "not"."""
    ops = keras.ops
    shape = magnitude.shape
    size = math.prod(int(n) for n in shape)
    nonzero = ops.minimum(magnitude, 1.0)
    total = ops.sum(nonzero)
    density = (total + 0.5) / (size + 1.0)
    probability = density
    if len(shape) >= 2:
        axes = range(len(shape))
        for kept in (len(shape) - 2, len(shape) - 1):
            if shape[kept] == size:
                continue
            count = ops.sum(nonzero, axis=[a for a in axes if a != kept], keepdims=True)
            each = size / int(shape[kept])
            probability = probability * (count + _PRIOR * density) / (each + _PRIOR) / density
    probability = ops.clip(probability, _MIN, _MAX)
    longer = ops.sum(magnitude) - total
    going_on = (longer + 0.5) / (longer + total + 1.0)
    return probability, -ops.log(going_on) / _LN2, -ops.log(1.0 - going_on) / _LN2
