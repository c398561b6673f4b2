"""What to quantize, in how many bits, and when statistics stop moving."""

from __future__ import annotations

from dataclasses import dataclass, field

from keras_compress.errors import KerasCompressError
from keras_compress.quantization.quantizers import ActivationQuantizer, WeightQuantizer


@dataclass(frozen=True)
class QuantizationConfig:
    """Settings of quantization-aware training.

    Example:

    ```python
    from keras_compress import quantization

    config = quantization.QuantizationConfig(
        weights=quantization.WeightQuantizer(bits=4),
        first=quantization.WeightQuantizer(),
        last=quantization.WeightQuantizer(),
        freeze_statistics_after=2000,
    )
    ```

    Args:
        weights: How weights are quantized. Defaults to 8 bits, one step a channel.
        activations: How activations are. Defaults to 8 bits, ranges by moving average.
        first: How the weights of the first layer with a kernel are. Defaults to `None`: as
            `weights`.
        last: How those of the last one are. Defaults to `None`: as `weights`.
        freeze_statistics_after: Training steps after which normalizations use their moving
            averages, as the device does, and ranges of activations stay (Krishnamoorthi, arXiv
            1806.08342, section 3.2.2). Defaults to `None`: batch statistics throughout.
        preserve_sparsity: Whether weights that are zero stay zero, as pruning left them. Defaults
            to `False`.
        rate_weight: What one bit of the packed integers costs, in units of the loss, as in
            `rate.RateConfig`: the loss that is minimised grows by it times their code length.
            Defaults to `0.0`.

    Raises:
        KerasCompressError: If an argument is out of range.
    """

    weights: WeightQuantizer = field(default_factory=WeightQuantizer)
    activations: ActivationQuantizer = field(default_factory=ActivationQuantizer)
    first: WeightQuantizer | None = None
    last: WeightQuantizer | None = None
    freeze_statistics_after: int | None = None
    preserve_sparsity: bool = False
    rate_weight: float = 0.0

    def __post_init__(self) -> None:
        for name in ("weights", "first", "last"):
            value = getattr(self, name)
            if not isinstance(value, WeightQuantizer) and (value is not None or name == "weights"):
                raise KerasCompressError(
                    f"`{name}` must be a `WeightQuantizer`. Received: {name}={value!r}."
                )
        if not isinstance(self.activations, ActivationQuantizer):
            raise KerasCompressError(
                "`activations` must be an `ActivationQuantizer`. "
                f"Received: activations={self.activations!r}."
            )
        if not 0.0 <= self.rate_weight < float("inf"):
            raise KerasCompressError(
                "`rate_weight` must be a finite number, 0 or more. "
                f"Received: rate_weight={self.rate_weight!r}."
            )
        after = self.freeze_statistics_after
        if after is not None and (
            isinstance(after, bool) or not isinstance(after, int) or after < 0
        ):
            raise KerasCompressError(
                "`freeze_statistics_after` must be an int, 0 or more, or None. "
                f"Received: freeze_statistics_after={after!r}."
            )
