"""What binarized convolutions have in common: padding with ones, the inputs' scale, the bias."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import keras
from keras import ops

from keras_compress.binary.binary_layer import BinaryLayer
from keras_compress.binary.input_scale import input_scale_map
from keras_compress.binary.padding import pad_same

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor


class BinarySpatialLayer(BinaryLayer):
    """Base of the convolutions; the stock layer of Keras comes after it among the bases."""

    pad_values: float
    input_scale: bool

    # Those of the stock layer.
    padding: str
    data_format: str
    kernel_size: tuple[int, int]
    strides: tuple[int, int]
    dilation_rate: tuple[int, int]
    use_bias: bool
    bias: keras.Variable
    activation: Callable[[Tensor], Tensor] | None

    def _convolve(self, x: Tensor, padding: str) -> Tensor:
        """Return quantized inputs under the quantized kernel."""
        raise NotImplementedError

    def _filters_by_group(self, channels: int) -> tuple[int, int]:
        """Return how many groups of input channels share filters, and the filters of each."""
        raise NotImplementedError

    def call(self, inputs: Tensor) -> Tensor:
        x, padding = self.quantize_inputs(inputs), self.padding
        pads_ones = padding == "same" and self.pad_values != 0
        if pads_ones:
            x, padding = self._pad(x), "valid"
        outputs = self._convolve(x, padding)
        axis = -1 if self.data_format == "channels_last" else 1
        if self.input_scale:
            groups, filters = self._filters_by_group(int(inputs.shape[axis]))
            scale = input_scale_map(
                self._pad(inputs) if pads_ones else inputs,
                groups,
                self.kernel_size,
                self.strides,
                padding,
                self.dilation_rate,
                self.data_format,
            )
            if groups > 1 and filters > 1:
                scale = ops.repeat(scale, filters, axis=axis)
            outputs = ops.multiply(outputs, scale)
        if self.use_bias:
            shape = [1, 1, 1, 1]
            shape[axis] = -1
            outputs = ops.add(outputs, ops.reshape(self.bias, shape))
        return outputs if self.activation is None else self.activation(outputs)

    def _pad(self, x: Tensor) -> Tensor:
        return pad_same(
            x,
            self.kernel_size,
            self.strides,
            self.dilation_rate,
            self.data_format,
            self.pad_values,
        )

    def get_config(self) -> dict[str, object]:
        return {
            **super().get_config(),  # type: ignore[misc]
            **self._quantizer_config(),
            "pad_values": self.pad_values,
            "input_scale": self.input_scale,
        }
