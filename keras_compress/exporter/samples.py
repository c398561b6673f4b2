"""The forms in which users hand in samples, brought to one: arrays in the structure of the inputs.

Arrays, dicts of them, lists of batches, generators and functions that make one, `tf.data` and
`keras.utils.PyDataset`: all become arrays with samples along the first axis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_compress.errors import ExportError

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor


__all__ = ["array_of", "gathered", "is_nested"]

# An iterable that goes on beyond either is taken for endless.
_MAX_SAMPLES = 2**20
_MAX_BYTES = 2**33

_FORMS = (
    "an array, arrays in the structure of the model's inputs, a dict from the inputs' names, or "
    "batches of these: a list, a generator, a function that returns one, a tf.data.Dataset or a "
    "keras.utils.PyDataset"
)


def gathered(data: object, structure: object, *, argument: str) -> Any:
    """Return users' `data` as arrays in the structure they came in, batches put together.

    Args:
        data: What the user gave.
        structure: The structure of the model's inputs, its leaves of any kind; `None` where it
            isn't known.
        argument: What errors call `data`.

    Raises:
        ExportError: If `data` has none of the forms, holds nothing, or does not end.
    """
    if data is None or _is_array(data):
        return data
    if callable(data) and not isinstance(data, Iterable):
        data = _called(data, argument)
    if isinstance(data, Mapping):
        return dict(data)
    if isinstance(data, str | bytes | set | frozenset) or not _is_iterable(data):
        raise ExportError(f"`{argument}` must be {_FORMS}. Received: {_described(data)}.")
    if isinstance(data, list | tuple):
        if _fits(data, structure):
            return data
        if not _holds_arrays(data):
            # Numbers in nested lists are one array.
            return data if len(data) == 0 else array_of(data, argument)
        if not _are_batches(data, structure):
            return data
    return _joined(_batches(data, structure, argument), argument)


def array_of(leaf: object, argument: str) -> np.ndarray:
    """Return a leaf of users' data as an array of numbers with samples along the first axis."""
    try:
        array = np.asarray(leaf)
    except Exception as error:  # Ragged tensors and lists fail in ways of their own.
        raise ExportError(
            f"`{argument}` must hold arrays of numbers. Received: {_described(leaf)}, which NumPy "
            f"can't make an array of ({' '.join(str(error).split())[:200]})."
        ) from error
    if array.dtype.kind == "V" and array.dtype.name.startswith(("bfloat", "float")):
        array = array.astype(np.float32)
    if array.dtype.kind not in "fiub":
        raise ExportError(
            f"`{argument}` must hold numbers. Received: {_described(leaf)} of type {array.dtype}."
        )
    if array.ndim == 0:
        raise ExportError(
            f"`{argument}` must give arrays with samples along the first axis. Received: a "
            "single number."
        )
    return array


def is_nested(data: object) -> bool:
    """Whether `data` is a list, a tuple or a dict."""
    return isinstance(data, list | tuple | dict)


def _called(make: Callable[..., Any], argument: str) -> Any:
    try:
        data = make()
    except TypeError as error:
        raise ExportError(
            f"A function given as `{argument}` is called without arguments and returns batches. "
            f"Received: {_described(make)}, which raised: {error}."
        ) from error
    if not _is_iterable(data):
        raise ExportError(
            f"A function given as `{argument}` must return batches of samples, as a generator "
            f"function does. Received: {_described(make)}, which returned {_described(data)}."
        )
    return [data] if _is_array(data) else data


def _batches(data: Any, structure: object, argument: str) -> list[Any]:
    endless = (
        f"`{argument}` must end. Received: {_described(data)}, which {{}}. Pass the first few "
        "hundred samples: `dataset.take(n)`, or `itertools.islice(batches, n)`."
    )
    cardinality = getattr(data, "cardinality", None)
    if callable(cardinality) and int(cardinality()) == -1:
        raise ExportError(endless.format("repeats for ever"))
    if getattr(data, "num_batches", 0) is None:
        raise ExportError(endless.format("gives no number of batches"))
    batches: list[Any] = []
    samples = size = 0
    for batch in data:
        batches.append(_arrays(_without_targets(batch, structure), argument))
        leaves = _leaves(batches[-1])
        samples += len(leaves[0]) if leaves else 0
        size += sum(leaf.nbytes for leaf in leaves)
        if samples > _MAX_SAMPLES or size > _MAX_BYTES or len(batches) > _MAX_SAMPLES:
            raise ExportError(endless.format(f"had given {samples:,} samples and went on"))
    if not batches:
        raise ExportError(f"`{argument}` must hold samples. Received: none.")
    return batches


def _joined(batches: list[Any], argument: str) -> Any:
    import keras

    try:
        for batch in batches[1:]:
            keras.tree.assert_same_structure(batches[0], batch)
        parts = zip(*(keras.tree.flatten(batch) for batch in batches), strict=True)
        joined = [np.concatenate(part) for part in parts]
    except (ValueError, TypeError) as error:
        raise ExportError(
            f"The batches of `{argument}` must have one structure, and samples of one shape. "
            f"Received: batches that differ ({' '.join(str(error).split())[:200]})."
        ) from error
    return keras.tree.pack_sequence_as(batches[0], joined)


def _arrays(batch: Tensor, argument: str) -> Any:
    import keras

    return keras.tree.map_structure(lambda leaf: array_of(leaf, argument), batch)


def _without_targets(batch: Tensor, structure: object) -> Any:
    """Of a batch `(inputs, targets)` or `(inputs, targets, weights)` the inputs."""
    # A list is what a torch DataLoader gives; without a structure it may be the inputs.
    kinds = tuple if structure is None else (list, tuple)
    if isinstance(batch, kinds) and len(batch) in (2, 3) and not _fits(batch, structure):
        return batch[0]
    return batch


def _fits(data: object, structure: object) -> bool:
    """Whether `data` is arrays in the structure of the inputs, rather than batches of them."""
    if isinstance(structure, dict):
        return (
            isinstance(data, Mapping)
            and set(data) == set(structure)
            and all(_fits(data[key], structure[key]) for key in structure)
        )
    if isinstance(structure, list | tuple):
        return (
            isinstance(data, list | tuple)
            and len(data) == len(structure)
            and all(_fits(a, b) for a, b in zip(data, structure, strict=True))
        )
    return structure is not None and not is_nested(data)


def _are_batches(data: list[Any] | tuple[Any, ...], structure: object) -> bool:
    if any(is_nested(item) for item in data):
        return all(is_nested(item) for item in data)
    # One array alone is the input of a model that takes one. Several arrays may be the inputs of
    # a model whose structure isn't known, or of another number than it takes: told by the count.
    shapes = {np.shape(item)[1:] for item in data}
    return len(data) > 1 and len(shapes) == 1 and structure is not None and not is_nested(structure)


def _holds_arrays(data: object) -> bool:
    return any(_is_array(leaf) for leaf in _leaves(data))


def _is_array(data: object) -> bool:
    return hasattr(data, "shape")


def _is_iterable(data: object) -> bool:
    return _is_array(data) or hasattr(data, "__iter__")


def _leaves(item: object) -> list[Any]:
    import keras

    leaves: list[Any] = keras.tree.flatten(item)
    return leaves


def _described(data: object) -> str:
    name = getattr(data, "__name__", None)
    kind = type(data).__name__
    return f"the {kind} {name!r}" if isinstance(name, str) else f"an object of type {kind}"
