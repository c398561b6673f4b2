"""Finding shuffles of channels in a converted file, in whatever operators they are spelled."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_compress.exporter.channel_edits import constant_shape, constant_values
from keras_compress.tflite.editor import Editor

__all__ = ["Shuffle", "find_shuffles"]


@dataclass(frozen=True)
class Shuffle:
    """Operators that do nothing but put the channels of a tensor in another order.

    Attributes:
        source: Index of the tensor that is read.
        result: Index of the tensor that is computed; as large as the source.
        order: For each channel of the result, which channel of the source it is.
        operators: Names of the kinds of its operators.
    """

    source: int
    result: int
    order: np.ndarray
    operators: tuple[str, ...]


def find_shuffles(editor: Editor) -> list[Shuffle]:
    """Return the shuffles of the main subgraph, in the order of its operators.

    They are RESHAPE, TRANSPOSE, RESHAPE as in ShuffleNet (arXiv 1707.01083, section 3.1), and
    GATHER with constant places.
    """
    producers, readers = editor.producers(), editor.readers()
    results = {int(t) for t in editor.graph.outputs}
    found = []
    for operator in editor.graph.operators:
        kind = editor.kind(operator)
        if kind == "TRANSPOSE":
            shuffle = _transposed(editor, operator, producers, readers, results)
        elif kind == "GATHER":
            shuffle = _gathered(editor, operator)
        else:
            continue
        if shuffle is not None:
            found.append(shuffle)
    return found


def _transposed(
    editor: Editor,
    operator: Any,
    producers: dict[int, Any],
    readers: dict[int, list[Any]],
    results: set[int],
) -> Shuffle | None:
    source, turns = (int(t) for t in operator.inputs[:2])
    result = int(operator.outputs[0])
    turned = constant_shape(editor, source)
    axes = constant_values(editor, turns)
    before, after = producers.get(source), readers.get(result, [])
    split = before is not None and editor.kind(before) == "RESHAPE"
    merged = len(after) == 1 and editor.kind(after[0]) == "RESHAPE" and result not in results
    alone = len(readers.get(source, [])) == 1 and source not in results
    if axes is None or before is None or not (split and merged and alone):
        return None
    source, result = int(before.inputs[0]), int(after[0].outputs[0])
    shape = constant_shape(editor, source)
    if shape != constant_shape(editor, result) or len(shape) < 2:
        return None
    # The axes that make up the channels are the last ones, and only they may be turned.
    leading = len(turned)
    while leading and math.prod(turned[leading:]) < shape[-1]:
        leading -= 1
    still = math.prod(turned[leading:]) == shape[-1]
    if not still or [int(a) for a in axes[:leading]] != list(range(leading)):
        return None
    channels = np.arange(shape[-1]).reshape(turned[leading:])
    order = channels.transpose([int(a) - leading for a in axes[leading:]]).reshape(-1)
    return Shuffle(source, result, order, ("RESHAPE", "TRANSPOSE", "RESHAPE"))


def _gathered(editor: Editor, operator: Any) -> Shuffle | None:
    source, places = (int(t) for t in operator.inputs[:2])
    shape, order = constant_shape(editor, source), constant_values(editor, places)
    options = operator.builtinOptions
    axis, batch = (0, 0) if options is None else (options.axis, options.batchDims)
    if order is None or order.ndim != 1 or batch or len(shape) < 2:
        return None
    if axis % len(shape) != len(shape) - 1 or sorted(order) != list(range(shape[-1])):
        return None
    return Shuffle(source, int(operator.outputs[0]), order.astype(np.int64), ("GATHER",))
