"""Whether XNNPACK runs a model's sparse convolutions sparsely, and if not, which condition fails.

The runtime has fast kernels for 1x1 convolutions with many zeros, and uses them for a whole
stretch of a net or not at all: from a first convolution of 3x3 with stride 2 on 3 channels,
through 1x1 and depthwise convolutions, to a mean over the image; all in float32, the weights
stored sparse. What holds a net back is told nowhere; here it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from keras_compress.tflite.model_file import Operator, Tensor, TfliteFile
from keras_compress.tflite.reader import read_tflite

__all__ = ["SparseCheck", "SparseCondition", "check_sparse_runtime"]

#: Zeros that the 1x1 kernels of a net need, all together.
SPARSE_SHARE = 2 / 3

# What may stand between the convolutions without ending the sparse stretch.
_ELEMENTWISE = {
    "ADD", "MUL", "SUB", "RELU", "RELU6", "RELU_N1_TO_1", "HARD_SWISH", "LOGISTIC", "ELU", "ABS",
    "NEG", "LEAKY_RELU", "SQUARE", "MAXIMUM", "MINIMUM", "TANH", "GELU",
}  # fmt: skip
_CONVERSIONS = {"DENSIFY", "DEQUANTIZE"}
_ENDS = {"MEAN", "DEPTH_TO_SPACE"}


@dataclass(frozen=True)
class SparseCondition:
    """One condition of sparse inference.

    Attributes:
        rule: What the runtime wants.
        where: Which tensor or operator it is about; empty for the whole net.
        holds: Whether it is so.
        found: What was found instead, where it is not.
        remedy: What to do about it.
    """

    rule: str
    where: str
    holds: bool
    found: str = ""
    remedy: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class SparseCheck:
    """The conditions, in the order of the graph."""

    conditions: tuple[SparseCondition, ...]

    def __iter__(self) -> Iterator[SparseCondition]:
        return iter(self.conditions)

    @property
    def holds(self) -> bool:
        """Whether the runtime will run the net sparsely (on ARM; on x86 it never does)."""
        return all(condition.holds for condition in self)

    @property
    def failed(self) -> tuple[SparseCondition, ...]:
        """The conditions that do not hold."""
        return tuple(condition for condition in self if not condition.holds)

    def to_dict(self) -> dict[str, Any]:
        return {"holds": self.holds, "conditions": [each.to_dict() for each in self]}


def check_sparse_runtime(data: bytes) -> SparseCheck:
    """Check a `.tflite` file against the conditions of XNNPACK's sparse kernels.

    Example:

    ```python
    exported = exporter.convert(model, sparse=True)
    for condition in exporter.check_sparse_runtime(exported.tflite).failed:
        print(condition.where, condition.rule, condition.remedy)
    ```

    Args:
        data: The bytes of the file.

    Raises:
        ModelFileError: If they are no TFLite model or damaged.
    """
    return SparseCheck(tuple(_Graph(read_tflite(data)).conditions()))


class _Graph:
    """The main subgraph, with what is needed to walk it."""

    def __init__(self, file: TfliteFile) -> None:
        self.file = file
        self.tensors = {tensor.index: tensor for tensor in file.tensors if tensor.subgraph == 0}
        self.maker = {out: operator for operator in file.operators for out in operator.outputs}

    def conditions(self) -> Iterator[SparseCondition]:
        convolutions = [op for op in self.file.operators if op.name == "CONV_2D"]
        yield from self._precision()
        if not convolutions:
            yield SparseCondition(
                "the net has 1x1 convolutions",
                "",
                False,
                "no convolution",
                "none: it is not for nets without them",
            )
            return
        yield from self._first(convolutions[0])
        pointwise = []
        ended = False
        for operator in self._chain(convolutions[0]):
            if operator.name in _ENDS:
                ended = True
                break
            if operator.name == "CONV_2D":
                condition = self._pointwise(operator)
                if condition.holds:
                    pointwise.append(operator)
                yield condition
            elif operator.name == "DEPTHWISE_CONV_2D":
                yield from self._depthwise(operator)
            elif operator.name not in _ELEMENTWISE | {"PAD"}:
                yield SparseCondition(
                    "between the first convolution and the mean stand convolutions and "
                    "elementwise operators alone",
                    self._label(operator),
                    False,
                    operator.name,
                    "replace the layer, or let the net end in GlobalAveragePooling2D before it",
                )
        yield SparseCondition(
            "the chain of convolutions ends in a mean over the image",
            "",
            ended,
            "" if ended else "no MEAN behind the convolutions",
            "" if ended else "end the convolutions in GlobalAveragePooling2D",
        )
        yield from self._zeros(pointwise)

    def _precision(self) -> Iterator[SparseCondition]:
        other = [
            tensor
            for operator in self.file.operators
            if operator.name in ("CONV_2D", "DEPTHWISE_CONV_2D")
            for tensor in [self.tensors[operator.inputs[0]]]
            if tensor.dtype != "FLOAT32"
        ]
        yield SparseCondition(
            "the net computes in float32",
            other[0].name if other else "",
            not other,
            other[0].dtype if other else "",
            'convert with precision="float32" or "float16"' if other else "",
        )

    def _first(self, operator: Operator) -> Iterator[SparseCondition]:
        kernel = self.tensors[operator.inputs[1]]
        where = self._label(operator)
        shape = kernel.shape
        good = len(shape) == 4 and shape[1:] == (3, 3, 3)
        yield SparseCondition(
            "the first convolution has a kernel of 3x3 over 3 channels",
            where,
            good,
            "" if good else _kernel_text(shape),
            "" if good else "begin with Conv2D(filters, 3, strides=2) on images of 3 channels",
        )
        yield from self._stride_2(operator, "the first convolution", must=True)

    def _stride_2(self, operator: Operator, what: str, *, must: bool) -> Iterator[SparseCondition]:
        image, kernel, result = (
            self.tensors[operator.inputs[0]],
            self.tensors[operator.inputs[1]],
            self.tensors[operator.outputs[0]],
        )
        where = self._label(operator)
        if len(image.shape) != 4 or len(result.shape) != 4 or len(kernel.shape) != 4:
            return
        size, reach = image.shape[1], kernel.shape[1]
        stride = max(1, round(size / result.shape[1]))
        if must:
            yield SparseCondition(
                f"{what} has stride 2",
                where,
                stride == 2,
                "" if stride == 2 else f"stride {stride}",
                "" if stride == 2 else "set strides=2",
            )
        if stride != 2:
            return
        # Without padding of its own the operator shrinks the image by its reach.
        valid = result.shape[1] == (size - reach) // 2 + 1
        wanted = (reach - 1) // 2
        padding = self._padding(operator.inputs[0]) if valid else None
        good = padding == ((wanted, wanted), (wanted, wanted))
        yield SparseCondition(
            f"a convolution of stride 2 is padded by exactly {wanted} on each side",
            where,
            good,
            "" if good else _padding_text(padding, valid),
            ""
            if good
            else f'put ZeroPadding2D({wanted}) before it and padding="valid" into it '
            "(`exporter.pad_for_sparse_kernels`)",
        )

    def _padding(self, tensor: int) -> tuple[tuple[int, int], tuple[int, int]] | None:
        maker = self.maker.get(tensor)
        if maker is None or maker.name != "PAD":
            return None
        amounts = self.tensors[maker.inputs[1]]
        if not amounts.is_readable or amounts.shape != (4, 2):
            return None
        rows = amounts.array()
        return (
            (int(rows[1][0]), int(rows[1][1])),
            (int(rows[2][0]), int(rows[2][1])),
        )

    def _chain(self, first: Operator) -> Iterator[Operator]:
        """Operators that the first convolution's result reaches, in the order of the file."""
        reached = set(first.outputs)
        for operator in self.file.operators:
            if operator is not first and reached.intersection(operator.inputs):
                reached.update(operator.outputs)
                yield operator

    def _pointwise(self, operator: Operator) -> SparseCondition:
        kernel = self.tensors[operator.inputs[1]]
        result, image = self.tensors[operator.outputs[0]], self.tensors[operator.inputs[0]]
        good = kernel.shape[1:3] == (1, 1) and result.shape[1:3] == image.shape[1:3]
        return SparseCondition(
            "convolutions after the first are 1x1 with stride 1, or depthwise",
            self._label(operator),
            good,
            "" if good else f"{_kernel_text(kernel.shape)}, {image.shape} to {result.shape}",
            "" if good else "use a depthwise 3x3 and a 1x1 convolution (SeparableConv2D)",
        )

    def _depthwise(self, operator: Operator) -> Iterator[SparseCondition]:
        kernel, image = self.tensors[operator.inputs[1]], self.tensors[operator.inputs[0]]
        good = kernel.shape[1:3] in ((3, 3), (5, 5)) and kernel.shape[3] == image.shape[3]
        yield SparseCondition(
            "depthwise convolutions are 3x3 or 5x5 with one filter a channel",
            self._label(operator),
            good,
            "" if good else _kernel_text(kernel.shape),
            "" if good else "use DepthwiseConv2D(3) or (5) with depth_multiplier=1",
        )
        yield from self._stride_2(operator, "a depthwise convolution", must=False)

    def _zeros(self, pointwise: list[Operator]) -> Iterator[SparseCondition]:
        size, zeros, dense = 0, 0, []
        for operator in pointwise:
            stored, count = self._constant(operator.inputs[1])
            size += count
            zeros += 0 if stored is None else count - stored
            if not self._is_stored_sparse(operator.inputs[1]):
                dense.append(self._label(operator))
        share = zeros / size if size else 0.0
        good = share > SPARSE_SHARE
        yield SparseCondition(
            f"more than two thirds of the weights of 1x1 convolutions are zero ({share:.1%} here)",
            "",
            good,
            "" if good else f"{zeros} of {size}",
            "" if good else "prune the 1x1 convolutions to at least 70 %",
        )
        # Kernels with few zeros may stay dense: the sum decides.
        stored = len(dense) < len(pointwise)
        yield SparseCondition(
            "kernels are stored sparse",
            "" if stored else ", ".join(dense[:3]),
            stored,
            "" if stored else "every kernel is stored dense",
            "" if stored else "convert with sparse=True",
        )

    def _constant(self, index: int) -> tuple[int | None, int]:
        """Values that aren't zero of a constant, behind conversions, and how many there are."""
        tensor = self._source(index)
        count = int(np.prod(self.tensors[index].shape))
        if tensor.data is None:
            return None, count
        if tensor.is_sparse:
            # Blocks may store some zeros too; those within `data` are told apart here.
            kind = np.float16 if tensor.dtype == "FLOAT16" else np.float32
            usable = len(tensor.data) // np.dtype(kind).itemsize * np.dtype(kind).itemsize
            return int(np.count_nonzero(np.frombuffer(tensor.data[:usable], kind))), count
        return int(np.count_nonzero(tensor.array())), count

    def _is_stored_sparse(self, index: int) -> bool:
        return self._source(index).is_sparse

    def _source(self, index: int) -> Tensor:
        while index in self.maker and self.maker[index].name in _CONVERSIONS:
            index = self.maker[index].inputs[0]
        return self.tensors[index]

    def _label(self, operator: Operator) -> str:
        return self.tensors[operator.outputs[0]].name or operator.name


def _kernel_text(shape: tuple[int, ...]) -> str:
    if len(shape) != 4:
        return f"a kernel of shape {shape}"
    return f"{shape[1]}x{shape[2]} over {shape[3]} channels"


def _padding_text(padding: Any, valid: bool) -> str:
    if not valid:
        return 'padding="same", which pads one side more than the other'
    if padding is None:
        return "no padding"
    (top, bottom), (left, right) = padding
    return f"padding {top}, {bottom}, {left}, {right} (top, bottom, left, right)"
