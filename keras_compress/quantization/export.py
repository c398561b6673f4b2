"""What the exporter writes for quantized layers: TensorFlow's own marks of trained ranges.

TFLite's converter takes `FakeQuant` operations as the ranges of what they mark and needs no
calibration where all activations have them. A kernel that it turns around loses the steps of its
channels on the way; in 8 bits of the whole range it finds the same ones from the values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_compress.exporter import ExportError, register_export_handler
from keras_compress.quantization.fake_quantize import FakeQuantize
from keras_compress.quantization.kernel_operators import operator_of
from keras_compress.quantization.numerics import weight_limit
from keras_compress.quantization.quantized import Quantized

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

__all__: list[str] = []

# Steps of channels without any weight other than zero: the converter wants a number.
_STEP_OF_ZEROS = 1.0 / 127
# A step that is none: a normalization turned the channel off.
_MIN_MARKED = 1e-20


@register_export_handler(FakeQuantize)
def _export_range(
    layer: keras.Layer,
    inputs: Tensor,
    training: bool = False,
    slot: int | None = 0,
    terms: Any = None,
    steps: Any = None,
) -> Any:
    import tensorflow as tf

    # Ranges are numbers in the file, so they are computed while the graph is traced, not in it.
    with tf.init_scope():
        ends = layer.trained_range()
        step = float(keras.ops.convert_to_numpy(layer.grid()[0]))
    if ends is None:
        raise ExportError(
            "Ranges of activations come from data. Received: a model that has seen none at "
            f"{layer.name!r}. Train it, or call `quantization.calibrate(model, x)`."
        )
    if slot is None:
        # The operator before it, such as a pooling, keeps the range of its input.
        return inputs, tf.constant(step)
    marked = tf.quantization.fake_quant_with_min_max_vars(
        inputs, *ends, num_bits=layer.quantizer.bits
    )
    return marked, tf.constant(step)


@register_export_handler(Quantized)
def _export_kernel(
    layer: keras.Layer,
    inputs: Tensor,
    input_step: object = None,
    training: bool = False,
    with_steps: bool = False,
) -> Any:
    import tensorflow as tf

    step = None if input_step is None else tf.get_static_value(input_step)
    with tf.init_scope():
        kernel, bias, steps = layer.folded(None if step is None else float(step))
    operator = operator_of(layer.layer)
    outputs = operator.compute(  # type: ignore[union-attr]
        layer.layer, inputs, _marked_kernel(layer, kernel, steps)
    )
    # Of zeros the converter would leave no bias at all.
    outputs = tf.nn.bias_add(outputs, tf.constant(bias))
    if layer.activation != "linear":
        outputs = tf.nn.relu6(outputs) if layer.activation == "relu6" else tf.nn.relu(outputs)
    # The runtime has the steps of sums from those of inputs and kernel.
    return (outputs, tf.constant(steps)) if with_steps else outputs


def _marked_kernel(layer: keras.Layer, kernel: np.ndarray, steps: np.ndarray) -> Tensor:
    """Return the kernel as a constant, its range marked where it isn't told by the values."""
    import tensorflow as tf

    bits = _stored_bits(layer)
    limit = weight_limit(bits)
    if not layer.quantizer.per_channel:
        end = float(steps[0]) * limit
        return tf.quantization.fake_quant_with_min_max_vars(
            tf.constant(kernel), -end, end, num_bits=bits, narrow_range=True
        )
    if isinstance(layer.layer, keras.layers.Dense | keras.layers.Conv2DTranspose):
        return tf.constant(kernel)
    # A depthwise kernel counts its channels along two axes, and the file along one.
    flat = kernel
    if isinstance(layer.layer, keras.layers.DepthwiseConv2D):
        flat = kernel.reshape(*kernel.shape[:2], 1, -1)
    empty = ~np.abs(flat).max(axis=tuple(range(flat.ndim - 1))).astype(bool)
    if layer.quantizer.range == "learned":
        # A channel of zeros has a step all the same, and its bias hangs on it.
        empty &= steps < _MIN_MARKED
    ends = np.where(empty, np.float32(_STEP_OF_ZEROS), steps).astype(np.float32) * limit
    marked = tf.quantization.fake_quant_with_min_max_vars_per_channel(
        tf.constant(flat), -ends, ends, num_bits=bits, narrow_range=True
    )
    return marked if flat is kernel else tf.reshape(marked, kernel.shape)


def _stored_bits(layer: keras.Layer) -> int:
    """Return the bits in which the file holds a weight: 8, of which few are used, or 4."""
    quantizer, inner = layer.quantizer, layer.layer
    if quantizer.bits != 4 or isinstance(inner, keras.layers.Conv2DTranspose):
        return 8
    if quantizer.storage == "auto":
        return 4 if isinstance(inner, keras.layers.Dense) else 8
    return 4 if quantizer.storage == "int4" else 8
