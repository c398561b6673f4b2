"""What the exporter computes binary layers with: kernels that are binarized once.

Traced as in training, a kernel would be binarized anew from its latent weights whenever the file
is run, and the converter would fold nothing into it.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_compress.binary.binary_layer import BinaryLayer, constant_kernel
from keras_compress.exporter import register_export_handler

__all__: list[str] = []


@register_export_handler(BinaryLayer)
def _export_layer(layer: keras.Layer, *args: Any, **kwargs: Any) -> Any:
    if not layer.has_binary_kernel:
        return type(layer).call(layer, *args, **kwargs)
    import tensorflow as tf

    # A number in the file, so it is computed while the graph is traced, not in it.
    with tf.init_scope():
        kernel = np.asarray(keras.ops.convert_to_numpy(layer.quantized_kernel), np.float32)
    with constant_kernel(layer, kernel):
        return type(layer).call(layer, *args, **kwargs)
