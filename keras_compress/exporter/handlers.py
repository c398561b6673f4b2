"""Layers that need another computation in the exported file than in training.

The exporter knows no layer of the training packages. A layer that has to look different on the
device, say because it becomes a custom operation, registers a handler here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from keras_compress.errors import ExportError

if TYPE_CHECKING:
    import keras

__all__ = ["handler_for", "register_export_handler"]

Handler = Callable[..., Any]

_HANDLERS: dict[type, Handler] = {}


def register_export_handler(layer_class: type, handler: Handler | None = None) -> Any:
    """Have `handler` compute the outputs of `layer_class` layers while a model is exported.

    The handler also serves subclasses, unless they have one of their own. Verification still
    compares the exported model with what the layer itself computes.

    Example:

    ```python
    import keras
    from keras_compress import exporter

    class HardSwish(keras.layers.Layer):
        def call(self, x):
            return x * keras.ops.clip(x / 6 + 0.5, 0, 1)

    @exporter.register_export_handler(HardSwish)
    def export_hard_swish(layer, x):
        return x * keras.ops.relu6(x + 3) / 6
    ```

    Args:
        layer_class: A subclass of `keras.layers.Layer`.
        handler: `handler(layer, *args, **kwargs)` is called in place of
            `layer.call(*args, **kwargs)` and returns tensors of the same shapes. Defaults to
            `None`, which makes this a decorator.

    Raises:
        ExportError: If `layer_class` is not a class or has a handler already.
    """
    if not isinstance(layer_class, type):
        raise ExportError(
            f"An export handler is registered for a class. Received: {layer_class!r}."
        )
    if handler is None:
        return lambda function: register_export_handler(layer_class, function) or function
    if _HANDLERS.get(layer_class, handler) is not handler:
        raise ExportError(
            f"A class has one export handler. Received: a second one for {layer_class.__name__}."
        )
    _HANDLERS[layer_class] = handler
    return None


def handler_for(layer: keras.Layer) -> Handler | None:
    """Return the handler for `layer`'s class or its nearest registered base, or `None`."""
    for cls in type(layer).__mro__:
        if cls in _HANDLERS:
            return _HANDLERS[cls]
    return None
