"""Accuracy of the file that is shipped: the `.tflite` run on labelled images, one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_compress.errors import KerasCompressError
from keras_compress.runtime import load_runtime, make_interpreter

__all__ = ["tflite_accuracy"]


def tflite_accuracy(
    tflite: bytes, images: NDArray[np.float32], labels: NDArray[np.integer], *, threads: int = 1
) -> float:
    """Return the share of `images` that a `.tflite` classifier labels rightly.

    Integer inputs are quantized as the file says; for the outputs only their order counts.

    Args:
        tflite: Bytes of a `.tflite` file with one input and one output.
        images: `(images, height, width, channels)`.
        labels: `(images,)`.
        threads: Threads of the interpreter. Defaults to `1`.

    Returns:
        The accuracy, from 0 to 1.

    Raises:
        KerasCompressError: If the model doesn't take one such image and return one score a
            class, or there are no images.
    """
    interpreter = make_interpreter(load_runtime(), tflite, threads=threads)
    interpreter.allocate_tensors()
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    if len(inputs) != 1 or len(outputs) != 1 or tuple(inputs[0]["shape"]) != (1, *images.shape[1:]):
        shapes = [tuple(map(int, item["shape"])) for item in inputs]
        raise KerasCompressError(
            f"The model must take one image of {images.shape[1:]} and return one vector of "
            f"scores. Received: inputs of {shapes} and {len(outputs)} outputs."
        )
    if len(images) == 0 or len(labels) != len(images):
        raise KerasCompressError(
            "Accuracy needs at least one image, and a label for each. "
            f"Received: {len(images)} images, {len(labels)} labels."
        )
    right = 0
    for image, label in zip(_as_input(images, inputs[0]), labels, strict=True):
        interpreter.set_tensor(inputs[0]["index"], image[np.newaxis])
        interpreter.invoke()
        right += int(np.argmax(interpreter.get_tensor(outputs[0]["index"]))) == int(label)
    return right / len(images)


def _as_input(images: NDArray[np.float32], detail: dict[str, Any]) -> NDArray[np.generic]:
    dtype = np.dtype(detail["dtype"])
    if dtype.kind == "f":
        return images.astype(dtype)
    scale, zero_point = detail["quantization"]
    if not scale:
        raise KerasCompressError(
            f"The model's {dtype} input must say its scale. Received: no quantization parameters."
        )
    bounds = np.iinfo(dtype)
    return np.clip(np.round(images / scale + zero_point), bounds.min, bounds.max).astype(dtype)
