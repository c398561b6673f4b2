"""Codebooks in fewer bits, and what full-int8 export makes of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from keras_compress.engine.cloning import unwrap_layers
from keras_compress.engine.report import values_of
from keras_compress.engine.weights import Selectors, WeightRef, select_weights
from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    import keras

CodebookDtype = Literal["float16", "int8"]

# A weight with more distinct values than this share of its size has no codebook.
_SHARED = 0.5


@dataclass(frozen=True)
class RoundedCodebook:
    """What `round_codebooks` did to one weight.

    Attributes:
        weight: `path/name`.
        dtype: `"float16"` or `"int8"`, or `"float32"` if it was left as it was.
        distinct: Distinct values afterwards, zero included.
        relative_error: Root mean square change over root mean square value.
        reason: Why it was left alone; empty otherwise.
    """

    weight: str
    dtype: str
    distinct: int
    relative_error: float
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def round_codebooks(
    model: keras.Model,
    dtype: CodebookDtype = "float16",
    *,
    evaluate: Callable[[Any], float] | None = None,
    max_drop: float = 0.0,
    layers: Selectors = None,
) -> tuple[Any, list[RoundedCodebook]]:
    """Return a copy of a clustered model with its shared values rounded where it costs nothing.

    The values stay float32 in Keras, but are such as the smaller type holds: every float16, or
    integers from -127 to 127 times one step a weight. A codebook then takes half or a quarter
    of the bytes, and int8 export with one scale a tensor changes nothing any more.

    Args:
        model: A clustered model, finalized or not; subclassed models are changed in place, as
            their graph can't be copied.
        dtype: `"float16"` or `"int8"`. Defaults to `"float16"`.
        evaluate: Called with the copy, returns a score, greater being better; a weight whose
            rounding lowers it by more than `max_drop` is put back. Defaults to `None` (all are
            rounded).
        max_drop: Drop of the score, from what it was before any rounding, to accept. Defaults
            to `0.0`.
        layers: Which layers, as in `ClusteringConfig`. Defaults to `None`.

    Raises:
        KerasCompressError: If the type is unknown, or a value is too large for float16.
    """
    if dtype not in ("float16", "int8"):
        raise KerasCompressError(f'`dtype` must be "float16" or "int8". Received: dtype={dtype!r}.')
    copy = unwrap_layers(model)
    floor = None if evaluate is None else float(evaluate(copy)) - max_drop
    done = []
    for ref in select_weights(copy, layers).chosen:
        values = values_of(ref.variable)
        if np.unique(values).size > _SHARED * values.size:
            done.append(_left(ref, values, "its values aren't shared"))
            continue
        rounded = _rounded(ref, values, dtype)
        if np.count_nonzero(rounded) != np.count_nonzero(values):
            done.append(_left(ref, values, "a value would become zero"))
            continue
        ref.variable.assign(rounded)
        if floor is not None and evaluate is not None and not float(evaluate(copy)) >= floor:
            ref.variable.assign(values)
            done.append(_left(ref, values, "the score would drop"))
            continue
        done.append(
            RoundedCodebook(
                ref.label, dtype, int(np.unique(rounded).size), _relative(rounded, values)
            )
        )
    return copy, done


@dataclass(frozen=True)
class Int8Preservation:
    """What full-int8 export, with one scale a channel, makes of one codebook.

    Weights that are equal within a channel stay equal; what is lost is that channels share one
    codebook, and centroids that lie closer than a channel's step merge.

    Attributes:
        weight: `path/name`.
        distinct: Shared values, zero included.
        per_channel: Distinct integers of the channel that has most.
        overall: Distinct integers of the tensor.
        survives: Whether the tensor has no more distinct integers than it had values, so that
            one codebook still describes it.
        relative_error: Root mean square change over root mean square value.
    """

    weight: str
    distinct: int
    per_channel: int
    overall: int
    survives: bool
    relative_error: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def int8_preservation(model: keras.Model, layers: Selectors = None) -> list[Int8Preservation]:
    """Predict what per-channel int8 export leaves of the codebooks of a clustered model.

    A scale of BatchNormalization that the converter folds into a kernel multiplies whole
    channels, so the integers are the same with and without it.

    Args:
        model: A clustered model, finalized or not.
        layers: Which layers, as in `ClusteringConfig`. Defaults to `None`.
    """
    rows = []
    for ref in select_weights(unwrap_layers(model), layers).chosen:
        values = values_of(ref.variable).astype(np.float32)
        integers, steps = _int8_channels(values, _channel_axes(ref))
        channels = np.moveaxis(integers, _channel_axes(ref), range(len(_channel_axes(ref))))
        lead = int(np.prod([values.shape[axis] for axis in _channel_axes(ref)]))
        per_channel = max(np.unique(row).size for row in channels.reshape(lead, -1))
        distinct, overall = int(np.unique(values).size), int(np.unique(integers).size)
        rows.append(
            Int8Preservation(
                ref.label,
                distinct,
                int(per_channel),
                overall,
                overall <= distinct,
                _relative(integers * steps, values),
            )
        )
    return rows


def align_channels(weight: np.ndarray, axes: tuple[int, ...] = (-1,)) -> np.ndarray:
    """Return a clustered weight whose codebook survives int8 export with a scale a channel.

    In every channel the largest value is moved to the greatest magnitude of the codebook (its
    sign kept where the codebook has both), so that all channels get the same step and the whole
    tensor keeps one codebook. Channels of zeros stay so.

    Args:
        weight: A clustered weight.
        axes: The axes that count the channels. Defaults to the last one.
    """
    axes = tuple(axis % weight.ndim for axis in axes)
    lead = int(np.prod([weight.shape[axis] for axis in axes]))
    aligned = np.moveaxis(weight.copy(), axes, range(len(axes)))
    shape = aligned.shape
    rows = aligned.reshape(lead, -1)
    codebook = np.unique(weight)
    top = np.abs(codebook).max()
    for row in rows:
        if not row.any() or np.abs(row).max() == top:
            continue
        place = int(np.argmax(np.abs(row)))
        signed = np.copysign(top, row[place])
        row[place] = signed if (codebook == signed).any() else -signed
    return np.moveaxis(rows.reshape(shape), range(len(axes)), axes).astype(weight.dtype)


def _channel_axes(ref: WeightRef) -> tuple[int, ...]:
    last = len(ref.shape) - 1
    owner = type(ref.owners[-1]).__name__ if ref.owners else ""
    if ref.name == "depthwise_kernel" or owner.startswith("DepthwiseConv"):
        return (last - 1, last)
    if owner.endswith("Transpose"):
        return (last - 1,)
    return (last,)


def _int8_channels(values: np.ndarray, axes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    others = tuple(axis for axis in range(values.ndim) if axis not in axes)
    largest = np.abs(values).max(axis=others, keepdims=True)
    steps = np.where(largest > 0, largest / 127.0, 1.0)
    return np.rint(values / steps), steps


def _rounded(ref: WeightRef, values: np.ndarray, dtype: str) -> np.ndarray:
    if dtype == "float16":
        if np.abs(values).max() > np.finfo(np.float16).max:
            raise KerasCompressError(
                f"float16 reaches to {np.finfo(np.float16).max:g}. Received: {ref.label} with a "
                f"value of {np.abs(values).max():g}."
            )
        return values.astype(np.float16).astype(np.float32)
    step = np.float32(max(np.abs(values).max(), np.finfo(np.float32).tiny) / 127.0)
    return (np.rint(values / step) * step).astype(np.float32)


def _left(ref: WeightRef, values: np.ndarray, reason: str) -> RoundedCodebook:
    return RoundedCodebook(ref.label, "float32", int(np.unique(values).size), 0.0, reason)


def _relative(changed: np.ndarray, values: np.ndarray) -> float:
    size = float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
    change = float(np.sqrt(np.mean(np.square(changed - values, dtype=np.float64))))
    return change / size if size else 0.0
