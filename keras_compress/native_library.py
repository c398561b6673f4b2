"""Where the native library lies: the packer, and the delegate that runs binary operators."""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["library_path"]


def library_path() -> Path:
    """Return where the native library lies, or should."""
    if sys.platform == "win32":
        name = "keras_compress.dll"
    else:
        name = f"libkeras_compress.{'dylib' if sys.platform == 'darwin' else 'so'}"
    return Path(__file__).with_name("packing") / name
