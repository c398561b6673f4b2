"""Which packages are there, asked of the modules: a distribution may have any name.

TensorFlow comes as `tensorflow`, `tensorflow-cpu`, `tf-nightly`, from vendors under names of their
own; the module's name is the same in all of them.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Sequence

from keras_compress.errors import KerasCompressError

__all__ = ["is_installed", "require", "version_of"]


def is_installed(module: str) -> bool:
    """Whether `module` could be imported; it isn't."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def version_of(module: str) -> str | None:
    """Return the version that `module` states itself, else that of a distribution that holds it.

    `None` where the module can't be imported, `"unknown"` where nothing tells.
    """
    try:
        stated = getattr(importlib.import_module(module), "__version__", None)
    except ImportError:
        return None
    if isinstance(stated, str):
        return stated
    for distribution in importlib.metadata.packages_distributions().get(module, ()):
        return importlib.metadata.version(distribution)
    return "unknown"


def require(modules: Sequence[str], extra: str) -> None:
    """Refuse to begin where one of `modules` is missing; `extra` of this package brings it.

    Raises:
        KerasCompressError: If one is.
    """
    missing = [module for module in modules if not is_installed(module)]
    if missing:
        raise KerasCompressError(
            f"This needs {', '.join(modules)}. Received: no {', no '.join(missing)} that could be "
            f"imported. Install what is missing with `pip install 'keras-compress[{extra}]'`."
        )
