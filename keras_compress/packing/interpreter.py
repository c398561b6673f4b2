"""Opening a model file, packed or not, in the TFLite runtime."""

from __future__ import annotations

import os
from typing import Any

from keras_compress.errors import KerasCompressError, ModelFileError
from keras_compress.packing.pack import MAGIC, unpack
from keras_compress.storage import read_file
from keras_compress.tflite.runtime import load_runtime, make_interpreter
from keras_compress.tflite.schema import check_model_bytes

__all__ = ["load_interpreter"]


def load_interpreter(
    path: str | os.PathLike[str],
    *,
    threads: int = 1,
    kernels: str | None = None,
) -> Any:
    """Open a `.tflite` or `.kcz` file, with the binary delegate where the model needs it.

    Args:
        path: The file.
        threads: Number of threads. Defaults to `1`.
        kernels: As for `make_interpreter`. Defaults to `None`.

    Returns:
        The `Interpreter` of the TFLite runtime that is installed, its tensors allocated.

    Raises:
        KerasCompressError: If the file is missing or no model, or if the runtime refuses it.
    """
    data = read_file(path)
    if data.startswith(MAGIC):
        data = unpack(data)
    check_model_bytes(data, name=str(path))
    try:
        interpreter = make_interpreter(load_runtime(), data, threads=threads, kernels=kernels)
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        if isinstance(error, KerasCompressError):
            raise
        raise ModelFileError(f"The runtime refused {path}: {error}") from error
    return interpreter
