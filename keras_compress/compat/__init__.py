"""Drop-in faces of other packages' interfaces over the engines of this one."""

from keras_compress.compat import tfmot

__all__ = ["tfmot"]
