"""Blocks of small nets, as functions of stock layers: a Keras tensor in, a Keras tensor out."""

from __future__ import annotations

from keras_compress.architectures.blocks.convolution import conv_bn, depthwise_bn
from keras_compress.architectures.blocks.fire import fire
from keras_compress.architectures.blocks.mobile import depthwise_separable, inverted_residual
from keras_compress.architectures.blocks.residual import basic_residual
from keras_compress.architectures.blocks.shuffle import (
    channel_shuffle,
    shuffle_unit,
    shuffle_unit_v2,
)
from keras_compress.architectures.blocks.squeeze_excite import squeeze_excite

__all__ = [
    "basic_residual",
    "channel_shuffle",
    "conv_bn",
    "depthwise_bn",
    "depthwise_separable",
    "fire",
    "inverted_residual",
    "shuffle_unit",
    "shuffle_unit_v2",
    "squeeze_excite",
]
