"""`tfmot.quantization`: holds `keras`, as tfmot does."""

from keras_compress.compat.tfmot.quantization import keras

__all__ = ["keras"]
