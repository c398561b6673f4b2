"""An activation with its input or its result quantized, as TFLite's operators have it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    import keras

    from keras_compress.tensor import Tensor

# Operators of their own, which take a quantized input; and those fused into the one before them,
# of which only the result is.
_BEFORE = frozenset({"softmax", "sigmoid", "tanh", "gelu"})
_AFTER = frozenset({"linear", "relu", "relu6", "silu", "swish", "gelu"})


class QuantizedActivation:
    """An activation of a layer and its quantizer.

    Args:
        function: The activation.
        quantizer: A `Quantizer`.
        wrapper: The layer that holds the quantizer's variables.

    Raises:
        KerasCompressError: A `ValueError`, if it isn't known where the activation is quantized.
    """

    def __init__(self, function: Any, quantizer: Any, wrapper: keras.Layer) -> None:
        name = getattr(function, "__name__", type(function).__name__)
        if name not in _BEFORE | _AFTER:
            raise KerasCompressError(
                "Only some of `keras.activations` can be quantized: "
                f"{', '.join(sorted(_BEFORE | _AFTER))}. Received: {name!r}. Leave it out of "
                "`get_activations_and_quantizers` and quantize the result by "
                "`get_output_quantizers`."
            )
        self._function, self._name, self._quantizer = function, name, quantizer
        build = quantizer.build
        self._before = build(None, "pre_activation", wrapper) if name in _BEFORE else None
        self._after = build(None, "post_activation", wrapper) if name in _AFTER else None

    def in_mode(self, training: bool) -> Callable[[Any], Any]:
        """Return the activation as it is computed in training or outside of it."""

        def activation(inputs: Tensor) -> Tensor:
            if self._name in _BEFORE:
                inputs = self._quantizer(inputs, training, weights=self._before)
            outputs = self._function(inputs)
            if self._name in _AFTER:
                outputs = self._quantizer(outputs, training, weights=self._after)
            return outputs

        activation.__name__ = self._name
        return activation
