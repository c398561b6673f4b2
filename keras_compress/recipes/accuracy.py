"""Accuracy of the file that is shipped: the `.tflite` run on labelled images, one by one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keras_compress.errors import KerasCompressError
from keras_compress.tflite.model_file import Tensor
from keras_compress.tflite.reader import read_tflite
from keras_compress.tflite.running import quantized
from keras_compress.tflite.runtime import load_runtime, make_interpreter
from keras_compress.tflite.schema import NUMPY_TYPES

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
    file = read_tflite(tflite)
    shapes = [file.tensor(index).shape for index in file.inputs]
    if shapes != [(1, *images.shape[1:])] or len(file.outputs) != 1:
        raise KerasCompressError(
            f"The model must take one image of {images.shape[1:]} and return one vector of "
            f"scores. Received: inputs of {shapes} and {len(file.outputs)} outputs."
        )
    if len(images) == 0 or len(labels) != len(images):
        raise KerasCompressError(
            "Accuracy needs at least one image, and a label for each. "
            f"Received: {len(images)} images, {len(labels)} labels."
        )
    (source,), (result,) = file.inputs, file.outputs
    interpreter = make_interpreter(load_runtime(), tflite, threads=threads)
    interpreter.allocate_tensors()
    right = 0
    for image, label in zip(_as_input(images, file.tensor(source)), labels, strict=True):
        interpreter.set_tensor(source, image[np.newaxis])
        interpreter.invoke()
        right += int(np.argmax(interpreter.get_tensor(result))) == int(label)
    return right / len(images)


def _as_input(images: NDArray[np.float32], tensor: Tensor) -> NDArray[np.generic]:
    if tensor.dtype in NUMPY_TYPES and NUMPY_TYPES[tensor.dtype].kind == "f":
        return images.astype(NUMPY_TYPES[tensor.dtype])
    if not tensor.scales.size:
        raise KerasCompressError(
            f"The model's {tensor.dtype.lower()} input must say its scale. Received: no "
            "quantization parameters."
        )
    return quantized(images, tensor)
