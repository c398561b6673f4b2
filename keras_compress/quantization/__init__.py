"""Quantization-aware training: a net that is trained on what the device computes."""

from keras_compress.engine.technique import Technique, register_technique
from keras_compress.quantization import export as _export  # noqa: F401
from keras_compress.quantization.config import QuantizationConfig
from keras_compress.quantization.fake_quantize import FakeQuantize
from keras_compress.quantization.folded_copy import fold_batch_norms
from keras_compress.quantization.lifecycle import (
    calibrate,
    finalize,
    prepare,
    quantized_layers,
    ranges,
)
from keras_compress.quantization.quantized import Quantized
from keras_compress.quantization.quantizers import ActivationQuantizer, WeightQuantizer
from keras_compress.quantization.report import QuantizationReport, QuantizedLayerReport, report

__all__ = [
    "ActivationQuantizer",
    "FakeQuantize",
    "Quantized",
    "QuantizationConfig",
    "QuantizationReport",
    "QuantizedLayerReport",
    "WeightQuantizer",
    "calibrate",
    "finalize",
    "fold_batch_norms",
    "prepare",
    "ranges",
    "report",
]

register_technique(
    QuantizationConfig,
    Technique(
        "quantization",
        prepare,
        lambda model, _: report(model),
        finalize,
        holds=lambda model: bool(quantized_layers(model)),
    ),
)
