"""Binarized layers: Binary-Weight-Networks and XNOR-Net (arXiv 1603.05279), on `keras.ops`.

What a binarized layer computes, which is what exporters and kernels reproduce:

- `x = input_quantizer(inputs)`, or the inputs themselves where it is `None`. `has_binary_input`
  tells whether x is -1 or +1; `sign(0)` is +1.
- With `padding="same"`, x is padded by `pad_values` after it is quantized: 0, which is no level
  and adds nothing to a sum, or 1. The odd row and column go below and to the right.
- `kernel = levels * scale`, both by `binarized_kernel()`. `has_binary_kernel` tells whether the
  levels are -1 and +1 (int8, in the shape of the latent kernel: `(height, width, channels /
  groups, filters)`, depthwise `(height, width, channels, depth_multiplier)`, dense `(features,
  units)`). The scale is float32, `(filters,)`, in the order of the output channels.
- `outputs = conv(x, kernel)`, with `strides`, `dilation_rate`, `groups` and `data_format` as in
  Keras.
- With `input_scale`, the outputs are multiplied by K of the real inputs, padded by `pad_values`
  likewise: the mean of `abs(inputs)` over the channels of a group, under a box filter of
  `1 / (height * width)`, the same strides and dilation (`input_scale_map`).
- Then the bias where `use_bias`, then the `activation`.

BWN is `input_quantizer=None`; XNOR-Net is the default; with K, `input_scale=True`.
"""

from __future__ import annotations

from keras_compress.binary import export as _export  # noqa: F401
from keras_compress.binary.activation import Quantize
from keras_compress.binary.binary_layer import BinarizedKernel, is_binary_variable
from keras_compress.binary.blocks import bacp_block
from keras_compress.binary.bop import Bop
from keras_compress.binary.case_optimizer import CaseOptimizer
from keras_compress.binary.constraints import WeightClip
from keras_compress.binary.convolution import BinaryConv2D
from keras_compress.binary.dense import BinaryDense
from keras_compress.binary.depthwise_convolution import BinaryDepthwiseConv2D
from keras_compress.binary.flip_ratio import FlipRatio, FlipRatioCallback
from keras_compress.binary.quantizers import (
    ApproxSign,
    DoReFa,
    Heaviside,
    MagnitudeAwareSign,
    Quantizer,
    SteSign,
    SteTern,
    SwishSign,
    get_quantizer,
    quantizer_names,
)
from keras_compress.binary.summary import LayerSummary, ModelSummary, summarize

__all__ = [
    "ApproxSign",
    "BinarizedKernel",
    "BinaryConv2D",
    "BinaryDense",
    "BinaryDepthwiseConv2D",
    "Bop",
    "CaseOptimizer",
    "DoReFa",
    "FlipRatio",
    "FlipRatioCallback",
    "Heaviside",
    "LayerSummary",
    "MagnitudeAwareSign",
    "ModelSummary",
    "Quantize",
    "Quantizer",
    "SteSign",
    "SteTern",
    "SwishSign",
    "WeightClip",
    "bacp_block",
    "get_quantizer",
    "is_binary_variable",
    "quantizer_names",
    "summarize",
]
