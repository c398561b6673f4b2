"""Walks the layers of a model, however they are nested, by public attributes alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras


def iter_layers(root: object) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yield `(ancestors, layer)` for every layer under `root`, each layer once, parents first.

    Looks through nested models, wrappers, recurrent cells and composite layers. `ancestors`
    runs from just under `root` to the layer's parent.
    """
    seen: set[int] = {id(root)}
    stack: list[tuple[tuple[Any, ...], Any]] = [((), child) for child in _children(root)]
    stack.reverse()
    while stack:
        ancestors, layer = stack.pop()
        if id(layer) in seen:
            continue
        seen.add(id(layer))
        yield ancestors, layer
        below = (*ancestors, layer)
        stack.extend((below, child) for child in reversed(_children(layer)))


def wrapped_layer(layer: keras.Layer) -> keras.Layer:
    """Return the layer that `layer` runs on other weights, or `None` if it is no such wrapper.

    Such wrappers, those of the training techniques, say `requires_finalize` and hold the wrapped
    layer as `layer`.
    """
    return getattr(layer, "layer", None) if getattr(layer, "requires_finalize", False) else None


def _children(layer: keras.Layer) -> list[keras.Layer]:
    import keras

    if isinstance(layer, keras.Model):
        return list(layer.layers)
    # Layers keep no public list of the layers within; what Keras tracks are their attributes.
    found: list[Any] = []
    for value in vars(layer).values():
        items = value.values() if isinstance(value, dict) else value
        if isinstance(value, keras.Layer):
            found.append(value)
        elif isinstance(value, list | tuple | dict):
            found.extend(item for item in items if isinstance(item, keras.Layer))
    return found
