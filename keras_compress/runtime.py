"""Finding a TFLite runtime, and the checks a model's bytes pass before they reach one.

`ai_edge_litert` is tried first, then `tflite_runtime`, then `tf.lite`. Nothing is imported until
an interpreter is asked for.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from dataclasses import dataclass
from typing import Any

from keras_compress.errors import KerasCompressError, ModelFileError

__all__ = ["Runtime", "check_model_bytes", "load_runtime", "make_interpreter"]

# Module that holds `Interpreter`, and the distribution whose version names the runtime.
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
    for module_name, distribution in _CANDIDATES:
        try:
            module = importlib.import_module(module_name)
        except ImportError:
            continue
        try:
            version = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            version = "unknown"
        return Runtime(module, distribution, version)
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
    return runtime.module.Interpreter(**options)


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
