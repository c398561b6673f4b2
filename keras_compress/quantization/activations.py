"""Which activations the device has integers for, and on which range."""

from __future__ import annotations

import keras

__all__ = ["FIXED_RANGES", "activation_name", "fusable"]

#: Results whose range the operator fixes, in LiteRT's 8-bit specification.
FIXED_RANGES = {
    "softmax": (0.0, 255 / 256),
    "sigmoid": (0.0, 255 / 256),
    "tanh": (-1.0, 127 / 128),
}

_FUNCTIONS = {
    keras.activations.linear: "linear",
    keras.activations.relu: "relu",
    keras.activations.relu6: "relu6",
    keras.activations.softmax: "softmax",
    keras.activations.sigmoid: "sigmoid",
    keras.activations.tanh: "tanh",
    keras.activations.leaky_relu: "leaky_relu",
    keras.activations.silu: "silu",
}

_OF_TENSORFLOW = {"relu": "relu", "relu6": "relu6", "sigmoid": "sigmoid", "tanh": "tanh"}

#: Operations of `keras.ops` by the names of their classes.
_OPERATIONS = {
    "Relu": "relu",
    "Relu6": "relu6",
    "Softmax": "softmax",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Silu": "silu",
}


def activation_name(layer: keras.Layer) -> str | None:
    """Return the name of what a layer or operation applies to each value; `None` if unknown.

    Args:
        layer: An activation layer, an operation of `keras.ops`, or a function.
    """
    if not isinstance(layer, keras.Layer | keras.Operation):
        return _function_name(layer)
    kind = type(layer)
    if kind is keras.layers.Activation:
        return _function_name(layer.activation)
    if kind is keras.layers.ReLU:
        return _relu(layer)
    if kind is keras.layers.LeakyReLU:
        return "leaky_relu"
    if kind is keras.layers.Softmax:
        return "softmax" if layer.axis == -1 else None
    if not isinstance(layer, keras.Layer):
        name = _OPERATIONS.get(kind.__name__)
        return None if name == "softmax" and layer.axis != -1 else name
    return None


def fusable(name: str | None) -> bool:
    """Whether the device computes an activation with the operator before it."""
    return name in ("relu", "relu6")


def _function_name(function: object) -> str | None:
    if function in _FUNCTIONS:
        return _FUNCTIONS[function]
    # Of TensorFlow's own, such as `tf.nn.relu`, by their names: it isn't imported for them.
    of_tensorflow = getattr(function, "__module__", "").split(".")[0] == "tensorflow"
    return _OF_TENSORFLOW.get(getattr(function, "__name__", "")) if of_tensorflow else None


def _relu(layer: keras.Layer) -> str | None:
    if layer.threshold != 0:
        return None
    if layer.negative_slope:
        return None
    return {None: "relu", 6.0: "relu6"}.get(layer.max_value)
