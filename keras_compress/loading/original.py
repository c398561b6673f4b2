"""Runs the original of an opened model, to hold the opened one against it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor


__all__ = ["largest_difference"]

_SAMPLES = 4
_FREE_SIDE, _FREE_STEPS = 96, 8


def largest_difference(model: keras.Model, path: Path, loaded: object) -> tuple[float | None, str]:
    """Return the largest relative difference to the original's outputs, or why there is none.

    Args:
        model: The opened model.
        path: The file or folder that it was opened from.
        loaded: Of a SavedModel, what TensorFlow loaded; else `None`.

    Returns:
        Difference relative to the largest output, and an empty sentence; or `None` and the reason.
    """
    if loaded is None and importlib.util.find_spec("tf_keras") is None:
        return None, (
            f"{path.name} wasn't compared with the original, which runs where `tf_keras` is "
            "installed."
        )
    inputs = [_random(tensor, seed) for seed, tensor in enumerate(model.inputs)]
    try:
        sequential = isinstance(model, keras.Sequential)
        given = inputs[0] if sequential else keras.tree.pack_sequence_as(model.input, inputs)
        theirs = _run(path, given) if loaded is None else _run_saved_model(loaded, given)
    except Exception as error:
        # Whatever its graph and custom code may raise: the comparison is left out, and says so.
        text = " ".join(str(error).split())[:200]
        return None, f"{path.name} wasn't compared with the original, which doesn't run: {text}"
    ours = [keras.ops.convert_to_numpy(each) for each in keras.tree.flatten(model(given))]
    if [a.shape for a in ours] != [a.shape for a in theirs]:
        return float("inf"), ""
    pairs = list(zip(ours, theirs, strict=True))
    # Random inputs may lead to what isn't a number, in the original too.
    if any((np.isfinite(a) != np.isfinite(b)).any() for a, b in pairs):
        return float("inf"), ""
    finite = [(a[np.isfinite(b)], b[np.isfinite(b)]) for a, b in pairs]
    scale = max([float(np.abs(b).max(initial=0)) for _, b in finite] + [1e-30])
    return max(float(np.abs(a - b).max(initial=0)) for a, b in finite) / scale, ""


def _random(tensor: Tensor, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    # Where the size may vary: enough for the strides of a net on images.
    free = _FREE_SIDE if len(tensor.shape) == 4 else _FREE_STEPS
    shape = (tensor.shape[0] or _SAMPLES, *(size or free for size in tensor.shape[1:]))
    if "int" in str(tensor.dtype):
        # Small numbers are indices of every table.
        return generator.integers(0, 2, shape).astype(str(tensor.dtype))
    return generator.uniform(0, 1, shape).astype(str(tensor.dtype))


def _run(path: Path, inputs: Tensor) -> list[np.ndarray]:
    import tf_keras

    original = tf_keras.models.load_model(path, compile=False)
    return [np.asarray(each) for each in keras.tree.flatten(original(inputs))]


def _run_saved_model(loaded: Any, inputs: Any) -> list[np.ndarray]:
    import tensorflow as tf

    outputs = loaded(keras.tree.map_structure(tf.constant, inputs), training=False)
    return [each.numpy() for each in tf.nest.flatten(outputs)]
