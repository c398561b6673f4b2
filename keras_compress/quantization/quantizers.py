"""How weights and activations are put on integers: frozen settings that Keras can save."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import keras

from keras_compress.errors import KerasCompressError

Storage = Literal["auto", "int4", "int8"]
WeightRange = Literal["max", "learned"]
ActivationRange = Literal["moving_average", "percentile", "learned"]


@keras.saving.register_keras_serializable(package="keras_compress")
@dataclass(frozen=True)
class WeightQuantizer:
    """Weights as symmetric integers, whose zero is 0.

    Args:
        bits: Bits of a weight, 2 to 8. Defaults to `8`.
        per_channel: Whether each output channel has a step of its own, or the tensor has one.
            Defaults to `True`.
        range: `"max"`: the largest magnitude is the largest integer, at every training step anew;
            `"learned"`: steps are trained, by LSQ's gradient. Defaults to `"max"`.
        storage: How a file holds weights of 4 bits: `"int4"`, two in a byte, or `"int8"`, as
            weights of other widths below 8 are always held. `"auto"` takes two in a byte for
            `Dense` layers alone: LiteRT has kernels for `Conv2D` and `DepthwiseConv2D` of 4 bits
            too, but slow ones that round otherwise, and none for `Conv2DTranspose`. Packed, both
            take the same. Defaults to `"auto"`.

    Raises:
        KerasCompressError: If an argument is out of range.
    """

    bits: int = 8
    per_channel: bool = True
    range: WeightRange = "max"
    storage: Storage = "auto"

    def __post_init__(self) -> None:
        _check_bits(self.bits, (2, 3, 4, 5, 6, 7, 8))
        if self.range not in ("max", "learned"):
            raise KerasCompressError(
                f'`range` of weights must be "max" or "learned". Received: range={self.range!r}.'
            )
        if self.storage not in ("auto", "int4", "int8") or (
            self.storage == "int4" and self.bits != 4
        ):
            raise KerasCompressError(
                '`storage` must be "auto", "int8" or, with 4 bits, "int4". '
                f"Received: storage={self.storage!r} with bits={self.bits}."
            )

    def get_config(self) -> dict[str, object]:
        return asdict(self)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> WeightQuantizer:
        return cls(**config)


@keras.saving.register_keras_serializable(package="keras_compress")
@dataclass(frozen=True)
class ActivationQuantizer:
    """Activations as asymmetric integers of one step a tensor, and where their range is from.

    Args:
        bits: Bits of an activation. Defaults to `8`.
        range: `"moving_average"` of the least and the largest value of each batch;
            `"percentile"`, the moving average of these percentiles of a batch, so that a few far
            values don't cost the others their digits; `"learned"`: the step is trained by LSQ's
            gradient from the range that calibration found. Defaults to `"moving_average"`.
        momentum: Share of the old range in a new average, 0 up to below 1. The first batches are
            averaged evenly. Defaults to `0.99`.
        percentile: Percentile of the largest values, above 50 and at most 100; the least are cut at
            100 minus this. Defaults to `99.99`.

    Raises:
        KerasCompressError: If an argument is out of range.
    """

    bits: int = 8
    range: ActivationRange = "moving_average"
    momentum: float = 0.99
    percentile: float = 99.99

    def __post_init__(self) -> None:
        _check_bits(self.bits, (8,))
        if self.range not in ("moving_average", "percentile", "learned"):
            raise KerasCompressError(
                '`range` of activations must be "moving_average", "percentile" or "learned". '
                f"Received: range={self.range!r}."
            )
        if not 0.0 <= self.momentum < 1.0:
            raise KerasCompressError(
                f"`momentum` must be 0 up to below 1. Received: momentum={self.momentum!r}."
            )
        if not 50.0 < self.percentile <= 100.0:
            raise KerasCompressError(
                "`percentile` must be above 50 and at most 100. "
                f"Received: percentile={self.percentile!r}."
            )

    def get_config(self) -> dict[str, object]:
        return asdict(self)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> ActivationQuantizer:
        return cls(**config)


def _check_bits(bits: object, allowed: tuple[int, ...]) -> None:
    if isinstance(bits, bool) or bits not in allowed:
        raise KerasCompressError(
            f"`bits` must be one of {', '.join(map(str, allowed))}. Received: bits={bits!r}."
        )
