"""How far a result of a converted model is from the Keras model's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_compress.errors import ExportError
from keras_compress.exporter.integer_range import share_outside

__all__ = ["LayerError", "OutputError", "compare", "relative_error"]


@dataclass(frozen=True)
class OutputError:
    """How far one result of the converted model is from the Keras model's.

    Attributes:
        name: The result's name in the signature.
        max_abs_error: Largest absolute difference over all samples.
        mean_abs_error: Mean absolute difference.
        relative_error: Euclidean norm of the difference over that of Keras' result; 0.01 is
            one per cent. `None` where Keras' result is all zeros and the other is not.
        top1_agreement: Share of samples whose largest entry is the same one; `None` for a
            result that is not one vector of scores a sample.
        spread_error: Root mean square of the difference over the standard deviation of Keras'
            result: at 1 the result tells as much as a constant. `None` where Keras' result hardly
            varies.
        saturated: Share of Keras' values that lie beyond what an integer result can hold; 0 for a
            float one.
        within_one_step: Share of an integer result that is no more than one step from Keras';
            `None` for a float one.
    """

    name: str
    max_abs_error: float
    mean_abs_error: float
    relative_error: float | None
    top1_agreement: float | None
    spread_error: float | None = None
    saturated: float = 0.0
    within_one_step: float | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "max_abs_error": self.max_abs_error,
            "mean_abs_error": self.mean_abs_error,
            "relative_error": self.relative_error,
            "top1_agreement": self.top1_agreement,
            "spread_error": self.spread_error,
            "saturated": self.saturated,
            "within_one_step": self.within_one_step,
        }


@dataclass(frozen=True)
class LayerError:
    """The same for a layer's own output, where the file still holds that tensor."""

    layer: str
    kind: str
    tensor: str
    max_abs_error: float
    relative_error: float | None

    def to_dict(self) -> dict[str, Any]:
        return {
            "layer": self.layer,
            "kind": self.kind,
            "tensor": self.tensor,
            "max_abs_error": self.max_abs_error,
            "relative_error": self.relative_error,
        }


def compare(
    name: str,
    expected: np.ndarray,
    received: np.ndarray,
    limits: tuple[float, float] | None = None,
    step: float | None = None,
) -> OutputError:
    """Return how far `received` is from `expected`, a result over all samples.

    Args:
        name: The result's name.
        expected: What Keras computed.
        received: What the converted model computed.
        limits: What an integer result can hold. Defaults to `None`.
        step: The distance of two numbers of an integer result. Defaults to `None`.

    Raises:
        ExportError: If sizes differ, or one of them is NaN or infinite.
    """
    if expected.size != received.size:
        raise ExportError(
            f"The converted model's result {name!r} has another size than the Keras model's. "
            f"Received: {received.shape} instead of {expected.shape}. A result that has no sample "
            "axis, or takes several samples together, can't be exported with batch 1."
        )
    expected = expected.astype(np.float64)
    received = received.reshape(expected.shape).astype(np.float64)
    if not np.isfinite(expected).all():
        raise ExportError(
            f"The Keras model's own result {name!r} is NaN or infinite on these samples, so "
            "there is nothing to verify the conversion against."
        )
    if not np.isfinite(received).all():
        raise ExportError(
            f"The converted model's result {name!r} is NaN or infinite where the Keras model's "
            "is finite. The conversion is not usable."
        )
    difference = np.abs(expected - received)
    agreement = None
    if expected.ndim == 2 and expected.shape[1] > 1:
        agreement = float((expected.argmax(axis=1) == received.argmax(axis=1)).mean())
    return OutputError(
        name=name,
        max_abs_error=float(difference.max(initial=0.0)),
        mean_abs_error=float(difference.mean()) if difference.size else 0.0,
        relative_error=relative_error(difference, expected),
        top1_agreement=agreement,
        spread_error=_of_spread(difference, expected),
        saturated=share_outside(expected, limits),
        within_one_step=_within(difference, step),
    )


# Below this share of the largest value, what varies in a result may be rounding alone.
_MIN_SPREAD = 1e-5


def _within(difference: np.ndarray, step: float | None) -> float | None:
    if step is None or not difference.size:
        return None
    # Keras' own result may be a float in between, or the same number to the last digit.
    return float((difference <= 1.01 * step).mean())


def _of_spread(difference: np.ndarray, expected: np.ndarray) -> float | None:
    if expected.size < 2:
        return None
    spread = float(expected.std())
    if spread <= _MIN_SPREAD * float(np.abs(expected).max()):
        return None
    return float(np.sqrt(np.mean(difference**2))) / spread


def relative_error(difference: np.ndarray, expected: np.ndarray) -> float | None:
    """Return the norm of `difference` over that of `expected`; `None` if the latter alone is 0."""
    norm = float(np.linalg.norm(expected.astype(np.float64)))
    distance = float(np.linalg.norm(difference))
    if norm == 0.0:
        return 0.0 if distance == 0.0 else None
    return distance / norm
