"""Checks that a smaller model computes what the larger one does with removed channels at zero."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_compress.channel_pruning.analysis import Analysis
from keras_compress.channel_pruning.masking import read_variables
from keras_compress.engine.cloning import copy_model
from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor


__all__ = ["difference_to_zeroed", "zero_channels", "zeroed_copy"]

_BATCH = 32


def zeroed_copy(analysis: Analysis, keep: np.ndarray) -> keras.Model:
    """Return a copy of the analyzed model that reads nothing of the channels that aren't kept."""
    copy = copy_model(analysis.graph.model)
    zero_channels(analysis, keep, copy)
    return copy


def zero_channels(analysis: Analysis, keep: np.ndarray, model: keras.Model) -> None:
    """Set to zero, in `model`, all weights that read what isn't kept.

    Args:
        analysis: What is known of a model.
        keep: Which labels stay.
        model: That model, or a copy of it; it is changed.
    """
    for each in read_variables(analysis, model):
        values = keras.ops.convert_to_numpy(each.variable)
        each.variable.assign(values * each.mask(keep))


def difference_to_zeroed(
    analysis: Analysis, keep: np.ndarray, small: keras.Model, samples: object
) -> float:
    """Return the largest difference of results on `samples`, relative to the largest result.

    Raises:
        KerasCompressError: If the model can't run on the samples, or a result isn't finite.
    """
    reference = zeroed_copy(analysis, keep)
    largest, scale = 0.0, 0.0
    for batch in batches_of(samples, _BATCH):
        expected, found = run(reference, batch), run(small, batch)
        for one, other in zip(expected, found, strict=True):
            # A maximum with NaN may be a number.
            if not (np.isfinite(one).all() and np.isfinite(other).all()):
                raise KerasCompressError(
                    "A check needs finite results. Received: NaN or infinity. Check the model, "
                    "and pass samples like those it was trained on."
                )
            largest = max(largest, float(np.abs(one - other).max(initial=0)))
            scale = max(scale, float(np.abs(one).max(initial=0)))
    return largest / scale if scale else largest


def run(model: keras.Model, batch: Tensor) -> list[np.ndarray]:
    """Return the results of a model on a batch, flat.

    Raises:
        KerasCompressError: If the model can't run on it.
    """
    try:
        found = model(batch, training=False)
    except Exception as error:
        given = keras.tree.map_structure(np.shape, batch)
        wanted = keras.tree.map_structure(lambda x: tuple(x.shape), model.inputs)
        raise KerasCompressError(
            f"Samples must fit the inputs of the model, {wanted}. Received: shapes {given} "
            f"({type(error).__name__}: {str(error).splitlines()[0][:200]})."
        ) from error
    return [keras.ops.convert_to_numpy(x).astype(np.float64) for x in keras.tree.flatten(found)]


def batches_of(samples: object, size: int) -> Iterator[Any]:
    """Yield `samples`, arrays in the structure of a model's inputs, in batches."""
    count = len(keras.tree.flatten(samples)[0])
    for start in range(0, count, size):
        part = slice(start, start + size)
        yield keras.tree.map_structure(lambda x, part=part: np.asarray(x[part]), samples)
