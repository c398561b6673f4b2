"""Whether zeros and shared values made with effort in training are still there in the file.

Zeros survive every conversion. Shared values may not: the converter multiplies the scale of a
BatchNormalization into the kernel before it, so k values shared by a whole kernel become k
values *a channel*, and integers with one scale a channel do the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_compress.exporter.weight_matching import Constant, Match, match_weight
from keras_compress.tflite.model_file import TfliteFile

if TYPE_CHECKING:
    import keras

__all__ = ["Preservation", "WeightPreservation", "measure_preservation"]

# Trained floats hardly ever repeat. At most this many values, each used twice on average, mean
# that somebody shared them.
_MAX_SHARED_VALUES = 4096


@dataclass(frozen=True)
class WeightPreservation:
    """What became of one Keras weight.

    Attributes:
        weight: The weight's path in the model.
        tensor: The constant's name in the file, `None` if it was not found there.
        dtype: The constant's TFLite type.
        size: Number of values.
        distinct_before: Distinct values in Keras, zero included.
        distinct_after: Distinct stored numbers in the file.
        distinct_per_channel: The same within one channel, for the channel that has most;
            equals `distinct_after` where no channel has a factor of its own.
        zeros_before: Zeros in Keras.
        zeros_after: Numbers in the file that stand for zero.
        sharing: `"none"` (nothing was shared), `"kept"`, `"per_channel"` (values are shared
            within a channel, no longer across the tensor), `"lost"` or `"unknown"`.
        zeros: `"none"` (there were none), `"kept"`, `"lost"` or `"unknown"`.
        reason: Why, where something was not kept or not found.
    """

    weight: str
    tensor: str | None
    dtype: str | None
    size: int
    distinct_before: int
    distinct_after: int | None
    distinct_per_channel: int | None
    zeros_before: int
    zeros_after: int | None
    sharing: str
    zeros: str
    reason: str

    @property
    def is_lost(self) -> bool:
        """Whether zeros, or values shared across the tensor, did not survive."""
        return self.sharing in ("per_channel", "lost") or self.zeros == "lost"

    def to_dict(self) -> dict[str, Any]:
        return {
            "weight": self.weight,
            "tensor": self.tensor,
            "dtype": self.dtype,
            "size": self.size,
            "distinct_before": self.distinct_before,
            "distinct_after": self.distinct_after,
            "distinct_per_channel": self.distinct_per_channel,
            "zeros_before": self.zeros_before,
            "zeros_after": self.zeros_after,
            "sharing": self.sharing,
            "zeros": self.zeros,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Preservation:
    """The preservation of every float weight of a model."""

    weights: tuple[WeightPreservation, ...]

    @property
    def lost(self) -> tuple[WeightPreservation, ...]:
        """Weights whose zeros or shared values the conversion lost."""
        return tuple(weight for weight in self.weights if weight.is_lost)

    @property
    def unmapped(self) -> tuple[WeightPreservation, ...]:
        """Weights that are no constant of their own in the file."""
        return tuple(weight for weight in self.weights if weight.tensor is None)

    def to_dict(self) -> dict[str, Any]:
        return {
            "weights": [weight.to_dict() for weight in self.weights],
            "lost": [weight.weight for weight in self.lost],
            "unmapped": [weight.weight for weight in self.unmapped],
        }


def measure_preservation(
    model: keras.Model, file: TfliteFile, *, densified: dict[int, np.ndarray] | None = None
) -> Preservation:
    """Compare the weights of `model` with the constants of its conversion.

    Args:
        model: The Keras model.
        file: Its conversion.
        densified: Values of the main subgraph's sparse tensors, by index. Defaults to `None`.
    """
    constants = _constants(file, densified or {})
    rows = []
    for weight in model.weights:
        values = np.asarray(weight.value)
        if values.dtype.kind not in "fV" or not values.size or _of_training(weight):
            continue  # Counters and seeds of random generators are not part of inference.
        values = values.astype(np.float32)
        owner = weight.path.rsplit("/", 2)[-2] if "/" in weight.path else ""
        rows.append(_preservation(weight.path, values, match_weight(values, owner, constants)))
    return Preservation(tuple(rows))


def _constants(file: TfliteFile, densified: dict[int, np.ndarray]) -> list[Constant]:
    constants = []
    for tensor in file.tensors:
        if not tensor.is_constant or tensor.dtype not in _WEIGHT_TYPES:
            continue
        if tensor.is_sparse and tensor.subgraph == 0 and tensor.index in densified:
            stored = densified[tensor.index]
        elif tensor.is_readable:
            stored = tensor.array()
        else:
            continue
        scale, zero_point = tensor.quantization()
        if tensor.scales.size:
            values = ((stored.astype(np.float64) - zero_point) * scale).astype(np.float32)
        elif tensor.dtype.startswith("FLOAT"):
            values = stored.astype(np.float32)
        else:
            continue  # Shapes, paddings, axes.
        constants.append(Constant(tensor, stored, values, np.asarray(zero_point)))
    return constants


_WEIGHT_TYPES = ("FLOAT32", "FLOAT16", "INT4", "INT8", "UINT8", "INT16", "INT32")


def _preservation(path: str, values: np.ndarray, match: Match | None) -> WeightPreservation:
    distinct_before = len(np.unique(values))
    zeros_before = int((values == 0).sum())
    shared = values.ndim >= 2 and _is_shared(values)
    if match is None:
        return WeightPreservation(
            weight=path,
            tensor=None,
            dtype=None,
            size=values.size,
            distinct_before=distinct_before,
            distinct_after=None,
            distinct_per_channel=None,
            zeros_before=zeros_before,
            zeros_after=None,
            sharing="unknown" if shared else "none",
            zeros=_zeros_of_absent(values),
            reason=_absence(values),
        )
    constant = match.constant
    is_zero = np.broadcast_to(constant.stored == constant.zero, constant.stored.shape)
    distinct_after = len(np.unique(constant.stored))
    per_channel = distinct_after
    if match.channel_axis is not None:
        channels = np.moveaxis(constant.stored, match.channel_axis, 0)
        per_channel = max(len(np.unique(channel)) for channel in channels)
    zeros_kept = bool(is_zero[match.weight == 0].all())
    sharing, reason = _verdict(match, shared, distinct_before, distinct_after, per_channel)
    if zeros_before and not zeros_kept:
        reason = "zeros became other numbers" if not reason else f"{reason}; zeros were lost"
    return WeightPreservation(
        weight=path,
        tensor=constant.tensor.name,
        dtype=constant.tensor.dtype,
        size=values.size,
        distinct_before=distinct_before,
        distinct_after=distinct_after,
        distinct_per_channel=per_channel,
        zeros_before=zeros_before,
        zeros_after=int(is_zero.sum()),
        sharing=sharing,
        zeros="none" if not zeros_before else "kept" if zeros_kept else "lost",
        reason=reason,
    )


def _zeros_of_absent(values: np.ndarray) -> str:
    if values.ndim < 2 or values.all():
        return "none"
    # Nothing but zeros: leaving them out changed nothing.
    return "unknown" if values.any() else "kept"


def _absence(values: np.ndarray) -> str:
    if not values.any():
        return "it is all zeros and was left out or merged with other zeros"
    if values.ndim < 2:
        return "no constant of the file has its values; it was computed into others"
    return "no constant of the file has its values"


def _verdict(
    match: Match, shared: bool, before: int, after: int, per_channel: int
) -> tuple[str, str]:
    folded = "a normalization's scale was folded into it" if match.factors is not None else ""
    if not shared:
        return "none", folded
    if after <= before:
        return "kept", folded
    causes = [folded] if folded else []
    if match.constant.tensor.scales.size > 1:
        causes.append("every channel was quantized with a scale of its own")
    reason = " and ".join(causes) or "the converter changed its values"
    return ("per_channel" if per_channel <= before else "lost"), reason


def _of_training(weight: keras.Variable) -> bool:
    """Whether a layer says of its weight that it serves the training alone."""
    return bool(getattr(weight, "of_training", False))


def _is_shared(values: np.ndarray) -> bool:
    kept = values[values != 0]
    distinct = len(np.unique(kept))
    # A weight of one value alone, such as a scale of ones, was never given a codebook.
    if distinct == 1 and kept.size == values.size:
        return False
    return 0 < distinct <= _MAX_SHARED_VALUES and distinct * 2 <= kept.size
