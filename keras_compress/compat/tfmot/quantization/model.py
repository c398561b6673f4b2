"""The model that the calls return: what TFLite's converter reads of it are marks of ranges."""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import keras

from keras_compress.exporter.handlers import handler_for
from keras_compress.layers import iter_layers
from keras_compress.quantization import FakeQuantize

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

# The range that tfmot's quantizers start with.
_UNSEEN = 6.0


@keras.saving.register_keras_serializable(package="keras_compress.tfmot")
class QuantizedModel(keras.Model):
    """A functional model of layers of `keras_compress.quantization`.

    `tf.lite.TFLiteConverter.from_keras_model(model)` makes an integer file of it with
    `optimizations = [tf.lite.Optimize.DEFAULT]`, as of tfmot's; `exporter.convert(model,
    precision="int8")` a verified one.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._is_exported(args, kwargs):
            with _marking(self):
                return super().__call__(*args, **kwargs)
        return super().__call__(*args, **kwargs)

    def predict_step(self, *args: Any, **kwargs: Any) -> Any:
        with self._within_keras():
            return super().predict_step(*args, **kwargs)

    def test_step(self, *args: Any, **kwargs: Any) -> Any:
        with self._within_keras():
            return super().test_step(*args, **kwargs)

    def _is_exported(self, args: object, kwargs: Any) -> bool:
        """Whether this is a TensorFlow function of somebody else's, traced for inference."""
        if keras.backend.backend() != "tensorflow" or kwargs.get("training"):
            return False
        if getattr(self, "_in_keras", False):
            return False
        import tensorflow as tf

        return any(tf.is_symbolic_tensor(x) for x in keras.tree.flatten((args, kwargs)))

    @contextlib.contextmanager
    def _within_keras(self) -> Iterator[None]:
        self._in_keras = True
        try:
            yield
        finally:
            self._in_keras = False


@contextlib.contextmanager
def _marking(model: keras.Model) -> Iterator[None]:
    """Let the layers of `model` compute as the exporter has it, within the block."""
    shadowed = []
    try:
        for _, layer in iter_layers(model):
            handler = _handler(layer)
            if handler is not None and "call" not in vars(layer):
                vars(layer)["call"] = functools.partial(handler, layer)
                shadowed.append(layer)
        yield
    finally:
        for layer in shadowed:
            del vars(layer)["call"]


def _handler(layer: keras.Layer) -> Any:
    import tensorflow as tf

    if isinstance(layer, FakeQuantize):
        with tf.init_scope():
            unseen = layer.trained_range() is None
        if unseen:
            warnings.warn(
                f"The range of {layer.name!r} has seen no data and is taken to be -6 to 6, as "
                "tfmot has it. Train the model before it is converted.",
                stacklevel=4,
            )
            return _mark_unseen
    return handler_for(layer)


def _mark_unseen(
    layer: keras.Layer,
    inputs: Tensor,
    training: bool = False,
    slot: int | None = 0,
    terms: Any = None,
) -> Any:
    import tensorflow as tf

    step = tf.constant(2 * _UNSEEN / 255)
    if slot is None:
        return inputs, step
    return tf.quantization.fake_quant_with_min_max_args(inputs, -_UNSEEN, _UNSEEN), step
