"""Putting custom operators in the place of binary computations, in a converted `.tflite`.

What the converter made of a binary layer is found by what it computes: numbers compared with zero,
+1 or -1 selected, and a convolution whose filters hold two values that differ in sign. By then the
converter has folded normalization, scale, bias and activation, and quantized what is quantized.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from keras_compress.tflite.custom_operators import BINARY_CONVOLUTION, UNPACK_WEIGHTS
from keras_compress.tflite.editor import Editor

__all__ = [
    "FALLBACK_NAME",
    "Rewritten",
    "rewrite_binary",
]

FALLBACK_NAME = "model.fallback.tflite"
# A runtime without the delegate prints this name when it refuses the file.
_ADVICE = f": load with keras_compress.load_interpreter, or open the fallback {FALLBACK_NAME}"
_CONVOLUTION = BINARY_CONVOLUTION + _ADVICE
_UNPACK = UNPACK_WEIGHTS + _ADVICE
_ATTRIBUTES, _UNPACK_ATTRIBUTES = 0x3142434B, 0x3155434B
# Smaller kernels cost more as a node than they save as bits.
_FEWEST_WEIGHTS = 1024
_ACTIVATIONS = {0: 0, 1: 1, 3: 2, 2: 3}  # TFLite's NONE, RELU, RELU6, RELU_N1_TO_1


@dataclass(frozen=True)
class Rewritten:
    """A rewritten file.

    Attributes:
        tflite: Its bytes.
        layers: Names of the results of layers that compute with bits.
        packed_weights: Names of kernels stored as bits for layers with real inputs.
        passed_as_bits: Names of tensors that go from layer to layer as bits.
    """

    tflite: bytes = field(repr=False)
    layers: tuple[str, ...]
    packed_weights: tuple[str, ...]
    passed_as_bits: tuple[str, ...]


def rewrite_binary(data: bytes) -> Rewritten:
    """Return `data` with custom operators for its binary layers, and what was found.

    Raises:
        ModelFileError: If `data` is no TFLite model.
    """
    return _Rewriter(data).rewrite()


class _Rewriter:
    def __init__(self, data: bytes) -> None:
        self.editor = Editor(data)
        self.file, self.graph = self.editor.file, self.editor.graph
        self.kind, self.name = self.editor.kind, self.editor.name
        self.producers = self.editor.producers()

    def rewrite(self) -> Rewritten:
        binary, packed = [], []
        for operator in list(self.graph.operators):
            if self.kind(operator) not in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
                continue
            kernel = self.two_valued(operator)
            if kernel is None:
                continue
            source = self.signs_behind(int(operator.inputs[0]))
            if source is not None and self.make_binary(operator, kernel, *source):
                binary.append(operator)
            elif source is None and self.make_packed(operator, kernel):
                packed.append(self.name(int(operator.inputs[1])))
        self.editor.drop_unused_operators()
        bits = self.pass_bits({id(operator) for operator in binary})
        names = tuple(self.name(int(operator.outputs[0])) for operator in binary)
        passed = tuple(self.name(tensor) for tensor in bits)
        self.editor.drop_unused_tensors()
        return Rewritten(self.editor.packed(), names, tuple(packed), passed)

    # Reading the graph.

    def stored(self, tensor: int) -> Any:
        """The constant that a tensor is, or is widened from; `None` if there is none."""
        if tensor < 0:
            return None
        producer = self.producers.get(tensor)
        if producer is not None and self.kind(producer) == "DEQUANTIZE":
            tensor = int(producer.inputs[0])
        found = self.file.tensor(tensor)
        return found if found.is_readable else None

    def constant(self, tensor: int) -> np.ndarray | None:
        found = self.stored(tensor)
        return None if found is None else np.asarray(found.dequantized(), np.float32)

    def is_constant_of(self, tensor: int, value: float) -> bool:
        found = self.constant(tensor)
        # Quantized, +1 and -1 are only near.
        return found is not None and found.size == 1 and abs(float(found.flat[0]) - value) < 0.01

    def two_valued(self, operator: Any) -> tuple[np.ndarray, np.ndarray] | None:
        """The kernel's signs, filters first, and each filter's scale; `None` if it has others."""
        tensor = self.stored(int(operator.inputs[1])) if len(operator.inputs) > 1 else None
        if tensor is None or tensor.dtype not in ("FLOAT32", "FLOAT16", "INT8"):
            return None
        values = np.asarray(tensor.dequantized(), np.float32)
        if self.kind(operator) == "DEPTHWISE_CONV_2D":
            values = values.transpose(3, 1, 2, 0)
        scale = np.abs(values.reshape(len(values), -1)).max(axis=1)
        expected = scale.reshape(-1, *[1] * (values.ndim - 1))
        if not (np.abs(values) == expected).all() or not (scale > 0).all():
            return None
        return values, scale.astype(np.float32)

    def signs_behind(self, tensor: int) -> tuple[int, list[int] | None, int] | None:
        """The tensor whose signs `tensor` holds, explicit padding, and whether it pads with +1."""
        pads, ones = None, 0
        producer = self.producers.get(tensor)
        if producer is not None and self.kind(producer) in ("PAD", "PADV2"):
            amounts = self.file.tensor(int(producer.inputs[1]))
            if not amounts.is_readable or amounts.shape != (4, 2):
                return None
            table = amounts.array()
            if table[0].any() or table[3].any():
                return None
            pads = [int(table[1, 0]), int(table[2, 0]), int(table[1, 1]), int(table[2, 1])]
            if len(producer.inputs) > 2:
                ones = int(self.is_constant_of(int(producer.inputs[2]), 1.0))
                if not ones and not self.is_constant_of(int(producer.inputs[2]), 0.0):
                    return None
            producer = self.producers.get(int(producer.inputs[0]))
        if producer is None or self.kind(producer) not in ("SELECT", "SELECT_V2"):
            return None
        condition, first, second = (int(t) for t in producer.inputs)
        compare = self.producers.get(condition)
        if (
            compare is None
            or self.kind(compare) != "GREATER_EQUAL"
            or not self.is_constant_of(first, 1.0)
            or not self.is_constant_of(second, -1.0)
            or not self.is_constant_of(int(compare.inputs[1]), 0.0)
        ):
            return None
        return int(compare.inputs[0]), pads, ones

    # Changing it.

    def make_binary(
        self,
        operator: Any,
        kernel: tuple[np.ndarray, np.ndarray],
        source: int,
        pads: list[int] | None,
        ones: int,
    ) -> bool:
        values, scale = kernel
        image = self.file.tensor(source)
        output = self.file.tensor(int(operator.outputs[0]))
        dense = self.kind(operator) == "FULLY_CONNECTED"
        rank = 2 if dense else 4
        if image.dtype not in ("FLOAT32", "INT8") or output.dtype != image.dtype:
            return False
        if len(image.shape) != rank or len(output.shape) != rank:
            return False
        options, filters, channels = operator.builtinOptions, len(values), image.shape[-1]
        if dense:
            sizes, steps, same, groups = [1, 1], [1, 1, 1, 1], 0, 1
            if values.shape[1] != channels:
                return False
        else:
            sizes = [values.shape[1], values.shape[2]]
            steps = [
                options.strideH,
                options.strideW,
                options.dilationHFactor,
                options.dilationWFactor,
            ]
            same = int(options.padding == self.editor.types.Padding.SAME)
            groups = channels // values.shape[3]
        activation = _ACTIVATIONS.get(options.fusedActivationFunction)
        if activation is None or (pads is not None and same):
            return False
        bias = np.zeros(filters, np.float32)
        if len(operator.inputs) > 2 and int(operator.inputs[2]) >= 0:
            constant = self.constant(int(operator.inputs[2]))
            if constant is None or constant.size != filters:
                return False
            bias = constant.reshape(-1).astype(np.float32)
        attributes = [_ATTRIBUTES, *sizes, channels, filters, *steps, groups, same]
        attributes += [*(pads or [0, 0, 0, 0]), ones, activation]
        name = self.name(int(operator.outputs[0]))
        self.editor.make_custom(
            operator,
            _CONVOLUTION,
            attributes,
            [
                source,
                self.editor.add_constant(f"{name}/bits", _packed(values)),
                self.editor.add_constant(f"{name}/scale", scale),
                self.editor.add_constant(f"{name}/bias", bias),
            ],
        )
        return True

    def make_packed(self, operator: Any, kernel: tuple[np.ndarray, np.ndarray]) -> bool:
        _, scale = kernel
        index = int(operator.inputs[1])
        tensor = self.stored(index)
        computes_float = self.file.tensor(int(operator.outputs[0])).dtype == "FLOAT32"
        if not computes_float or int(np.prod(tensor.shape)) < _FEWEST_WEIGHTS:
            return False
        axis = len(tensor.shape) - 1 if self.kind(operator) == "DEPTHWISE_CONV_2D" else 0
        result = self.editor.add_tensor(f"{self.name(index)}/unpacked", tensor.shape, "FLOAT32")
        code = self.editor.operator_code("CUSTOM", custom=_UNPACK)
        unpack = self.editor.make_operator(code, [], [result])
        self.editor.make_custom(
            unpack,
            _UNPACK,
            [_UNPACK_ATTRIBUTES, axis],
            [
                self.editor.add_constant(f"{self.name(index)}/bits", _packed(tensor.dequantized())),
                self.editor.add_constant(f"{self.name(index)}/scale", scale),
            ],
        )
        self.editor.insert_before(operator, unpack)
        operator.inputs = np.array(
            [operator.inputs[0], unpack.outputs[0], *operator.inputs[2:]], np.int32
        )
        return True

    def pass_bits(self, binary: set[int]) -> list[int]:
        """Let tensors that only binary layers write and read hold bits."""
        results = {int(t) for t in self.graph.outputs}
        readers = self.editor.readers()
        passed = []
        for operator in self.graph.operators:
            index = int(operator.outputs[0])
            if id(operator) not in binary or index in results:
                continue
            if not all(id(r) in binary and int(r.inputs[0]) == index for r in readers[index]):
                continue
            tensor = self.graph.tensors[index]
            shape = [int(size) for size in tensor.shape]
            tensor.shape = np.array([*shape[:-1], (shape[-1] + 31) // 32], np.int32)
            tensor.shapeSignature = None
            tensor.type = self.editor.types.TensorType.INT32
            tensor.quantization = None
            passed.append(index)
        return passed


def _packed(values: np.ndarray) -> np.ndarray:
    return np.packbits((values < 0).reshape(-1), bitorder="little")
