"""Whole nets: those the papers' tables name, small ones to try on, and nets to binarize.

The blocks they are made of stand in `keras_compress.architectures.blocks`.
"""

from __future__ import annotations

from keras_compress.architectures import blocks
from keras_compress.architectures.binary_nets import binary_resnet8, birealnet_18, vgg_small
from keras_compress.architectures.cifar_nets import cifar_resnet, cifar_vgg16
from keras_compress.architectures.lenet import lenet_5, lenet_300_100
from keras_compress.architectures.mobilenet import mobilenet
from keras_compress.architectures.resnet8 import resnet8
from keras_compress.architectures.shufflenet import shufflenet, shufflenet_v2
from keras_compress.architectures.small_cnn import digits_cnn, small_cnn
from keras_compress.architectures.squeezenet import squeezenet

__all__ = [
    "binary_resnet8",
    "birealnet_18",
    "blocks",
    "cifar_resnet",
    "cifar_vgg16",
    "digits_cnn",
    "lenet_300_100",
    "lenet_5",
    "mobilenet",
    "resnet8",
    "shufflenet",
    "shufflenet_v2",
    "small_cnn",
    "squeezenet",
    "vgg_small",
]
