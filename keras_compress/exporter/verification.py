"""Running a converted model beside the Keras model and stating how far they are apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_compress.errors import ExportError, KerasCompressError
from keras_compress.exporter.inputs import ModelInputs
from keras_compress.exporter.integer_range import result_limits, share_outside
from keras_compress.exporter.tflite_file import Signature, Tensor, TfliteFile
from keras_compress.exporter.tracing import LayerOutput, Trace, run_layers, run_model
from keras_compress.runtime import load_runtime, make_interpreter

__all__ = [
    "LayerError",
    "OutputError",
    "Verification",
    "densified_constants",
    "run_tflite",
    "verify_layers",
    "verify_outputs",
]


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
    """

    name: str
    max_abs_error: float
    mean_abs_error: float
    relative_error: float | None
    top1_agreement: float | None
    spread_error: float | None = None
    saturated: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "max_abs_error": self.max_abs_error,
            "mean_abs_error": self.mean_abs_error,
            "relative_error": self.relative_error,
            "top1_agreement": self.top1_agreement,
            "spread_error": self.spread_error,
            "saturated": self.saturated,
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
    model: Any,
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
        _compare(name, wanted, received[name], result_limits(file, name))
        for name, wanted in zip(trace.outputs, expected, strict=True)
    )


def run_tflite(data: bytes, file: TfliteFile, rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Run a `.tflite` model of batch 1 over `rows` and return its results by name.

    Float samples are quantized for, and quantized results dequantized from, an integer model.

    Args:
        data: The file.
        file: The same, read.
        rows: For each argument of its signature, an array with samples along the first axis.

    Raises:
        ExportError: If the runtime refuses the model or fails on a sample.
    """
    signature = _signature(file)
    collected: dict[str, list[np.ndarray]] = {name: [] for name in signature.outputs}
    try:
        interpreter = make_interpreter(load_runtime(), data)
        interpreter.allocate_tensors()
        for i in range(len(next(iter(rows.values())))):
            for name, index in signature.inputs.items():
                value = _quantized(rows[name][i : i + 1], file.tensor(index))
                interpreter.set_tensor(index, value)
            interpreter.invoke()
            for name, index in signature.outputs.items():
                value = interpreter.get_tensor(index)
                collected[name].append(_dequantized(value, file.tensor(index)))
    except (RuntimeError, ValueError) as error:
        if isinstance(error, KerasCompressError):
            raise
        raise ExportError(
            "The runtime can't run the converted model on these samples: "
            f"{' '.join(str(error).split())[:300]}. Results whose size depends on the input, and "
            "layers whose results are always zero in int8, do this."
        ) from error
    return {name: _concatenated(parts) for name, parts in collected.items()}


def _concatenated(parts: list[np.ndarray]) -> np.ndarray:
    # A result without a sample axis is one number, or one table, a sample.
    if parts[0].ndim == 0 or any(part.shape[1:] != parts[0].shape[1:] for part in parts):
        return np.concatenate([part.reshape(-1) for part in parts])
    return np.concatenate(parts)


def verify_layers(
    model: Any,
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
    for name, index in _signature(file).inputs.items():
        value = row[_names(inputs).index(name)]
        interpreter.set_tensor(index, _quantized(value, file.tensor(index)))
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
        value = _dequantized(interpreter.get_tensor(tensor.index), tensor)
        difference = np.abs(value.reshape(-1) - actual.value.reshape(-1).astype(np.float64))
        errors.append(
            LayerError(
                layer=symbolic.path,
                kind=symbolic.kind,
                tensor=tensor.name,
                max_abs_error=float(difference.max(initial=0.0)),
                relative_error=_relative(difference, actual.value),
            )
        )
    return tuple(errors), tuple(dict.fromkeys(unmapped))


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


def densified_constants(data: bytes, file: TfliteFile) -> dict[int, np.ndarray]:
    """Return the values of constants stored sparse, by index, as the runtime unpacks them."""
    pairs = [
        (operator.inputs[0], operator.outputs[0])
        for operator in file.operators
        if operator.name == "DENSIFY"
    ]
    if not pairs:
        return {}
    interpreter = make_interpreter(load_runtime(), data, delegate="none", keep_every_tensor=True)
    interpreter.allocate_tensors()
    for index in file.inputs:
        tensor = file.tensor(index)
        interpreter.set_tensor(index, np.zeros(tensor.shape, tensor.dtype.lower()))
    interpreter.invoke()
    return {source: interpreter.get_tensor(result).copy() for source, result in pairs}


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
_VANISHING_OPERATIONS = ("BiasAdd", "Identity", "Reshape", "Squeeze")


def _compare(
    name: str,
    expected: np.ndarray,
    received: np.ndarray,
    limits: tuple[float, float] | None = None,
) -> OutputError:
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
        relative_error=_relative(difference, expected),
        top1_agreement=agreement,
        spread_error=_of_spread(difference, expected),
        saturated=share_outside(expected, limits),
    )


# Below this share of the largest value, what varies in a result may be rounding alone.
_LEAST_SPREAD = 1e-5


def _of_spread(difference: np.ndarray, expected: np.ndarray) -> float | None:
    if expected.size < 2:
        return None
    spread = float(expected.std())
    if spread <= _LEAST_SPREAD * float(np.abs(expected).max()):
        return None
    return float(np.sqrt(np.mean(difference**2))) / spread


def _relative(difference: np.ndarray, expected: np.ndarray) -> float | None:
    norm = float(np.linalg.norm(expected.astype(np.float64)))
    distance = float(np.linalg.norm(difference))
    if norm == 0.0:
        return 0.0 if distance == 0.0 else None
    return distance / norm


def _quantized(values: np.ndarray, tensor: Tensor) -> np.ndarray:
    if tensor.dtype not in ("INT8", "UINT8", "INT16") or not tensor.scales.size:
        return values
    scale, zero_point = tensor.quantization()
    limits = np.iinfo(tensor.dtype.lower())
    rounded = np.round(values / scale) + zero_point
    return np.clip(rounded, limits.min, limits.max).astype(limits.dtype)


def _dequantized(values: np.ndarray, tensor: Tensor) -> np.ndarray:
    if not tensor.scales.size:
        return values.astype(np.float64)
    scale, zero_point = tensor.quantization()
    return (values.astype(np.float64) - zero_point) * scale


def _signature(file: TfliteFile) -> Signature:
    if not file.signatures:
        raise ExportError("The model has no signature, so its arguments have no names.")
    return file.signatures[0]


def _names(inputs: ModelInputs) -> list[str]:
    return [spec.name for spec in inputs.specs]


def _count(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=np.int64)) if shape else 1
