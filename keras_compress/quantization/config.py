"""What to quantize, in how many bits, and when statistics stop moving."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import keras

from keras_compress.engine.frozen import Frozen
from keras_compress.engine.weights import Selectors
from keras_compress.errors import KerasCompressError
from keras_compress.quantization.quantizers import ActivationQuantizer, WeightQuantizer


@keras.saving.register_keras_serializable(package="keras_compress")
@dataclass(frozen=True)
class QuantizationConfig(Frozen):
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
        first: How the weights of the first layer with a kernel are, or `"float"` for a layer that
            stays in float. Defaults to `None`: as `weights`.
        last: The same of the last one. Defaults to `None`: as `weights`.
        float_layers: Which layers stay in float: name, wildcard, class or predicate, or a list of
            these. A normalization or activation that follows one stays so too. Defaults to `None`:
            none.
        freeze_statistics_after: Training steps after which normalizations use their moving
            averages, as the device does, and ranges of activations stay (Krishnamoorthi, arXiv
            1806.08342, section 3.2.2). Defaults to `None`: batch statistics throughout.
        preserve_sparsity: Whether weights that are zero stay zero, as pruning left them. Defaults
            to `False`.
        preserve_clusters: Whether weights that are equal stay equal, as clustering left them.
            Defaults to `False`.
        rate_weight: What one bit of the packed integers costs, in units of the loss, as in
            `rate.RateConfig`: the loss that is minimised grows by it times their code length.
            Defaults to `0.0`.

    Raises:
        KerasCompressError: If an argument is out of range.
    """

    weights: WeightQuantizer = field(default_factory=WeightQuantizer)
    activations: ActivationQuantizer = field(default_factory=ActivationQuantizer)
    first: WeightQuantizer | Literal["float"] | None = None
    last: WeightQuantizer | Literal["float"] | None = None
    float_layers: Selectors = None
    freeze_statistics_after: int | None = None
    preserve_sparsity: bool = False
    preserve_clusters: bool = False
    rate_weight: float = 0.0

    def __post_init__(self) -> None:
        for name in ("weights", "first", "last"):
            value = getattr(self, name)
            others = () if name == "weights" else (None, "float")
            if not isinstance(value, WeightQuantizer) and value not in others:
                choices = ', "float" or None' if others else ""
                raise KerasCompressError(
                    f"`{name}` must be a `WeightQuantizer`{choices}. Received: {name}={value!r}."
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
