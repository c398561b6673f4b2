"""Running a converted model beside the Keras model and stating how far they are apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_compress.exporter.comparison import LayerError, OutputError, compare, relative_error
from keras_compress.exporter.inputs import ModelInputs
from keras_compress.exporter.integer_range import result_limits, result_step
from keras_compress.exporter.tracing import LayerOutput, Trace, run_layers, run_model
from keras_compress.tflite.model_file import Tensor, TfliteFile
from keras_compress.tflite.running import dequantized, quantized, run_tflite, signature_of
from keras_compress.tflite.runtime import load_runtime, make_interpreter

if TYPE_CHECKING:
    import keras

__all__ = ["Verification", "verify_layers", "verify_outputs"]


@dataclass(frozen=True)
class Verification:
    """The outcome of a verification.

    Attributes:
        samples: Number of samples compared.
        data: Where they came from: `"samples"`, `"representative_data"` or `"random"`.
        outputs: One entry a result.
        layers: One entry a layer output found in the file, where layers were asked for.
        unmapped_layers: Layers whose outputs the converter fused away; none were asked for
            if both this and `layers` are empty.
        runtime: Name and version of the TFLite runtime.
    """

    samples: int
    data: str
    outputs: tuple[OutputError, ...]
    layers: tuple[LayerError, ...]
    unmapped_layers: tuple[str, ...]
    runtime: str

    @property
    def max_abs_error(self) -> float:
        """The largest over all results."""
        return max(output.max_abs_error for output in self.outputs)

    @property
    def top1_agreement(self) -> float | None:
        """The smallest over all results that have one."""
        shares = [o.top1_agreement for o in self.outputs if o.top1_agreement is not None]
        return min(shares) if shares else None

    def to_dict(self) -> dict[str, Any]:
        return {
            "samples": self.samples,
            "data": self.data,
            "runtime": self.runtime,
            "max_abs_error": self.max_abs_error,
            "top1_agreement": self.top1_agreement,
            "outputs": [output.to_dict() for output in self.outputs],
            "layers": [layer.to_dict() for layer in self.layers],
            "unmapped_layers": list(self.unmapped_layers),
        }


def verify_outputs(
    model: keras.Model,
    inputs: ModelInputs,
    trace: Trace,
    data: bytes,
    file: TfliteFile,
    rows: list[np.ndarray],
) -> tuple[OutputError, ...]:
    """Compare all results over all `rows`.

    Raises:
        ExportError: If either model can't be run on the samples or yields NaN or infinity, or
            they disagree about shapes.
    """
    expected = run_model(model, inputs, rows)
    received = run_tflite(data, file, dict(zip(_names(inputs), rows, strict=True)))
    return tuple(
        compare(name, wanted, received[name], result_limits(file, name), result_step(file, name))
        for name, wanted in zip(trace.outputs, expected, strict=True)
    )


def verify_layers(
    model: keras.Model,
    inputs: ModelInputs,
    trace: Trace,
    data: bytes,
    file: TfliteFile,
    row: list[np.ndarray],
    indices: dict[str, int],
) -> tuple[tuple[LayerError, ...], tuple[str, ...]]:
    """Compare layer by layer on one sample; return the errors and the layers not found.

    A tensor of the file belongs to a layer if the converter named it after the operation that
    produced the layer's output while the model was traced. The runtime's own kernels are used,
    since a delegate keeps no tensor but its results.
    """
    expected = run_layers(model, inputs, row)
    interpreter = make_interpreter(load_runtime(), data, delegate="none", keep_every_tensor=True)
    interpreter.allocate_tensors()
    for name, index in signature_of(file).inputs.items():
        value = row[_names(inputs).index(name)]
        interpreter.set_tensor(index, quantized(value, file.tensor(index)))
    interpreter.invoke()

    activations = {
        # The last operation of a fused group comes first in the name.
        tensor.name.split(";")[0]: tensor
        for operator in file.operators
        for tensor in (file.tensor(index) for index in operator.outputs)
    }
    # Results lose their own names in the file.
    computed = {index for operator in file.operators for index in operator.outputs}
    results = {
        trace.results[name]: file.tensor(index)
        for name, index in indices.items()
        if index in computed
    }
    errors, unmapped, seen = [], [], set()
    for symbolic, actual in _pairs(trace, expected):
        tensor = None if actual is None else _tensor_of(symbolic, activations, results)
        if actual is None or tensor is None or _count(tensor.shape) != actual.value.size:
            unmapped.append(symbolic.path)
            continue
        if (symbolic.path, tensor.index) in seen:
            continue
        seen.add((symbolic.path, tensor.index))
        value = dequantized(interpreter.get_tensor(tensor.index), tensor)
        difference = np.abs(value.reshape(-1) - actual.value.reshape(-1).astype(np.float64))
        errors.append(
            LayerError(
                layer=symbolic.path,
                kind=symbolic.kind,
                tensor=tensor.name,
                max_abs_error=float(difference.max(initial=0.0)),
                relative_error=relative_error(difference, actual.value),
            )
        )
    # A layer may return a number beside its result that the file has no tensor for.
    found = {error.layer for error in errors}
    return tuple(errors), tuple(dict.fromkeys(p for p in unmapped if p not in found))


def _pairs(
    trace: Trace, expected: list[LayerOutput]
) -> list[tuple[LayerOutput, LayerOutput | None]]:
    """Pair what a layer returned when traced with what it returned when run.

    Inside a loop a layer is traced once and run many times; it is paired with nothing.
    """
    run: dict[str, list[LayerOutput]] = {}
    for output in expected:
        run.setdefault(output.path, []).append(output)
    traced: dict[str, list[LayerOutput]] = {}
    for output in trace.layer_outputs:
        traced.setdefault(output.path, []).append(output)
    pairs: list[tuple[LayerOutput, LayerOutput | None]] = []
    for path, outputs in traced.items():
        actual = run.get(path, [])
        same = len(actual) == len(outputs)
        pairs += zip(outputs, actual if same else [None] * len(outputs), strict=True)
    return pairs


def _tensor_of(
    symbolic: LayerOutput, activations: dict[str, Tensor], results: dict[str, Tensor]
) -> Tensor | None:
    value = symbolic.value
    while hasattr(value, "op"):
        if value.name in results:
            return results[value.name]
        operation = value.op.name
        for candidate in (operation, *(f"{operation}{number}" for number in range(1, 4))):
            # The converter numbers tensors whose names collide, such as a kernel's and that of
            # the convolution which reads it.
            if candidate in activations:
                return activations[candidate]
        if value.op.type not in _VANISHING_OPERATIONS:
            return None
        value = value.op.inputs[0]
    return None


# Operations that the converter drops when they change nothing (a bias of zeros), so that the
# tensor before them stands for the layer's output.
_VANISHING_OPERATIONS = (
    "BiasAdd",
    "FakeQuantWithMinMaxVars",
    "Identity",
    "Reshape",
    "Squeeze",
)


def _names(inputs: ModelInputs) -> list[str]:
    return [spec.name for spec in inputs.specs]


def _count(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=np.int64)) if shape else 1
