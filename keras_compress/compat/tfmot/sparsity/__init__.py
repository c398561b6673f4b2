"""`tfmot.sparsity`: holds `keras`, as tfmot does."""

from keras_compress.compat.tfmot.sparsity import keras

__all__ = ["keras"]
