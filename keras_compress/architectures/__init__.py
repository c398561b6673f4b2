"""Whole nets in stock Keras layers: those the papers' tables name, and small ones to try on."""

from __future__ import annotations

from keras_compress.architectures.lenet import lenet_5, lenet_300_100
from keras_compress.architectures.resnet8 import resnet8
from keras_compress.architectures.small_cnn import digits_cnn, small_cnn

__all__ = ["digits_cnn", "lenet_300_100", "lenet_5", "resnet8", "small_cnn"]
