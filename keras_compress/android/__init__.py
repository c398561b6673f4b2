"""Timing models on an Android phone: the driver of the app in `android_demo/`, by way of adb.

`android_bench` installs the app where it is missing, copies the models over, has them timed and
brings the result back in the form that `keras_compress.bench` has.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_compress.android.merging import merge_results
    from keras_compress.android.session import android_bench

__all__ = ["android_bench", "merge_results"]

_HOME = {"android_bench": "session", "merge_results": "merging"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
