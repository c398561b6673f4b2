"""What a binary net holds and computes, layer by layer: 1-bit parameters, bytes, binary MACs."""

from __future__ import annotations

import io
import math
from dataclasses import asdict, dataclass
from typing import Any

import keras
from rich.console import Console
from rich.table import Table

from keras_compress.binary.binary_layer import BinaryLayer
from keras_compress.engine.profile import layer_calls, layer_macs, own_weights, sample_shape
from keras_compress.layers import iter_layers

__all__ = ["LayerSummary", "ModelSummary", "summarize"]


@dataclass(frozen=True)
class LayerSummary:
    """One layer in a `ModelSummary`.

    Attributes:
        layer: Path of the layer in the model.
        kind: Its class.
        input_bits: Bits of an input value as it meets the kernel.
        kernel_bits: Bits of a kernel value, alpha left aside.
        output_shape: Shape of one sample's output; `None` if it ran more than once.
        parameters: Number of weights of any kind.
        low_bit_parameters: Those that a quantizer reduces to `kernel_bits`.
        scales: Number of alphas.
        bytes: Bytes of the weights, bits packed, the rest and the alphas in float32.
        binary_macs: Multiply-accumulates of -1 and +1 by -1 and +1, for one sample.
        real_macs: All other multiply-accumulates of convolutions and dense layers.
    """

    layer: str
    kind: str
    input_bits: int
    kernel_bits: int
    output_shape: tuple[int, ...] | None
    parameters: int
    low_bit_parameters: int
    scales: int
    bytes: int
    binary_macs: int
    real_macs: int


@dataclass(frozen=True)
class ModelSummary:
    """What `summarize` counted; prints as a table."""

    name: str
    layers: tuple[LayerSummary, ...]

    @property
    def bytes(self) -> int:
        """Bytes of all weights, binarized ones packed."""
        return sum(row.bytes for row in self.layers)

    @property
    def float_bytes(self) -> int:
        """Bytes of the same weights in float32, without alphas."""
        return 4 * sum(row.parameters for row in self.layers)

    @property
    def one_bit_parameters(self) -> int:
        return sum(row.low_bit_parameters for row in self.layers if row.kernel_bits == 1)

    @property
    def binary_macs(self) -> int:
        return sum(row.binary_macs for row in self.layers)

    @property
    def real_macs(self) -> int:
        return sum(row.real_macs for row in self.layers)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that `json.dumps` takes."""
        return {
            "name": self.name,
            "layers": [asdict(row) for row in self.layers],
            "bytes": self.bytes,
            "float_bytes": self.float_bytes,
            "one_bit_parameters": self.one_bit_parameters,
            "binary_macs": self.binary_macs,
            "real_macs": self.real_macs,
        }

    def table(self) -> Table:
        """Return the summary as a `rich` table."""
        table = Table(title=self.name, show_footer=True)
        parameters = sum(row.parameters for row in self.layers)
        columns = (
            ("layer", f"{len(self.layers)} layers"),
            ("input bits", ""),
            ("kernel bits", ""),
            ("output", ""),
            ("parameters", f"{parameters:,}"),
            ("1-bit", f"{self.one_bit_parameters:,}"),
            ("bytes", f"{self.bytes:,}"),
            ("binary MACs", f"{self.binary_macs:,}"),
            ("real MACs", f"{self.real_macs:,}"),
        )
        for number, (heading, footer) in enumerate(columns):
            table.add_column(heading, footer, justify="right" if number else "left")
        for row in self.layers:
            shape = "-" if row.output_shape is None else "x".join(map(str, row.output_shape))
            one_bit = row.low_bit_parameters if row.kernel_bits == 1 else 0
            table.add_row(
                f"{row.layer} ({row.kind})",
                str(row.input_bits),
                str(row.kernel_bits),
                shape,
                f"{row.parameters:,}",
                f"{one_bit:,}",
                f"{row.bytes:,}",
                f"{row.binary_macs:,}",
                f"{row.real_macs:,}",
            )
        table.caption = (
            f"{self.float_bytes:,} bytes in float32, {self.float_bytes / max(self.bytes, 1):.1f} "
            "times as many"
        )
        return table

    def __str__(self) -> str:
        out = io.StringIO()
        Console(file=out, width=140).print(self.table())
        return out.getvalue()


def summarize(model: keras.Model, input_shape: object = None) -> ModelSummary:
    """Count what `model` holds and computes for one sample.

    The model is run once on zeros, so that nested, shared and subclassed models count right.

    Example:

    ```python
    print(keras_compress.binary.summarize(model))
    ```

    Args:
        model: A built `keras.Model`.
        input_shape: Shape of one sample, without the batch axis. Defaults to `None`: the
            model's own.

    Raises:
        KerasCompressError: If the model is unbuilt, has several inputs, or its input has an
            unknown side and `input_shape` is `None`.
    """
    calls = layer_calls(model, sample_shape(model, input_shape))
    rows = []
    for ancestors, layer in iter_layers(model):
        own = own_weights(layer)
        if not own:
            continue
        path = "/".join(part.name for part in (*ancestors, layer))
        rows.append(_row(path, layer, own, calls.get(id(layer), [])))
    return ModelSummary(model.name, tuple(rows))


def _row(path: str, layer: keras.Layer, own: list[Any], calls: list[Any]) -> LayerSummary:
    parameters = sum(math.prod(variable.shape) for variable in own)
    input_bits = kernel_bits = 32
    low = scales = 0
    binary = False
    if isinstance(layer, BinaryLayer):
        if layer.input_quantizer is not None:
            input_bits = layer.input_quantizer.precision
        if layer.kernel_quantizer is not None:
            kernel_bits = layer.kernel_quantizer.precision
            low = math.prod(layer.kernel.shape)
            scale = layer.kernel_quantizer.scale_of(
                keras.ops.convert_to_tensor(layer.kernel), layer.filter_axes
            )
            scales = 0 if scale is None else math.prod(scale.shape)
        binary = layer.has_binary_input and layer.has_binary_kernel
    macs = layer_macs(layer, calls)
    return LayerSummary(
        layer=path,
        kind=type(layer).__name__,
        input_bits=input_bits,
        kernel_bits=kernel_bits,
        output_shape=calls[0][1] if len(calls) == 1 else None,
        parameters=parameters,
        low_bit_parameters=low,
        scales=scales,
        bytes=math.ceil(low * kernel_bits / 8) + 4 * (parameters - low + scales),
        binary_macs=macs if binary else 0,
        real_macs=0 if binary else macs,
    )
