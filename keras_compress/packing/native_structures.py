"""The structures of the native core's C interface (`keras_compress.h`)."""

from __future__ import annotations

import ctypes


class Bytes(ctypes.Structure):
    """`kc_bytes`: memory of the library's own."""

    _fields_ = (("data", ctypes.POINTER(ctypes.c_uint8)), ("size", ctypes.c_size_t))


class NativeError(ctypes.Structure):
    """`kc_error`: what went wrong, and where."""

    _fields_ = (
        ("status", ctypes.c_int32),
        ("place", ctypes.c_int32),
        ("section", ctypes.c_uint32),
        ("version", ctypes.c_uint32),
        ("value", ctypes.c_uint64),
    )


READ = ctypes.CFUNCTYPE(
    ctypes.c_int32, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_void_p, ctypes.c_size_t
)
WRITE = READ


class Source(ctypes.Structure):
    """`kc_source`: a packed file in memory, or one that `read` reads pieces of."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("size", ctypes.c_uint64),
        ("read", READ),
        ("context", ctypes.c_void_p),
    )


class Sink(ctypes.Structure):
    """`kc_sink`: takes restored bytes."""

    _fields_ = (("write", WRITE), ("context", ctypes.c_void_p))


class Extent(ctypes.Structure):
    """`kc_extent`: one constant buffer of a packed file."""

    _fields_ = (
        ("offset", ctypes.c_uint64),
        ("size", ctypes.c_uint64),
        ("method", ctypes.c_uint32),
        ("element", ctypes.c_uint32),
        ("symbols", ctypes.c_uint32),
        ("section", ctypes.c_uint32),
        ("row", ctypes.c_uint64),
        ("last", ctypes.c_uint64),
        ("bits", ctypes.c_uint64),
    )


class Summary(ctypes.Structure):
    """`kc_summary`: sizes of a packed file."""

    _fields_ = (
        ("format_version", ctypes.c_uint32),
        ("sections", ctypes.c_uint32),
        ("extents", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
        ("original_size", ctypes.c_uint64),
        ("packed_size", ctypes.c_uint64),
        ("skeleton_size", ctypes.c_uint64),
        ("skeleton_packed", ctypes.c_uint64),
    )


class Tensor(ctypes.Structure):
    """`kc_tensor`: one constant buffer of a `.tflite`, as the native walker finds it."""

    _fields_ = (
        ("offset", ctypes.c_uint64),
        ("size", ctypes.c_uint64),
        ("buffer", ctypes.c_uint32),
        ("type", ctypes.c_int32),
        ("rank", ctypes.c_uint32),
        ("shape", ctypes.c_int32 * 8),
        ("name_offset", ctypes.c_uint64),
        ("name_size", ctypes.c_uint32),
        ("users", ctypes.c_uint32),
    )


class Part(ctypes.Structure):
    """`kc_part`: a model in a bundle."""

    _fields_ = (
        ("offset", ctypes.c_uint64),
        ("size", ctypes.c_uint64),
        ("name_offset", ctypes.c_uint64),
        ("name_size", ctypes.c_uint32),
        ("parent", ctypes.c_uint32),
    )


class Unlisted(ctypes.Structure):
    """`kc_unlisted`: what is in a `.tflite` and not among its constant buffers."""

    _fields_ = (
        ("sparse", ctypes.c_uint32),
        ("overlapping", ctypes.c_uint32),
        ("elsewhere", ctypes.c_uint32),
        ("options", ctypes.c_uint32),
    )


class Statistics(ctypes.Structure):
    """`kc_statistics`: counts over the elements of a buffer."""

    _fields_ = (
        ("count", ctypes.c_uint64),
        ("zeros", ctypes.c_uint64),
        ("distinct", ctypes.c_uint64),
        ("entropy", ctypes.c_double),
    )
