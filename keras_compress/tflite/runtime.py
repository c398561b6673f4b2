"""Finding a TFLite runtime, and making an interpreter.

`ai_edge_litert` is tried first, then `tflite_runtime`, then `tf.lite`. Nothing is imported until
an interpreter is asked for.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from keras_compress.errors import KerasCompressError, NativeLibraryError
from keras_compress.installed import version_of
from keras_compress.native_library import library_path
from keras_compress.tflite.custom_operators import has_binary_operators

__all__ = [
    "Runtime",
    "load_runtime",
    "make_interpreter",
]

# Module that holds `Interpreter`, and what the runtime is called.
_CANDIDATES = (
    ("ai_edge_litert.interpreter", "ai-edge-litert"),
    ("tflite_runtime.interpreter", "tflite-runtime"),
    ("tensorflow.lite.python.interpreter", "tensorflow"),
)


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


def _binary_delegate(runtime: Runtime, kernels: str | None) -> Any:
    fallback = (
        "Open the model with keras_compress.load_interpreter where the package's native library "
        "is installed, or open its fallback, model.fallback.tflite, with any runtime."
    )
    path = library_path()
    if not path.exists():
        raise NativeLibraryError(f"A binary model needs the native library {path}. {fallback}")
    try:
        return runtime.module.load_delegate(str(path), {"kernels": kernels} if kernels else None)
    except (OSError, ValueError) as error:
        raise NativeLibraryError(
            f"The binary delegate can't be loaded: {error} {fallback}"
        ) from error
