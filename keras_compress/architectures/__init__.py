"""Whole nets: those the papers' tables name, small ones to try on, and nets to binarize."""

from __future__ import annotations

from keras_compress.architectures.binary_nets import binary_resnet8, birealnet_18, vgg_small
from keras_compress.architectures.lenet import lenet_5, lenet_300_100
from keras_compress.architectures.resnet8 import resnet8
from keras_compress.architectures.small_cnn import digits_cnn, small_cnn

__all__ = [
    "binary_resnet8",
    "birealnet_18",
    "digits_cnn",
    "lenet_300_100",
    "lenet_5",
    "resnet8",
    "small_cnn",
    "vgg_small",
]
