"""Teachers' outputs on disk: for data that don't change, a teacher runs once.

The file: the magic `KCTEACH1`, the header's length (uint32, little endian), the header (JSON),
then the outputs one after the other, row-major. The header has the shape and type of each, a
checksum, and the fingerprint of the teachers and data they were made from.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_compress.engine.weights import require_built
from keras_compress.errors import KerasCompressError
from keras_compress.storage import open_atomic, read_file

MAGIC = b"KCTEACH1"
_LARGEST_HEADER = 1 << 16
_DTYPES = ("float16", "float32")

#: Keys of the targets that carry cached outputs through `fit`.
LABELS = "labels"
TEACHER_OUTPUTS = "teacher_outputs"


@dataclass(frozen=True)
class TeacherCache:
    """What one or several teachers say to each sample of a fixed data set.

    Attributes:
        outputs: For each teacher an array `(samples, ...)`.
        fingerprint: Of the teachers' weights and the data, hexadecimal.
    """

    outputs: tuple[np.ndarray, ...]
    fingerprint: str

    def __len__(self) -> int:
        return len(self.outputs[0])

    def targets(self, y: Any) -> dict[str, Any]:
        """Return `y` with the outputs beside it, to be passed to `fit` in the place of `y`.

        Shuffling and batching keep them together. The inputs must be those the cache was made
        from: with random augmentation a teacher has to run on what the student sees.

        Args:
            y: Labels, samples along the first axis of every array, in the order of the data.

        Raises:
            KerasCompressError: If there are more or fewer labels than samples.
        """
        for array in keras.tree.flatten(y):
            if len(array) != len(self):
                raise KerasCompressError(
                    "Labels and cached outputs must belong to the same samples. Received: "
                    f"{len(array)} labels and outputs for {len(self)} samples."
                )
        return {LABELS: y, TEACHER_OUTPUTS: tuple(self.outputs)}


def cache_teacher(
    teacher: Any, x: Any, path: Any, *, batch_size: int = 256, dtype: str = "float32"
) -> TeacherCache:
    """Return the outputs of `teacher` for `x`, from the file `path` if it holds them.

    Example:

    ```python
    cache = cache_teacher(teacher, x_train, "teacher.cache")
    distiller = Distiller(None, student, SoftTargets(4.0))
    distiller.compile("adam", "sparse_categorical_crossentropy")
    distiller.fit(x_train, cache.targets(y_train), epochs=20)
    ```

    Args:
        teacher: A built model with one output, or a list of such.
        x: Inputs as arrays, samples along the first axis.
        path: The file. One that was made from other weights or other data is made anew.
        batch_size: Samples a teacher takes at a time. Defaults to `256`.
        dtype: `"float32"`, or `"float16"` for half the size. Defaults to `"float32"`.

    Raises:
        KerasCompressError: If `x` are no arrays, an output is not finite or not one array, or
            `path` is a file of another kind or damaged.
    """
    models = list(teacher) if isinstance(teacher, list | tuple) else [teacher]
    if not models:
        raise KerasCompressError("There must be at least one teacher. Received: an empty list.")
    if dtype not in _DTYPES:
        raise KerasCompressError(
            f"`dtype` must be one of {', '.join(_DTYPES)}. Received: dtype={dtype!r}."
        )
    for model in models:
        require_built(model)
    fingerprint = _fingerprint(models, x, dtype)
    if Path(path).exists():
        cache = load_teacher_cache(path)
        if cache.fingerprint == fingerprint:
            return cache
    outputs = tuple(_outputs(model, x, batch_size, dtype) for model in models)
    cache = TeacherCache(outputs, fingerprint)
    _write(path, cache)
    return cache


def load_teacher_cache(path: Any, *, limit: int = 1 << 34) -> TeacherCache:
    """Read a file that `cache_teacher` wrote.

    Args:
        path: The file.
        limit: Largest size in bytes to accept. Defaults to 16 GiB.

    Raises:
        KerasCompressError: If it is missing, too large, of another kind, cut short or damaged.
    """
    data = read_file(path, limit=limit)
    header, start = _read_header(data, path)
    outputs = []
    for shape, dtype in header["outputs"]:
        size = int(np.prod(shape, dtype=object)) * np.dtype(dtype).itemsize
        if start + size > len(data):
            raise _damaged(path, "it is shorter than its header says")
        array = np.frombuffer(data, dtype, count=size // np.dtype(dtype).itemsize, offset=start)
        outputs.append(array.reshape(shape))
        start += size
    if start != len(data):
        raise _damaged(path, "it is longer than its header says")
    if _checksum(outputs) != header["checksum"]:
        raise _damaged(path, "its checksum is wrong")
    return TeacherCache(tuple(outputs), header["fingerprint"])


def _write(path: Any, cache: TeacherCache) -> None:
    header = json.dumps(
        {
            "outputs": [[list(array.shape), array.dtype.name] for array in cache.outputs],
            "checksum": _checksum(cache.outputs),
            "fingerprint": cache.fingerprint,
        }
    ).encode()
    with open_atomic(path) as file:
        file.write(MAGIC + struct.pack("<I", len(header)) + header)
        for array in cache.outputs:
            file.write(np.ascontiguousarray(array).data)


def _read_header(data: bytes, path: Any) -> tuple[dict[str, Any], int]:
    if data[: len(MAGIC)] != MAGIC:
        raise KerasCompressError(
            f"A teacher cache begins with {MAGIC!r}. Received: {path}, a file of another kind. "
            "Choose another `path`."
        )
    begin = len(MAGIC) + 4
    if len(data) < begin:
        raise _damaged(path, "it is cut short")
    (length,) = struct.unpack_from("<I", data, len(MAGIC))
    if length > min(_LARGEST_HEADER, len(data) - begin):
        raise _damaged(path, "its header is longer than the file")
    try:
        header = json.loads(data[begin : begin + length])
    except ValueError:
        raise _damaged(path, "its header is no JSON") from None
    if not _is_sound(header):
        raise _damaged(path, "its header makes no sense")
    return header, begin + length


def _is_sound(header: Any) -> bool:
    if not isinstance(header, dict) or not isinstance(header.get("outputs"), list):
        return False
    if not all(isinstance(header.get(key), str) for key in ("checksum", "fingerprint")):
        return False
    samples = set()
    for entry in header["outputs"]:
        if not (isinstance(entry, list) and len(entry) == 2 and entry[1] in _DTYPES):
            return False
        shape = entry[0]
        if not isinstance(shape, list) or not 1 <= len(shape) <= 8:
            return False
        if not all(type(size) is int and 0 <= size < 1 << 40 for size in shape):
            return False
        samples.add(shape[0])
    return len(samples) == 1


def _damaged(path: Any, why: str) -> KerasCompressError:
    return KerasCompressError(
        f"A teacher cache must be whole. Received: {path}, and {why}. Delete it to make it anew."
    )


def _checksum(arrays: Sequence[np.ndarray]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _fingerprint(models: Sequence[Any], x: Any, dtype: str) -> str:
    digest = hashlib.blake2b(dtype.encode(), digest_size=16)
    arrays = keras.tree.flatten(x)
    if not all(isinstance(array, np.ndarray) and array.ndim for array in arrays) or not arrays:
        raise KerasCompressError(
            "Only fixed data can be cached: `x` must be arrays with samples along the first "
            f"axis. Received: {type(x).__name__}. Collect a data set into arrays first, or "
            "distil with the teacher running."
        )
    variables = [keras.ops.convert_to_numpy(v) for model in models for v in model.variables]
    # What a teacher computes depends on its architecture too, not on its weights alone.
    for model in models:
        try:
            digest.update(json.dumps(model.get_config(), sort_keys=True, default=str).encode())
        except (NotImplementedError, TypeError, ValueError):
            digest.update(type(model).__qualname__.encode())
    for array in [*variables, *arrays]:
        digest.update(f"{array.shape}{array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return digest.hexdigest()


def _outputs(model: Any, x: Any, batch_size: int, dtype: str) -> np.ndarray:
    outputs = model.predict(x, batch_size=batch_size, verbose=0)
    if not isinstance(outputs, np.ndarray):
        raise KerasCompressError(
            "A cached teacher must have one output. Received: "
            f"{len(keras.tree.flatten(outputs))} from {model.name!r}."
        )
    outputs = outputs.astype(dtype)
    if not np.isfinite(outputs).all():
        raise KerasCompressError(
            "A teacher's outputs must be finite. Received: NaN or infinite values from "
            f"{model.name!r}" + (" as float16." if dtype == "float16" else ".")
        )
    return outputs
