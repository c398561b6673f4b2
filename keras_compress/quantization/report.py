"""What quantization makes of each layer, as a table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_compress.engine.report import values_of
from keras_compress.errors import KerasCompressError
from keras_compress.layers import iter_layers
from keras_compress.quantization.fake_quantize import FakeQuantize
from keras_compress.quantization.kernel_operators import operator_of
from keras_compress.quantization.numerics import weight_steps
from keras_compress.quantization.quantized import Quantized

if TYPE_CHECKING:
    import keras

# Last digits of float32 after a multiplication and a division, in steps.
_OFF_GRID = 1e-3

__all__ = ["QuantizationReport", "QuantizedLayerReport", "report"]


@dataclass(frozen=True)
class QuantizedLayerReport:
    """One layer in a `QuantizationReport`.

    Attributes:
        layer: Its name.
        kind: Its class, or that of the layer within.
        action: `"weights"`: its weights are integers; `"range"`: its activations are rounded to
            the integers of its range; `"unseen"`: they will be, once the range has seen data;
            `"passed on"`: it works on the integers of its inputs; `"float"`: its weights are not
            quantized.
        bits: Bits of a value; 0 where the layer rounds nothing.
        detail: What is folded in, and how many steps there are; or the range.
        zeros: Share of weights that are zero, from 0 to 1.
        distinct: Distinct integers among the weights.
    """

    layer: str
    kind: str
    action: str
    bits: int
    detail: str
    zeros: float
    distinct: int


@dataclass(frozen=True)
class QuantizationReport:
    """What quantization makes of a model, layer by layer."""

    layers: tuple[QuantizedLayerReport, ...]

    def __iter__(self) -> Iterator[QuantizedLayerReport]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values that `json.dumps` takes."""
        return {"technique": "quantization", "layers": [asdict(row) for row in self.layers]}

    def __str__(self) -> str:
        rows = [("layer", "kind", "action", "bits", "zeros", "distinct", "detail")]
        for row in self.layers:
            weights = row.action == "weights"
            rows.append(
                (
                    row.layer,
                    row.kind,
                    row.action,
                    str(row.bits) if row.bits else "",
                    f"{row.zeros:.1%}" if weights else "",
                    str(row.distinct) if weights else "",
                    row.detail,
                )
            )
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = ["  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)) for r in rows]
        return "\n".join(line.rstrip() for line in lines)


def report(model: keras.Model) -> QuantizationReport:
    """Return what quantization makes of each layer of a prepared or finalized model.

    Args:
        model: A model from `quantization.prepare` or `finalize`.

    Raises:
        KerasCompressError: If the model is neither.
    """
    layers = [layer for above, layer in iter_layers(model) if not above]
    if not any(isinstance(layer, Quantized | FakeQuantize) for layer in layers):
        raise KerasCompressError(
            "`quantization.report` takes what `quantization.prepare` or `finalize` returned. "
            f"Received: {model.name!r}, which has no quantized layer."
        )
    return QuantizationReport(tuple(_row(layer) for layer in layers))


def _row(layer: keras.Layer) -> QuantizedLayerReport:
    if isinstance(layer, FakeQuantize):
        return _range_row(layer)
    kind = type(layer).__name__
    if isinstance(layer, Quantized):
        quantizer = layer.quantizer
        parts = ["one step a channel" if quantizer.per_channel else "one step"]
        if quantizer.range == "learned":
            parts[0] += ", learned"
        if layer.norm is not None:
            parts.append(f"{layer.norm.name} folded in")
        if layer.activation != "linear":
            parts.append(layer.activation)
        integers = layer.integers()
        kind = type(layer.layer).__name__
        return _weights_row(layer.name, kind, quantizer.bits, integers, ", ".join(parts))
    kernel = getattr(layer, "kernel", None)
    if kernel is not None:
        values = values_of(kernel)
        if not _on_integers(layer, values):
            return QuantizedLayerReport(layer.name, kind, "float", 0, "", 0.0, 0)
        return _weights_row(layer.name, kind, 8, values, "finalized")
    return QuantizedLayerReport(layer.name, kind, "passed on", 0, "", 0.0, 0)


def _on_integers(layer: keras.Layer, values: np.ndarray) -> bool:
    """Whether the weights of a stock layer lie on the 8-bit grid that `finalize` leaves."""
    operator = operator_of(layer)
    if operator is None:
        return False
    steps = weight_steps(values, operator.channel_axes, 8)
    integers = values / values_of(steps)
    return bool(np.abs(integers - np.rint(integers)).max() < _OFF_GRID)


def _weights_row(
    name: str, kind: str, bits: int, values: np.ndarray, detail: str
) -> QuantizedLayerReport:
    zeros = 1.0 - np.count_nonzero(values) / values.size
    distinct = int(np.unique(values).size)
    return QuantizedLayerReport(name, kind, "weights", bits, detail, float(zeros), distinct)


def _range_row(layer: FakeQuantize) -> QuantizedLayerReport:
    ends = layer.trained_range()
    kind, bits = type(layer).__name__, layer.quantizer.bits
    if ends is None:
        return QuantizedLayerReport(layer.name, kind, "unseen", bits, "no data yet", 0.0, 0)
    detail = f"{ends[0]:.4g} to {ends[1]:.4g}"
    if layer.fixed_range is not None:
        detail += ", by the operator"
    elif layer.quantizer.range != "moving_average":
        detail += f", {layer.quantizer.range}"
    return QuantizedLayerReport(layer.name, kind, "range", bits, detail, 0.0, 0)
