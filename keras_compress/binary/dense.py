"""A dense layer with a binarized kernel, binarized inputs, or both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from keras_compress.binary.binary_layer import (
    BinaryLayer,
    check_input_scale,
    kernel_constraint_for,
)
from keras_compress.binary.input_scale import dense_input_scale
from keras_compress.binary.quantizers import Quantizer, get_quantizer

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

__all__ = ["BinaryDense"]


@keras.saving.register_keras_serializable(package="keras_compress")
class BinaryDense(BinaryLayer, keras.layers.Dense):
    """Dense layer of signs: `(sign(x) @ sign(W)) * alpha`, with one alpha a unit.

    Args:
        units: Number of outputs.
        input_quantizer: Name, `Quantizer` or `None` for real inputs. Defaults to `"ste_sign"`.
        kernel_quantizer: Name, `Quantizer` or `None` for a real kernel. Defaults to
            `"magnitude_aware_sign"`.
        input_scale: Whether to multiply by K, the mean of `abs(x)` over the features of each
            sample. Defaults to `False`.
        activation: Function of the result. Defaults to `None`.
        use_bias: Whether to add a bias. Defaults to `False`.
        kernel_constraint: Constraint on the latent kernel. Defaults to `"auto"`: clipped to
            [-1, 1] where the quantizer passes no gradient beyond.
        **kwargs: Everything else `keras.layers.Dense` takes.

    Raises:
        KerasCompressError: If a quantizer is unknown, or `input_scale` is asked for without
            binarized inputs.
    """

    def __init__(
        self,
        units: int,
        input_quantizer: str | Quantizer | None = "ste_sign",
        kernel_quantizer: str | Quantizer | None = "magnitude_aware_sign",
        input_scale: bool = False,
        activation: object = None,
        use_bias: bool = False,
        kernel_constraint: object = "auto",
        **kwargs: Any,
    ) -> None:
        resolved = get_quantizer(kernel_quantizer)
        super().__init__(
            units,
            activation=activation,
            use_bias=use_bias,
            kernel_constraint=kernel_constraint_for(kernel_constraint, resolved),
            **kwargs,
        )
        self.input_quantizer = get_quantizer(input_quantizer)
        self.kernel_quantizer = resolved
        self.input_scale = check_input_scale(input_scale, self.input_quantizer)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        outputs = ops.matmul(self.quantize_inputs(inputs), self.quantized_kernel)
        if self.input_scale:
            outputs = ops.multiply(outputs, dense_input_scale(inputs))
        if self.use_bias:
            outputs = ops.add(outputs, self.bias)
        return outputs if self.activation is None else self.activation(outputs)

    def get_config(self) -> dict[str, object]:
        return {
            **super().get_config(),
            **self._quantizer_config(),
            "input_scale": self.input_scale,
        }
