"""Quantizing activations where no binarized layer follows at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras

from keras_compress.binary.quantizers import Quantizer, get_quantizer
from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

__all__ = ["Quantize"]


@keras.saving.register_keras_serializable(package="keras_compress")
class Quantize(keras.layers.Layer):
    """Quantizes its input, value by value, and has no weights.

    The binarized layers quantize their own inputs; this is for nets that sign elsewhere, such
    as those with the order C-B-A-P.

    Args:
        quantizer: Name, `Quantizer` or configuration. Defaults to `"ste_sign"`.
        **kwargs: Name, dtype and the like.

    Raises:
        KerasCompressError: If the quantizer is unknown or `None`.
    """

    def __init__(self, quantizer: str | Quantizer | None = "ste_sign", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        found = get_quantizer(quantizer)
        if found is None:
            raise KerasCompressError(
                "A `Quantize` layer needs a quantizer. Received: quantizer=None. Leave the layer "
                "out to keep values real."
            )
        self.quantizer = found
        self.supports_masking = True

    def call(self, inputs: Tensor) -> Tensor:
        return self.quantizer(inputs)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> Any:
        return input_shape

    def get_config(self) -> dict[str, object]:
        return {
            **super().get_config(),
            "quantizer": keras.saving.serialize_keras_object(self.quantizer),
        }
