"""Activation functions that treat each channel alone."""

from __future__ import annotations

import keras

from keras_compress.channel_pruning.call import LayerCall
from keras_compress.channel_pruning.coupling import Labels

__all__ = ["is_elementwise", "keep_mixed"]

_NAMES = (
    "linear", "relu", "relu6", "silu", "sigmoid", "hard_sigmoid", "hard_silu", "tanh", "elu",
    "selu", "gelu", "leaky_relu", "softplus", "softsign", "exponential", "mish", "celu",
    "hard_tanh", "log_sigmoid", "squareplus", "soft_shrink", "hard_shrink", "tanh_shrink",
    "threshold", "sparse_sigmoid", "sparse_plus",
)  # fmt: skip

_FUNCTIONS = [
    getattr(keras.activations, name) for name in _NAMES if hasattr(keras.activations, name)
]

_LAYERS = (keras.layers.ReLU, keras.layers.LeakyReLU, keras.layers.ELU)


def is_elementwise(activation: object) -> bool:
    """Whether an activation treats each element alone, as far as is known."""
    if activation is None or type(activation) in _LAYERS:
        return True
    return any(activation is function for function in _FUNCTIONS)


def keep_mixed(call: LayerCall, labels: Labels) -> None:
    """Freeze what a layer makes if its activation mixes channels."""
    activation = call.layer.activation
    if not is_elementwise(activation):
        name = getattr(activation, "__name__", None) or getattr(activation, "name", activation)
        call.freeze(labels, f"its activation {name} goes over all channels, or isn't known")
