"""Shapes for a model's inputs instead of its own, where it leaves sizes open."""

from __future__ import annotations

from typing import Any

from keras_compress.errors import KerasCompressError

__all__ = ["set_shapes"]

# What converters put before the names of a SavedModel's inputs.
_PREFIX = "serving_default_"


def set_shapes(interpreter: Any, shapes: dict[str, list[int]] | None, model: str) -> None:
    """Give inputs of `interpreter`, whose tensors are not allocated yet, other shapes.

    Args:
        interpreter: The runtime's.
        shapes: By an input's name, with or without what converters put around it; by the empty
            name that of a lone input. `None` for the model's own.
        model: What errors call the model.

    Raises:
        KerasCompressError: If there is no such input, or the runtime refuses a shape.
    """
    if shapes is None:
        return
    inputs = interpreter.get_input_details()
    known = ", ".join(f"{_plain(each['name'])} {_shown(each)}" for each in inputs)
    for name, shape in shapes.items():
        found = [each for each in inputs if name in ("", each["name"], _plain(each["name"]))]
        if len(found) != 1:
            wanted = (
                "The input of a shape must be named where there are several"
                if not name
                else (f"A shape must be for an input of the model, not {name!r}")
            )
            raise KerasCompressError(f"{wanted}. Received: {model} with the inputs {known}.")
        if len(shape) != len(found[0]["shape"]):
            raise KerasCompressError(
                f"A shape must have as many sizes as the model's input. Received: {shape} for "
                f"{model} with {known}."
            )
        try:
            interpreter.resize_tensor_input(found[0]["index"], shape)
        except (RuntimeError, ValueError) as error:
            raise KerasCompressError(
                f"The runtime refuses the shape {shape} for {model} with {known}: "
                f"{' '.join(str(error).split())[:200]}"
            ) from error


def _plain(name: str) -> str:
    return name.removeprefix(_PREFIX).rsplit(":", 1)[0]


def _shown(details: Any) -> list[int]:
    signature = details.get("shape_signature", ())
    return [int(size) for size in (signature if len(signature) else details["shape"])]
