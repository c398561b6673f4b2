"""Makes caches: for data that don't change, a teacher runs once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_compress.distillation.cache import DTYPES, TeacherCache, data_fingerprint
from keras_compress.distillation.cache_file import load_teacher_cache, write_teacher_cache
from keras_compress.distillation.heads import heads_of
from keras_compress.engine.weights import require_built
from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    import os

    from keras_compress.tensor import Tensor

#: Samples on which a file's outputs are compared with what the teacher says now.
_PROBE = 8


def cache_teacher(
    teacher: keras.Model,
    x: Tensor,
    path: str | os.PathLike[str],
    *,
    batch_size: int = 256,
    dtype: str = "float32",
) -> TeacherCache:
    """Return the outputs of `teacher` for `x`, from the file `path` if it holds them.

    Example:

    ```python
    cache = cache_teacher(teacher, x_train, "teacher.cache")
    distiller = Distiller(cache, student, SoftTargets(4.0))
    distiller.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    distiller.fit(cache.inputs(x_train), y_train, epochs=20)
    ```

    Args:
        teacher: A built model, or a list of such.
        x: Inputs as arrays, samples along the first axis.
        path: The file. One that was made from other teachers or other data is made anew.
        batch_size: Samples a teacher takes at a time. Defaults to `256`.
        dtype: `"float32"`, or `"float16"` for half the size. Defaults to `"float32"`.

    Raises:
        KerasCompressError: If `x` are no arrays of numbers, an output is not finite, or `path`
            is a file of another kind or damaged.
    """
    models = list(teacher) if isinstance(teacher, list | tuple) else [teacher]
    if not models:
        raise KerasCompressError("There must be at least one teacher. Received: an empty list.")
    if dtype not in DTYPES:
        raise KerasCompressError(
            f"`dtype` must be one of {', '.join(DTYPES)}. Received: dtype={dtype!r}."
        )
    for model in models:
        require_built(model)
    data = data_fingerprint(x)
    fingerprint = _fingerprint(models, data, dtype)
    if Path(path).exists():
        cache = load_teacher_cache(path)
        if cache.fingerprint == fingerprint and _still_says(models, x, cache):
            return cache
    outputs = tuple(_outputs(model, x, batch_size, dtype) for model in models)
    heads = tuple(heads_of(model, each) for model, each in zip(models, outputs, strict=True))
    cache = TeacherCache(outputs, heads, fingerprint, data)
    write_teacher_cache(path, cache)
    return cache


def _fingerprint(models: Sequence[keras.Model], data: str, dtype: str) -> str:
    digest = hashlib.blake2b(f"{dtype} {data}".encode(), digest_size=16)
    # What a teacher computes depends on its architecture too, not on its weights alone.
    for model in models:
        try:
            digest.update(json.dumps(model.get_config(), sort_keys=True, default=str).encode())
        except (NotImplementedError, TypeError, ValueError):
            digest.update(type(model).__qualname__.encode())
        for variable in model.variables:
            array = keras.ops.convert_to_numpy(variable)
            digest.update(f"{array.shape}{array.dtype}".encode())
            digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return digest.hexdigest()


def _still_says(models: Sequence[keras.Model], x: Tensor, cache: TeacherCache) -> bool:
    """Whether the teachers say what the file says; a layer's code is in no fingerprint."""
    some = keras.tree.map_structure(lambda array: array[:_PROBE], x)
    for model, kept in zip(models, cache.outputs, strict=True):
        said = keras.tree.flatten(model(some, training=False))
        kept = keras.tree.flatten(kept)
        if len(said) != len(kept):
            return False
        for now, then in zip(said, kept, strict=True):
            now = keras.ops.convert_to_numpy(keras.ops.cast(now, "float32"))
            then = then[:_PROBE].astype("float32")
            # Far more than float16, another batch size or another device change.
            if now.shape != then.shape or np.abs(now - then).max() > 0.01 * np.abs(then).max():
                return False
    return True


def _outputs(model: keras.Model, x: Tensor, batch_size: int, dtype: str) -> Any:
    def kept(output: np.ndarray) -> np.ndarray:
        output = output.astype(dtype)
        if not np.isfinite(output).all():
            raise KerasCompressError(
                "A teacher's outputs must be finite. Received: NaN or infinite values from "
                f"{model.name!r}" + (" as float16." if dtype == "float16" else ".")
            )
        return output

    outputs = model.predict(x, batch_size=batch_size, verbose=0)
    return keras.tree.map_structure(kept, outputs)
