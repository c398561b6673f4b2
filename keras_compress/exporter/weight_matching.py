"""Finding each Keras weight among a converted file's constants, by its values.

Names alone don't tell: the converter names constants after operations, merges equal ones and
folds normalizations into kernels. Values do. A constant is a weight if it equals it under some
order of the axes, exactly, up to rounding, or up to one factor a channel.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from keras_compress.tflite.model_file import Tensor

__all__ = ["Constant", "Match", "match_weight"]

# Where TFLite puts the axes of Keras' kernels: (dense), (1-D convolutions), (convolution,
# transposed convolution, depthwise convolution). Tried first; then every other order.
_USUAL_ORDERS: dict[int, list[tuple[int, ...]]] = {
    2: [(1, 0), (0, 1)],
    3: [(2, 0, 1), (0, 1, 2)],
    4: [(3, 0, 1, 2), (2, 0, 1, 3), (0, 1, 2, 3)],
}

# With fewer numbers a channel, one factor a channel would fit anything.
_FEWEST_PER_CHANNEL = 4

_CHANNELS_TRIED_FIRST = 3


@dataclass(frozen=True)
class Constant:
    """A constant of the file: the tensor, what is stored, and what that stands for."""

    tensor: Tensor
    stored: np.ndarray
    values: np.ndarray
    zero: np.ndarray

    @property
    def is_quantized(self) -> bool:
        return bool(self.tensor.scales.size)


@dataclass(frozen=True)
class Match:
    """A weight found in a constant.

    Attributes:
        constant: The constant.
        weight: The weight, laid out as the constant is.
        channel_axis: Axis with a factor of its own for every channel; `None` if there is none.
        factors: Those factors; `None` where the weight itself is stored, rounded at most.
    """

    constant: Constant
    weight: np.ndarray
    channel_axis: int | None
    factors: np.ndarray | None


def match_weight(weight: np.ndarray, owner: str, constants: list[Constant]) -> Match | None:
    """Return where `weight` (of the layer named `owner`) is found, or `None`.

    A constant that the converter named after the layer goes before others, and an unscaled
    match before a scaled one.
    """
    fitting = [c for c in constants if c.values.size == weight.size]
    if weight.ndim < 2 and (weight == weight.reshape(-1)[0]).all():
        # Zeros and ones are everywhere; only a name can tell whose these are.
        fitting = [c for c in fitting if _is_named_after(c.tensor.name, owner)]
    fitting.sort(key=lambda constant: not _is_named_after(constant.tensor.name, owner))
    for scaled in (False, True):
        for constant in fitting:
            for candidate in _layouts(weight, constant.values.shape):
                match = (
                    _scaled_match(candidate, constant)
                    if scaled
                    else _plain_match(candidate, constant)
                )
                if match is not None:
                    return match
    return None


def _is_named_after(name: str, owner: str) -> bool:
    return any(f"/{owner}{end}" in f"/{name}" for end in ("/", "_", ";"))


def _layouts(weight: np.ndarray, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    usual = _USUAL_ORDERS.get(weight.ndim, [tuple(range(weight.ndim))])
    others = (
        [o for o in itertools.permutations(range(weight.ndim)) if o not in usual]
        if weight.ndim <= 4
        else []
    )
    for order in [*usual, *others]:
        yield weight.transpose(order).reshape(shape)


def _plain_match(weight: np.ndarray, constant: Constant) -> Match | None:
    flat, stored = weight.reshape(-1), constant.values.reshape(-1)
    tolerance = np.broadcast_to(_tolerance(constant), constant.values.shape).reshape(-1)
    # A handful of numbers refuse nearly every wrong layout.
    few = slice(None, None, max(flat.size // 64, 1))
    for part in (few, slice(None)):
        if not (np.abs(flat[part] - stored[part]) <= tolerance[part]).all():
            return None
    axis = constant.tensor.quantized_axis if constant.tensor.scales.size > 1 else None
    return Match(constant, weight, axis, None)


def _scaled_match(weight: np.ndarray, constant: Constant) -> Match | None:
    shape = constant.values.shape
    for axis in dict.fromkeys((0, len(shape) - 1)):
        channels = shape[axis] if shape else 0
        if channels < 1 or weight.size // channels < _FEWEST_PER_CHANNEL:
            continue
        if constant.tensor.scales.size > 1 and axis != constant.tensor.quantized_axis:
            continue
        few = min(channels, _CHANNELS_TRIED_FIRST)
        if _factors(weight, constant, axis, few) is None:
            continue
        factors = _factors(weight, constant, axis, channels)
        if factors is not None:
            return Match(constant, weight, axis, factors)
    return None


def _factors(weight: np.ndarray, constant: Constant, axis: int, channels: int) -> np.ndarray | None:
    """Least-squares factors of the first `channels` channels; `None` if they don't fit."""
    w = np.moveaxis(weight, axis, 0)[:channels].reshape(channels, -1).astype(np.float64)
    c = np.moveaxis(constant.values, axis, 0)[:channels].reshape(channels, -1)
    c = c.astype(np.float64)
    tolerance = np.broadcast_to(_tolerance(constant), constant.values.shape)
    tolerance = np.moveaxis(tolerance, axis, 0)[:channels].reshape(channels, -1)
    energy = (w * w).sum(axis=1)
    factors = (w * c).sum(axis=1) / np.where(energy > 0, energy, 1)
    # The factor is fitted to rounded numbers, and the product was rounded before it was stored.
    allowed = 2 * tolerance + 4e-6 * np.abs(c).max(axis=1, initial=0.0)[:, None]
    if not (np.abs(c - factors[:, None] * w) <= allowed).all():
        return None
    return factors


def _tolerance(constant: Constant) -> np.ndarray:
    """Largest rounding error that storing a number in the constant's type can make."""
    if constant.is_quantized:
        scale, _ = constant.tensor.quantization()
        return np.asarray(0.75 * scale, np.float64)
    if constant.tensor.dtype == "FLOAT16":
        # Half a unit in the last of 11 bits; below 2**-14 half the spacing of 2**-24.
        return np.maximum(np.abs(constant.values) * 2.0**-11 * 1.01, 2.0**-24)
    return np.zeros((), np.float64)
