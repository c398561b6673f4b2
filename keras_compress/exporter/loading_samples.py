"""Samples that a user of the command hands in, in an `.npz` file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    import keras

__all__ = ["load_samples"]

# Names under which the data sets in keras.datasets' layout keep inputs, best first.
_USUAL_NAMES = ("x", "x_test", "x_train")


def load_samples(path: str | os.PathLike[str], model: keras.Model, *, limit: int) -> Any:
    """Return the first `limit` samples of an `.npz` file, in the form `convert` takes.

    Raises:
        KerasCompressError: If the file is not an `.npz`, or holds no array for an input.
    """
    from keras_compress.exporter.inputs import input_names

    names = input_names(model)
    try:
        with np.load(path, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise KerasCompressError(f"Samples come in an .npz file. Received: {path}.")
            chosen = _choose(list(archive.files), names, path)
            arrays = {name: archive[key][:limit] for name, key in chosen.items()}
    except KerasCompressError:
        raise
    except OSError as error:
        raise KerasCompressError(f"Can't read {path}: {error.strerror or error}.") from error
    except MemoryError:
        raise
    except Exception as error:
        # zipfile and NumPy have no common exception for damage.
        raise KerasCompressError(
            f"Samples come in an .npz file of plain arrays. Received: {path} "
            f"({type(error).__name__}: {' '.join(str(error).split())[:200]})."
        ) from error
    return arrays if len(names) > 1 else arrays[names[0]]


def _choose(keys: list[str], names: list[str], path: str | os.PathLike[str]) -> dict[str, str]:
    if all(name in keys for name in names):
        return {name: name for name in names}
    if len(names) == 1:
        usual = [key for key in _USUAL_NAMES if key in keys]
        if usual or len(keys) == 1:
            return {names[0]: usual[0] if usual else keys[0]}
    raise KerasCompressError(
        f"The samples must hold an array for each input: {', '.join(names)}. "
        f"Received: {path} with {', '.join(sorted(keys)[:20]) or 'no arrays'}."
    )
