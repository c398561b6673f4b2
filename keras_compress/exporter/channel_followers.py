"""Which operators compute each channel from itself alone, and which constants go with channels."""

from __future__ import annotations

import math
from typing import Any

from keras_compress.exporter.channel_edits import can_take, constant_shape, constant_values
from keras_compress.tflite.editor import Editor

__all__ = ["convolution_groups", "follow"]

_ALONE = frozenset(
    {
        "ABS", "AVERAGE_POOL_2D", "ELU", "GELU", "HARD_SWISH", "LEAKY_RELU", "LOGISTIC",
        "MAX_POOL_2D", "QUANTIZE", "RELU", "RELU6", "RELU_0_TO_1", "RELU_N1_TO_1",
        "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "TANH",
    }
)  # fmt: skip
_OF_TWO = frozenset({"ADD", "MAXIMUM", "MINIMUM", "MUL", "PRELU", "SUB"})


def follow(editor: Editor, operator: Any) -> tuple[int, list[tuple[int, int]]] | None:
    """Return how an operator follows its channels, the last axis of what it reads.

    Returns:
        The input that has the channels, and the constants that have an entry for each, as pairs of
        input and axis. `None` if a result depends on other channels, or a constant can't be read.
    """
    kind = editor.kind(operator)
    if kind in _ALONE:
        return 0, []
    if kind == "DEPTHWISE_CONV_2D":
        return _depthwise(editor, operator)
    if kind in _OF_TWO:
        return _of_two(editor, operator)
    if kind == "PAD":
        amounts = constant_values(editor, int(operator.inputs[1]))
        return None if amounts is None or amounts[-1].any() else (0, [])
    if kind == "MEAN":
        axes = constant_values(editor, int(operator.inputs[1]))
        rank = len(constant_shape(editor, int(operator.inputs[0])))
        over = None if axes is None else {int(a) % rank for a in axes.reshape(-1)}
        return None if over is None or rank - 1 in over else (0, [])
    return None


def convolution_groups(editor: Editor, operator: Any) -> int:
    """Return into how many groups a CONV_2D divides its channels."""
    read = constant_shape(editor, int(operator.inputs[0]))[-1]
    return max(read // max(constant_shape(editor, int(operator.inputs[1]))[-1], 1), 1)


def _depthwise(editor: Editor, operator: Any) -> tuple[int, list[tuple[int, int]]] | None:
    read = constant_shape(editor, int(operator.inputs[0]))
    made = constant_shape(editor, int(operator.outputs[0]))
    slots = [(1, 3)]
    if len(operator.inputs) > 2 and int(operator.inputs[2]) >= 0:
        slots.append((2, 0))
    if read[-1] != made[-1] or not all(can_take(editor, operator, slot) for slot, _ in slots):
        return None
    return 0, slots


def _of_two(editor: Editor, operator: Any) -> tuple[int, list[tuple[int, int]]] | None:
    """Return how an operator of two inputs follows, of which one is a constant."""
    fixed = [slot for slot in (0, 1) if can_take(editor, operator, slot)]
    if len(fixed) != 1:
        return None
    data = 1 - fixed[0]
    channels = constant_shape(editor, int(operator.inputs[data]))[-1]
    shape = constant_shape(editor, int(operator.inputs[fixed[0]]))
    if math.prod(shape) == 1:
        return data, []
    if shape[-1] == channels == math.prod(shape):
        return data, [(fixed[0], len(shape) - 1)]
    return None
