"""Quantizers: from real weights or activations to one bit, or a few.

A quantizer computes `levels_of(x) * scale_of(x)`: levels are one of few fixed numbers, the scale
(alpha) is one real number a filter, where it has any. All work on every Keras back end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from keras_compress.binary.gradients import straight_through, with_slope
from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

__all__ = [
    "ApproxSign",
    "DoReFa",
    "Heaviside",
    "MagnitudeAwareSign",
    "Quantizer",
    "SteSign",
    "SteTern",
    "SwishSign",
    "get_quantizer",
    "quantizer_names",
]


class Quantizer:
    """What all quantizers share. A quantizer of your own subclasses this and is registered.

    Example:

    ```python
    @keras.saving.register_keras_serializable(package="mine")
    class HalfSign(binary.SteSign):
        def levels_of(self, x):
            return 0.5 * super().levels_of(x)

        levels = (-0.5, 0.5)
    ```

    Attributes:
        precision: Bits a value needs once quantized, the scale left aside.
        levels: The values `levels_of` can return, in rising order, or `None` if they depend on
            more than the class.
        clips_gradient: Whether values beyond -1 and 1 get no gradient, so that latent weights
            out there never come back unless they are clipped.
    """

    precision: int = 1
    levels: tuple[float, ...] | None = None
    clips_gradient: bool = False

    def levels_of(self, x: Tensor) -> Any:
        """Return the level of every value of `x` (same shape and dtype)."""
        raise NotImplementedError

    def scale_of(self, x: Tensor, filter_axes: Sequence[int] = (-1,)) -> Any:
        """Return the factor on the levels, broadcastable against `x`, or `None` for 1.

        Args:
            x: Latent weights.
            filter_axes: The axes of `x` that tell its filters apart. Defaults to the last.
        """
        return None

    def __call__(self, x: Tensor, filter_axes: Sequence[int] = (-1,)) -> Tensor:
        """Return `x` quantized (same shape and dtype)."""
        levels = self.levels_of(x)
        scale = self.scale_of(x, filter_axes)
        return levels if scale is None else ops.multiply(levels, scale)

    @property
    def is_sign(self) -> bool:
        """Whether the levels are -1 and +1, which is what XNOR and popcount compute with."""
        return self.levels == (-1.0, 1.0)

    def get_config(self) -> dict[str, object]:
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Quantizer:
        return cls(**config)


def _sign(x: Tensor) -> Tensor:
    # ops.sign(0) is 0, a third level that one bit can't hold.
    one = ops.ones((), dtype=x.dtype)
    return ops.where(ops.greater_equal(x, 0), one, ops.negative(one))


def _register(cls: object) -> Any:
    return keras.saving.register_keras_serializable(package="keras_compress")(cls)


@_register
class SteSign(Quantizer):
    """Sign with the straight-through estimator: the slope is 1 while `abs(x) <= clip_value`.

    `sign(0)` is +1, as in XNOR-Net (arXiv 1603.05279, section 3.1).

    Args:
        clip_value: Where the gradient ends, a positive number. Defaults to `1.0`.
    """

    levels = (-1.0, 1.0)
    clips_gradient = True

    def __init__(self, clip_value: float = 1.0) -> None:
        self.clip_value = _positive("clip_value", clip_value)

    def levels_of(self, x: Tensor) -> Tensor:
        return straight_through(_sign(x), x, -self.clip_value, self.clip_value)

    def get_config(self) -> dict[str, object]:
        return {"clip_value": self.clip_value}


@_register
class ApproxSign(Quantizer):
    """Sign with the slope of a piecewise parabola, `2 - 2 * abs(x)` while `abs(x) <= 1`.

    From Bi-Real Net (Liu et al., arXiv 1808.00278, section 3.3), meant for activations.
    """

    levels = (-1.0, 1.0)
    clips_gradient = True

    def levels_of(self, x: Tensor) -> Tensor:
        return with_slope(_sign(x), x, ops.relu(2 - 2 * ops.abs(x)))


@_register
class SwishSign(Quantizer):
    """Sign with the slope of the SignSwish function of BNN+ (Darabi et al., arXiv 1812.11800).

    Args:
        beta: How steep: the slope at 0 is `beta`. Defaults to `5.0`.
    """

    levels = (-1.0, 1.0)

    def __init__(self, beta: float = 5.0) -> None:
        self.beta = _positive("beta", beta)

    def _slope(self, x: Tensor) -> Tensor:
        # In terms of the sigmoid, as cosh overflows float16; beyond 30 the slope rounds to zero.
        t = ops.clip(self.beta * x, -30, 30)
        s = ops.sigmoid(t)
        return 2 * self.beta * s * (1 - s) * (2 + t * (1 - 2 * s))

    def levels_of(self, x: Tensor) -> Tensor:
        return with_slope(_sign(x), x, self._slope(x))

    def get_config(self) -> dict[str, object]:
        return {"beta": self.beta}


@_register
class MagnitudeAwareSign(Quantizer):
    """Sign times alpha, the mean of `abs(w)` over each filter: the weights of BWN and XNOR-Net.

    `alpha * sign(W)` is the best one-bit approximation of a filter `W` (arXiv 1603.05279,
    equation 6).

    Args:
        gradient: How the latent weight `w` sees the gradient `g` of its quantized value, with
            `n` weights to the filter and `1{}` the indicator.

            - `"ste"`: `g * alpha * 1{abs(w) <= 1}`; alpha counts as a constant, as in Larq.
            - `"xnor"`: `g * (1 / n + alpha * 1{abs(w) <= 1})`, as XNOR-Net prints it
              (section 3.1).
            - `"exact"`: `alpha` is differentiated too, over all the weights of its filter.

            Defaults to `"ste"`.
        clip_value: Where the straight-through estimator's slope ends. Defaults to `1.0`.
    """

    levels = (-1.0, 1.0)

    def __init__(self, gradient: str = "ste", clip_value: float = 1.0) -> None:
        if gradient not in ("ste", "xnor", "exact"):
            raise KerasCompressError(
                f'`gradient` must be "ste", "xnor" or "exact". Received: gradient={gradient!r}.'
            )
        self.gradient = gradient
        self.clip_value = _positive("clip_value", clip_value)

    @property
    def clips_gradient(self) -> bool:  # type: ignore[override]
        return self.gradient == "ste"

    def levels_of(self, x: Tensor) -> Tensor:
        return straight_through(_sign(x), x, -self.clip_value, self.clip_value)

    def scale_of(self, x: Tensor, filter_axes: Sequence[int] = (-1,)) -> Tensor:
        scale = ops.mean(ops.abs(x), axis=_other_axes(x, filter_axes), keepdims=True)
        return scale if self.gradient == "exact" else ops.stop_gradient(scale)

    def __call__(self, x: Tensor, filter_axes: Sequence[int] = (-1,)) -> Tensor:
        quantized = super().__call__(x, filter_axes)
        if self.gradient == "xnor":
            n = math.prod(int(x.shape[axis]) for axis in _other_axes(x, filter_axes))
            # Adds exactly zero, and 1 / n to the slope.
            quantized = quantized + (x - ops.stop_gradient(x)) / n
        return quantized

    def get_config(self) -> dict[str, object]:
        return {"gradient": self.gradient, "clip_value": self.clip_value}


@_register
class Heaviside(Quantizer):
    """0 up to and including zero, 1 above, with the straight-through estimator.

    Args:
        clip_value: Where the gradient ends, a positive number. Defaults to `1.0`.
    """

    levels = (0.0, 1.0)
    clips_gradient = True

    def __init__(self, clip_value: float = 1.0) -> None:
        self.clip_value = _positive("clip_value", clip_value)

    def levels_of(self, x: Tensor) -> Tensor:
        above = ops.cast(ops.greater(x, 0), x.dtype)
        return straight_through(above, x, -self.clip_value, self.clip_value)

    def get_config(self) -> dict[str, object]:
        return {"clip_value": self.clip_value}


@_register
class SteTern(Quantizer):
    """-1, 0 or +1, with the straight-through estimator.

    Args:
        threshold: Values of at most this magnitude become 0. Defaults to `0.05`.
        ternary_weight_networks: Whether the threshold is 0.7 times the mean magnitude instead,
            as in Ternary Weight Networks (Li et al., arXiv 1605.04711, section 2.3).
            Defaults to `False`.
        clip_value: Where the gradient ends, a positive number. Defaults to `1.0`.
    """

    precision = 2
    levels = (-1.0, 0.0, 1.0)
    clips_gradient = True

    def __init__(
        self,
        threshold: float = 0.05,
        ternary_weight_networks: bool = False,
        clip_value: float = 1.0,
    ) -> None:
        self.threshold = _positive("threshold", threshold)
        self.ternary_weight_networks = bool(ternary_weight_networks)
        self.clip_value = _positive("clip_value", clip_value)

    def levels_of(self, x: Tensor) -> Tensor:
        magnitude = ops.abs(x)
        threshold = 0.7 * ops.mean(magnitude) if self.ternary_weight_networks else self.threshold
        zero = ops.zeros((), dtype=x.dtype)
        value = ops.where(ops.greater(magnitude, threshold), ops.sign(x), zero)
        return straight_through(value, x, -self.clip_value, self.clip_value)

    def get_config(self) -> dict[str, object]:
        return {
            "threshold": self.threshold,
            "ternary_weight_networks": self.ternary_weight_networks,
            "clip_value": self.clip_value,
        }


@_register
class DoReFa(Quantizer):
    """k bits, as DoReFa-Net quantizes them (Zhou et al., arXiv 1606.06160, sections 2.3, 2.4).

    Args:
        bits: Bits a value, 1 to 8. Defaults to `2`.
        mode: `"activations"` clips to [0, 1] and rounds to `2**bits` even steps; `"weights"`
            first squashes by `tanh` and scales by the largest, and returns values in [-1, 1].
            Defaults to `"activations"`.
    """

    def __init__(self, bits: int = 2, mode: str = "activations") -> None:
        if not isinstance(bits, int) or isinstance(bits, bool) or not 1 <= bits <= 8:
            raise KerasCompressError(
                f"`bits` must be a whole number from 1 to 8. Received: bits={bits!r}."
            )
        if mode not in ("activations", "weights"):
            raise KerasCompressError(
                f'`mode` must be "activations" or "weights". Received: mode={mode!r}.'
            )
        self.bits = bits
        self.mode = mode
        self.precision = bits
        steps = 2**bits - 1
        unit = [i / steps for i in range(steps + 1)]
        self.levels = tuple(unit if mode == "activations" else [2 * u - 1 for u in unit])

    def _round(self, x: Tensor) -> Tensor:
        steps = 2**self.bits - 1
        return straight_through(ops.round(ops.clip(x, 0, 1) * steps) / steps, x, 0, 1)

    def levels_of(self, x: Tensor) -> Tensor:
        if self.mode == "activations":
            return self._round(x)
        squashed = ops.tanh(x)
        largest = ops.maximum(ops.max(ops.abs(squashed)), keras.config.epsilon())
        return 2 * self._round(squashed / (2 * largest) + 0.5) - 1

    def get_config(self) -> dict[str, object]:
        return {"bits": self.bits, "mode": self.mode}


_NAMES: dict[str, type[Quantizer]] = {
    "approx_sign": ApproxSign,
    "dorefa": DoReFa,
    "heaviside": Heaviside,
    "magnitude_aware_sign": MagnitudeAwareSign,
    "ste_sign": SteSign,
    "ste_tern": SteTern,
    "swish_sign": SwishSign,
}
# What Larq calls the same.
_LARQ_NAMES = {"dorefa_quantizer": "dorefa", "ste_heaviside": "heaviside"}


def quantizer_names() -> list[str]:
    """Return the names that stand for a quantizer with its defaults."""
    return sorted(_NAMES)


def get_quantizer(identifier: object) -> Quantizer | None:
    """Return the quantizer that `identifier` stands for.

    Args:
        identifier: `None`, a name (see `quantizer_names`; Larq's names and class names work
            too), a `Quantizer`, or the configuration of one.

    Raises:
        KerasCompressError: If it is none of these; the message lists the names.
    """
    if identifier is None or isinstance(identifier, Quantizer):
        return identifier
    if isinstance(identifier, str):
        name = _LARQ_NAMES.get(identifier, identifier)
        for known, cls in _NAMES.items():
            if name in (known, cls.__name__):
                return cls()
        found = keras.saving.get_registered_object(identifier)
        if isinstance(found, type) and issubclass(found, Quantizer):
            return found()
    if isinstance(identifier, dict):
        found = keras.saving.deserialize_keras_object(identifier)
        if isinstance(found, Quantizer):
            return found
    raise KerasCompressError(
        f"A quantizer is one of {', '.join(map(repr, quantizer_names()))}, a `Quantizer`, its "
        f"configuration, or None to leave values real. Received: {identifier!r}."
    )


def _positive(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise KerasCompressError(f"`{name}` must be a positive number. Received: {name}={value!r}.")
    return float(value)


def _other_axes(x: Tensor, filter_axes: Sequence[int]) -> tuple[int, ...]:
    kept = {axis % len(x.shape) for axis in filter_axes}
    return tuple(axis for axis in range(len(x.shape)) if axis not in kept)
