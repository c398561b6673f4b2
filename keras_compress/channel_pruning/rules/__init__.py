"""The rules for the layers of Keras, a family in each file; importing this registers them."""

from keras_compress.channel_pruning.rules import (  # noqa: F401
    attention,
    convolutions,
    dense,
    elementwise,
    normalization,
    pooling,
    recurrent,
    shapes,
    slicing,
    wrapping,
)
