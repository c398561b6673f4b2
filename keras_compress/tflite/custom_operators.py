"""The custom operators of binary layers: their names in a file, and who runs them."""

from __future__ import annotations

import ctypes
import os

from keras_compress.errors import NativeLibraryError
from keras_compress.native_library import library_path

__all__ = ["BINARY_CONVOLUTION", "UNPACK_WEIGHTS", "binary_kernels", "has_binary_operators"]

# A name in a file goes on with advice: a runtime without the delegate prints it.
BINARY_CONVOLUTION = "KcBinaryConv2D"
UNPACK_WEIGHTS = "KcUnpackWeights"


def has_binary_operators(model: bytes) -> bool:
    """Whether a `.tflite` names the operators that this package's delegate runs."""
    return any(name.encode() in model for name in (BINARY_CONVOLUTION, UNPACK_WEIGHTS))


def binary_kernels() -> str:
    """Return the name of the binary kernels that this processor runs best, such as `"avx2"`.

    Raises:
        NativeLibraryError: If the native library is missing or can't be loaded.
    """
    try:
        ask = ctypes.CDLL(os.fspath(library_path())).kc_binary_kernels
    except (OSError, AttributeError) as error:
        raise NativeLibraryError(
            f"Binary operators need the native library {library_path()} ({error})."
        ) from error
    ask.restype = ctypes.c_char_p
    name: bytes = ask()
    return name.decode()
