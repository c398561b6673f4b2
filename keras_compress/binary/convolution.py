"""A convolution with a binarized kernel, binarized inputs, or both."""

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

__all__ = ["BinaryConv2D"]


@keras.saving.register_keras_serializable(package="keras_compress")
class BinaryConv2D(BinarySpatialLayer, keras.layers.Conv2D):
    """2D convolution of XNOR-Net or, with real inputs, of Binary-Weight-Networks.

    By default both inputs and kernel are binarized and each filter has its alpha:
    `conv(sign(x), sign(W)) * alpha`. `input_quantizer=None` makes a BWN layer. Put a
    `BatchNormalization` before it (see `bacp_block`), or most inputs have one sign.

    Example:

    ```python
    layer = keras_compress.binary.BinaryConv2D(64, 3, padding="same")
    layer(np.random.normal(size=(1, 8, 8, 32))).shape  # (1, 8, 8, 64)
    layer.binarized_kernel().levels.dtype  # int8: -1 and +1
    ```

    Args:
        filters: Number of output channels.
        kernel_size: Height and width of the kernel: one number or two.
        strides: Steps down and across. Defaults to `(1, 1)`.
        padding: `"valid"` or `"same"`. Defaults to `"valid"`.
        pad_values: What `"same"` pads the quantized inputs with: `0`, which is neither -1 nor
            +1, or `1`. Defaults to `0.0`.
        data_format: As in `keras.layers.Conv2D`. Defaults to `None`.
        dilation_rate: Spacing of the kernel's taps. Defaults to `(1, 1)`.
        groups: Number of groups the channels are split into. Defaults to `1`.
        input_quantizer: Name, `Quantizer` or `None` for real inputs. Defaults to `"ste_sign"`.
        kernel_quantizer: Name, `Quantizer` or `None` for a real kernel. Defaults to
            `"magnitude_aware_sign"`.
        input_scale: Whether to multiply by K, the magnitude of the inputs under the kernel
            (arXiv 1603.05279, equation 11), which costs one small box filter. Defaults to
            `False`.
        activation: Function of the result. Defaults to `None`.
        use_bias: Whether to add a bias. Defaults to `False`: XNOR-Net's filters have none.
        kernel_constraint: Constraint on the latent kernel. Defaults to `"auto"`: clipped to
            [-1, 1] where the quantizer passes no gradient beyond.
        **kwargs: Everything else `keras.layers.Conv2D` takes.

    Raises:
        KerasCompressError: If a quantizer is unknown, `pad_values` is neither 0 nor 1, or
            `input_scale` is asked for without binarized inputs.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = (1, 1),
        padding: str = "valid",
        pad_values: float = 0.0,
        data_format: str | None = None,
        dilation_rate: int | Sequence[int] = (1, 1),
        groups: int = 1,
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
            filters,
            kernel_size,
            strides=strides,
            padding=padding,
            data_format=data_format,
            dilation_rate=dilation_rate,
            groups=groups,
            activation=activation,
            use_bias=use_bias,
            kernel_constraint=kernel_constraint_for(kernel_constraint, resolved),
            **kwargs,
        )
        self.input_quantizer = get_quantizer(input_quantizer)
        self.kernel_quantizer = resolved
        self.pad_values = check_pad_values(pad_values)
        self.input_scale = check_input_scale(input_scale, self.input_quantizer)

    def _convolve(self, x: Tensor, padding: str) -> Tensor:
        return ops.conv(
            x,
            self.quantized_kernel,
            strides=list(self.strides),
            padding=padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )

    def _filters_by_group(self, channels: int) -> tuple[int, int]:
        return self.groups, self.filters // self.groups
