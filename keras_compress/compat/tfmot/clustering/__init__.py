"""`tfmot.clustering`: holds `keras`, as tfmot does."""

from keras_compress.compat.tfmot.clustering import keras

__all__ = ["keras"]
