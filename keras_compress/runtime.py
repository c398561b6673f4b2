"""Finding a TFLite runtime, and the checks a model's bytes pass before they reach one.

`ai_edge_litert` is tried first, then `tflite_runtime`, then `tf.lite`. Nothing is imported until
an interpreter is asked for.
"""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from typing import Any

from keras_compress.errors import KerasCompressError, ModelFileError, NativeLibraryError
from keras_compress.installed import version_of

__all__ = [
    "Runtime",
    "check_model_bytes",
    "load_interpreter",
    "load_runtime",
    "make_interpreter",
]

# Module that holds `Interpreter`, and what the runtime is called.
_CANDIDATES = (
    ("ai_edge_litert.interpreter", "ai-edge-litert"),
    ("tflite_runtime.interpreter", "tflite-runtime"),
    ("tensorflow.lite.python.interpreter", "tensorflow"),
)

_IDENTIFIER = b"TFL3"
_SMALLEST_MODEL = 16


@dataclass(frozen=True)
class Runtime:
    """A TFLite runtime: the module that holds `Interpreter`, its name and its version."""

    module: Any
    name: str
    version: str


def load_runtime() -> Runtime:
    """Import and return the first TFLite runtime that is installed.

    Raises:
        KerasCompressError: If none is.
    """
    for module_name, name in _CANDIDATES:
        try:
            module = importlib.import_module(module_name)
        except ImportError:
            continue
        version = version_of(module_name.partition(".")[0]) or "unknown"
        return Runtime(module, name, version)
    raise KerasCompressError(
        "Running a model needs a TFLite runtime, and none is installed. "
        "Install one with `pip install ai-edge-litert`."
    )


def make_interpreter(
    runtime: Runtime,
    model: bytes,
    *,
    threads: int = 1,
    delegate: str = "xnnpack",
    keep_every_tensor: bool = False,
    kernels: str | None = None,
) -> Any:
    """Return an interpreter over `model`; its tensors are not allocated yet.

    Args:
        runtime: What `load_runtime` returned.
        model: The bytes of a `.tflite` file.
        threads: Number of threads. Defaults to `1`.
        delegate: `"xnnpack"`, which the runtimes apply by themselves, or `"none"` for their
            own built-in kernels. Defaults to `"xnnpack"`.
        keep_every_tensor: Whether intermediate tensors can be read after a run. Defaults to
            `False`.
        kernels: For a model with binary operators, the processor's kernels: `"avx512"`, `"avx2"`,
            `"neon"` or `"portable"`. Defaults to `None`: the fastest that it has.
    """
    options: dict[str, Any] = {"model_content": model, "num_threads": threads}
    if delegate == "none":
        resolver = runtime.module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        options["experimental_op_resolver_type"] = resolver
    elif delegate != "xnnpack":
        raise KerasCompressError(
            f'`delegate` must be "xnnpack" or "none". Received: delegate={delegate!r}.'
        )
    if keep_every_tensor:
        options["experimental_preserve_all_tensors"] = True
    if has_binary_operators(model):
        options["experimental_delegates"] = [_binary_delegate(runtime, kernels)]
    return runtime.module.Interpreter(**options)


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
    from keras_compress.packing.pack import MAGIC, unpack
    from keras_compress.storage import read_file

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


def has_binary_operators(model: bytes) -> bool:
    """Whether a `.tflite` names the operators that this package's delegate runs."""
    return b"KcBinaryConv2D" in model or b"KcUnpackWeights" in model


def binary_kernels() -> str:
    """Return the name of the binary kernels that this processor runs best, such as `"avx2"`."""
    from keras_compress.packing import native

    name: bytes = native.library().kc_binary_kernels()
    return name.decode()


def _binary_delegate(runtime: Runtime, kernels: str | None) -> Any:
    from keras_compress.packing import native

    twin = (
        "Open the model with keras_compress.load_interpreter where the package's native library "
        "is installed, or open its twin, model.twin.tflite, with any runtime."
    )
    path = native.library_path()
    if not path.exists():
        raise NativeLibraryError(f"A binary model needs the native library {path}. {twin}")
    try:
        return runtime.module.load_delegate(str(path), {"kernels": kernels} if kernels else None)
    except (OSError, ValueError) as error:
        raise NativeLibraryError(f"The binary delegate can't be loaded: {error} {twin}") from error


def check_model_bytes(data: bytes, *, name: str = "the model") -> None:
    """Refuse bytes that can't be a `.tflite` file, by size and by file identifier.

    This says what is wrong with the usual accidents (an empty download, a truncated copy, an
    HTML error page). It does not make a hostile file safe to run.

    Args:
        data: The bytes.
        name: What the error calls them. Defaults to `"the model"`.

    Raises:
        ModelFileError: If they are no TFLite flatbuffer.
    """
    if not data:
        raise ModelFileError(f"A TFLite model can't be empty. Received: {name} with 0 bytes.")
    if len(data) < _SMALLEST_MODEL:
        raise ModelFileError(
            f"A TFLite model has at least {_SMALLEST_MODEL} bytes. "
            f"Received: {name} with {len(data)} bytes; it was probably cut short."
        )
    if data[4:8] != _IDENTIFIER:
        raise ModelFileError(
            f"A TFLite model carries the identifier {_IDENTIFIER!r} at byte 4. "
            f"Received: {name} with {bytes(data[4:8])!r} there; it is some other kind of file."
        )
    root = int.from_bytes(data[:4], "little")
    if not 8 <= root <= len(data) - 4:
        raise ModelFileError(
            f"The root table of a TFLite model lies inside the file. Received: {name} with "
            f"{len(data)} bytes and its root at byte {root}; it was probably cut short."
        )
