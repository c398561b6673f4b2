"""A depthwise convolution with a binarized kernel, binarized inputs, or both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from keras_compress.binary.binary_layer import check_input_scale, kernel_constraint_for
from keras_compress.binary.padding import check_pad_values
from keras_compress.binary.quantizers import Quantizer, get_quantizer
from keras_compress.binary.spatial_layer import BinarySpatialLayer

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

__all__ = ["BinaryDepthwiseConv2D"]


@keras.saving.register_keras_serializable(package="keras_compress")
class BinaryDepthwiseConv2D(BinarySpatialLayer, keras.layers.DepthwiseConv2D):
    """Depthwise 2D convolution whose filters are signs times alpha.

    One filter is one channel of the input under one of `depth_multiplier` kernels, so each
    output channel has its own alpha. A binary depthwise sum has few terms (9 for 3x3) and so
    few levels: keep an eye on the accuracy.

    Args:
        kernel_size: Height and width of the kernel: one number or two.
        strides: Steps down and across, equal. Defaults to `(1, 1)`.
        padding: `"valid"` or `"same"`. Defaults to `"valid"`.
        pad_values: What `"same"` pads the quantized inputs with, `0` or `1`. Defaults to `0.0`.
        depth_multiplier: Output channels of each input channel. Defaults to `1`.
        data_format: As in `keras.layers.DepthwiseConv2D`. Defaults to `None`.
        dilation_rate: Spacing of the kernel's taps. Defaults to `(1, 1)`.
        input_quantizer: Name, `Quantizer` or `None` for real inputs. Defaults to `"ste_sign"`.
        kernel_quantizer: Name, `Quantizer` or `None` for a real kernel. Defaults to
            `"magnitude_aware_sign"`.
        input_scale: Whether to multiply by K, here the magnitude of each channel under the
            kernel. Defaults to `False`.
        activation: Function of the result. Defaults to `None`.
        use_bias: Whether to add a bias. Defaults to `False`.
        depthwise_constraint: Constraint on the latent kernel. Defaults to `"auto"`: clipped to
            [-1, 1] where the quantizer passes no gradient beyond.
        **kwargs: Everything else `keras.layers.DepthwiseConv2D` takes.

    Raises:
        KerasCompressError: If a quantizer is unknown, `pad_values` is neither 0 nor 1, or
            `input_scale` is asked for without binarized inputs.
    """

    filter_axes = (-2, -1)

    def __init__(
        self,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = (1, 1),
        padding: str = "valid",
        pad_values: float = 0.0,
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: int | Sequence[int] = (1, 1),
        input_quantizer: str | Quantizer | None = "ste_sign",
        kernel_quantizer: str | Quantizer | None = "magnitude_aware_sign",
        input_scale: bool = False,
        activation: object = None,
        use_bias: bool = False,
        depthwise_constraint: object = "auto",
        **kwargs: Any,
    ) -> None:
        resolved = get_quantizer(kernel_quantizer)
        super().__init__(
            kernel_size,
            strides=strides,
            padding=padding,
            depth_multiplier=depth_multiplier,
            data_format=data_format,
            dilation_rate=dilation_rate,
            activation=activation,
            use_bias=use_bias,
            depthwise_constraint=kernel_constraint_for(depthwise_constraint, resolved),
            **kwargs,
        )
        self.input_quantizer = get_quantizer(input_quantizer)
        self.kernel_quantizer = resolved
        self.pad_values = check_pad_values(pad_values)
        self.input_scale = check_input_scale(input_scale, self.input_quantizer)

    def _convolve(self, x: Tensor, padding: str) -> Tensor:
        return ops.depthwise_conv(
            x,
            self.quantized_kernel,
            strides=self.strides,
            padding=padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )

    def _filters_by_group(self, channels: int) -> tuple[int, int]:
        return channels, self.depth_multiplier
