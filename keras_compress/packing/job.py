"""Packing in memory: one native job, on several threads. For interruptible work to call."""

from __future__ import annotations

import ctypes
import os
from typing import Any

from keras_compress.packing import native
from keras_compress.packing.interruption import run_sections
from keras_compress.packing.native_structures import Bytes, NativeError, Summary

# Below this a second thread takes longer to start than it saves.
_LARGE = 200_000


def pack_sections(data: bytes, codec: int, extents: Any = None) -> tuple[Bytes, Summary]:
    """Pack `data`, with a thread for each of up to four cores; `extents` receives the report."""
    loaded = native.library()
    job, sections = ctypes.c_void_p(), ctypes.c_uint32()
    result, summary, error = Bytes(), Summary(), NativeError()
    native.check(
        loaded.kc_pack_open(
            data, len(data), codec, ctypes.byref(job), ctypes.byref(sections), ctypes.byref(error)
        ),
        error,
    )
    if len(data) >= _LARGE and sections.value > 1:
        run_sections(
            sections.value,
            lambda section: loaded.kc_pack_section(job, section),
            threads=min(os.cpu_count() or 1, 4),
        )
    # Does what is left, and frees the job, stopped or not.
    status = loaded.kc_pack_close(
        job, ctypes.byref(result), ctypes.byref(summary), extents,
        0 if extents is None else len(extents), ctypes.byref(error),
    )  # fmt: skip
    native.check(status, error)
    return result, summary


def pack_patch(data: bytes, base: bytes) -> bytes:
    """Pack `data` as a patch for `base`."""
    result, error = Bytes(), NativeError()
    status = native.library().kc_pack_patch(
        data, len(data), base, len(base), ctypes.byref(result), ctypes.byref(error)
    )
    native.check(status, error)
    return native.take(result)
