"""What the exporter refuses before it starts, each with the reason and the remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from keras_compress.errors import ExportError
from keras_compress.exporter.tf_converter import INTEGER_ACTIVATIONS
from keras_compress.layers import iter_layers

if TYPE_CHECKING:
    import keras

__all__ = ["PRECISIONS", "QUANTIZERS", "check_model", "check_options", "layers_of"]

PRECISIONS = ("float32", "float16", "dynamic", "int8", "int16x8")
QUANTIZERS = ("tensorflow", "ai-edge")

_FLOAT16_MAX = 65504.0


def layers_of(model: keras.Model) -> list[keras.Layer]:
    """Return every layer below `model`, however deep, without `model` itself."""
    return [layer for _, layer in iter_layers(model)]


def check_options(
    *,
    precision: str,
    has_data: bool,
    sparse: bool,
    io_dtype: str | None,
    tolerance: float | None,
    binary: str,
    quantizer: str = "tensorflow",
    per_channel: bool = True,
    trained_ranges: bool = False,
) -> None:
    """Raise `ExportError` for settings that are unknown or known to fail together."""
    if precision not in PRECISIONS:
        raise ExportError(
            f"`precision` must be one of {', '.join(PRECISIONS)}. "
            f"Received: precision={precision!r}."
        )
    integers = INTEGER_ACTIVATIONS.get(precision)
    if integers and not has_data:
        raise ExportError(
            f'precision="{precision}" needs `representative_data`: activation ranges are measured '
            "on it. Received: none. Pass a few hundred typical inputs, such as x_train[:300]."
        )
    if sparse and (integers or precision == "dynamic"):
        raise ExportError(
            "`sparse=True` needs float32 or float16: the runtime fails on sparse tensors with "
            f'quantized weights. Received: precision="{precision}". Leave `sparse` off; '
            "the packed file stores the zeros compactly anyway."
        )
    if io_dtype not in (None, "int8", "int16", "float32"):
        raise ExportError(
            '`io_dtype` must be "int8", "int16", "float32" or None. '
            f"Received: io_dtype={io_dtype!r}."
        )
    if io_dtype in ("int8", "int16") and io_dtype != integers:
        raise ExportError(
            'io_dtype="int8" goes with precision="int8" alone, and "int16" with "int16x8". '
            f'Received: io_dtype="{io_dtype}" and precision="{precision}".'
        )
    if binary not in ("auto", "never"):
        raise ExportError(f'`binary` must be "auto" or "never". Received: binary={binary!r}.')
    if quantizer not in QUANTIZERS:
        raise ExportError(
            f"`quantizer` must be one of {', '.join(QUANTIZERS)}. Received: {quantizer!r}."
        )
    if quantizer == "ai-edge":
        misfits = [
            what
            for what, is_so in (
                (f'precision="{precision}"', precision not in ("int8", "dynamic")),
                ("per_channel=False", not per_channel),
                ("a model that was trained on integers", trained_ranges),
            )
            if is_so
        ]
        if misfits:
            raise ExportError(
                'quantizer="ai-edge" makes precision="int8" or "dynamic" of a float model, with '
                f"scales per channel. Received: {', '.join(misfits)}. Use the default quantizer."
            )
    if tolerance is not None and not tolerance >= 0:
        raise ExportError(f"`tolerance` can't be negative. Received: tolerance={tolerance}.")


def check_model(model: keras.Model, *, precision: str) -> None:
    """Raise `ExportError` if `model` is nothing the exporter can convert faithfully."""
    import keras

    if not isinstance(model, keras.Model):
        raise ExportError(
            f"The exporter takes a `keras.Model`. Received: {type(model).__module__}."
            f"{type(model).__qualname__}."
        )
    if keras.backend.backend() != "tensorflow":
        raise ExportError(
            "Exporting needs Keras on its TensorFlow back end. Received: "
            f'"{keras.backend.backend()}". Save the model to a .keras file and export that in a '
            "process started with KERAS_BACKEND=tensorflow."
        )
    if isinstance(model, keras.Sequential) and not model.layers:
        raise ExportError(f"A model has to have layers. Received: {model.name!r}, which has none.")
    if not model.built:
        raise ExportError(
            f"A model has to be built before it is exported. Received: {model.name!r}, not "
            "built. Call it on a batch of inputs first, or give it a `keras.Input`."
        )
    _check_layers(model)
    _check_weights(model, precision=precision)


def _check_layers(model: keras.Model) -> None:
    wrapped = [
        layer.name for layer in layers_of(model) if getattr(layer, "requires_finalize", False)
    ]
    if wrapped:
        raise ExportError(
            "Layers still wrapped for training can't be exported: call finalize(model) first "
            f"and export what it returns. Received: {_some(wrapped)}."
        )
    quantized = [
        layer.name for layer in layers_of(model) if getattr(layer, "quantization_mode", None)
    ]
    if quantized:
        raise ExportError(
            "A model changed by `model.quantize` has layers that TFLite's converter rejects. "
            f"Received: {_some(quantized)}. Export the float model, with "
            'precision="int8" if integers are wanted.'
        )


def _check_weights(model: keras.Model, *, precision: str) -> None:
    for weight in model.weights:
        values = np.asarray(weight.value)
        if values.dtype.kind not in "fV":  # ml_dtypes' bfloat16 has kind "V".
            continue
        values = values.astype(np.float32)
        finite = np.isfinite(values)
        if not finite.all():
            raise ExportError(
                f"Weights must be finite. Received: {int((~finite).sum())} of {values.size} "
                f"values of {weight.path!r} are NaN or infinite. The training diverged: go "
                "back to a checkpoint from before that."
            )
        if precision == "float16" and values.size and np.abs(values).max() > _FLOAT16_MAX:
            raise ExportError(
                f"float16 reaches to {_FLOAT16_MAX:g}. Received: {weight.path!r} with a value "
                f'of {float(np.abs(values).max()):g}. Export with precision="float32".'
            )


def _some(names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
