"""Constants of a converted file put into another order of channels, or given channels of zeros."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np

from keras_compress.errors import ExportError
from keras_compress.tflite.editor import Editor
from keras_compress.tflite.schema import NUMPY_TYPES, names_of

__all__ = [
    "can_take",
    "constant_shape",
    "constant_values",
    "put_constant",
    "stored_constant",
    "take",
]


def constant_shape(editor: Editor, tensor: int) -> tuple[int, ...]:
    """Return the shape of the tensor at index `tensor`."""
    return tuple(int(n) for n in editor.graph.tensors[tensor].shape)


def constant_values(editor: Editor, tensor: int) -> np.ndarray | None:
    """Return the stored values of a dense constant, or `None` if it is none that can be read.

    A constant that a DEQUANTIZE widens, as in float16 files, counts as one.
    """
    found = _stored(editor, tensor)
    if found is None:
        return None
    entry = editor.graph.tensors[found]
    dtype = NUMPY_TYPES[_type_of(editor, entry)]
    data = np.asarray(editor.model.buffers[entry.buffer].data, np.uint8)
    shape = constant_shape(editor, found)
    if len(data) != math.prod(shape) * dtype.itemsize:
        return None
    return np.frombuffer(data.tobytes(), dtype).reshape(shape)


def can_take(editor: Editor, operator: Any, slot: int) -> bool:
    """Whether input `slot` of an operator is a constant that `take` can put in another order."""
    return constant_values(editor, int(operator.inputs[slot])) is not None


def stored_constant(editor: Editor, operator: Any, slot: int) -> np.ndarray:
    """Return the values of the constant at input `slot`, which `can_take` has found.

    Raises:
        ExportError: If it is none.
    """
    values = constant_values(editor, int(operator.inputs[slot]))
    if values is None:
        raise ExportError(
            f"Only a dense constant can be put in order. Received: input {slot} of a "
            f"{editor.kind(operator)}, {editor.name(int(operator.inputs[slot]))!r}."
        )
    return values


def take(editor: Editor, operator: Any, slot: int, axis: int, order: np.ndarray) -> None:
    """Let `operator` read its constant at input `slot` with `order` along `axis`.

    Scales along that axis go with it. The constant itself stays for others that read it.

    Args:
        editor: The file.
        operator: One of its operators.
        slot: Which of its inputs.
        axis: The axis of the constant.
        order: Which entry stands at each place; `-1` is an entry of zeros.
    """
    values = stored_constant(editor, operator, slot)
    kept = np.maximum(order, 0)
    entry = editor.graph.tensors[_index_of_stored(editor, int(operator.inputs[slot]))]
    zeros = getattr(entry.quantization, "zeroPoint", None)
    zero = int(zeros[0]) if zeros is not None and len(zeros) else 0
    taken = values.take(kept, axis)
    places = np.moveaxis(taken, axis, 0)
    places[order < 0] = zero
    put_constant(editor, operator, slot, taken, scales=(axis, kept))


def put_constant(
    editor: Editor,
    operator: Any,
    slot: int,
    values: np.ndarray,
    *,
    scales: tuple[int, np.ndarray] | None = None,
) -> None:
    """Let `operator` read `values` at input `slot`, typed and scaled as what it read there.

    Args:
        editor: The file.
        operator: One of its operators.
        slot: Which of its inputs.
        values: What it reads from now on, as it is stored.
        scales: The axis of the values that changed, and which entry of the old ones stands at each
            place, so that scales along it follow. Defaults to `None`: all scales stay.
    """
    read = int(operator.inputs[slot])
    stored = _index_of_stored(editor, read)
    entry = copy.deepcopy(editor.graph.tensors[stored])
    buffer = editor.types.BufferT()
    buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
    editor.model.buffers.append(buffer)
    entry.buffer = len(editor.model.buffers) - 1
    entry.shape = np.array(values.shape, np.int32)
    if scales is not None and entry.quantization is not None:
        axis, kept = scales
        quantization = entry.quantization
        for name in ("scale", "zeroPoint", "min", "max"):
            each = getattr(quantization, name)
            if each is not None and len(each) > 1 and quantization.quantizedDimension == axis:
                setattr(quantization, name, np.asarray(each)[kept])
    editor.graph.tensors.append(entry)
    index = len(editor.graph.tensors) - 1
    if stored != read:
        wide = copy.deepcopy(editor.graph.tensors[read])
        wide.shape = entry.shape
        editor.graph.tensors.append(wide)
        widening = copy.deepcopy(editor.producers()[read])
        widening.inputs = np.array([index], np.int32)
        index = len(editor.graph.tensors) - 1
        widening.outputs = np.array([index], np.int32)
        editor.insert_before(operator, widening)
    inputs = [int(t) for t in operator.inputs]
    inputs[slot] = index
    operator.inputs = np.array(inputs, np.int32)


def _index_of_stored(editor: Editor, tensor: int) -> int:
    found = _stored(editor, tensor)
    return tensor if found is None else found


def _stored(editor: Editor, tensor: int) -> int | None:
    """Return the index of the constant behind `tensor`: itself, or what is widened into it."""
    if tensor < 0:
        return None
    entry = editor.graph.tensors[tensor]
    if entry.sparsity is not None or entry.isVariable:
        return None
    data = editor.model.buffers[entry.buffer].data
    if data is not None and len(data):
        return tensor if _type_of(editor, entry) in NUMPY_TYPES else None
    producer = editor.producers().get(tensor)
    if producer is None or editor.kind(producer) != "DEQUANTIZE":
        return None
    return _stored(editor, int(producer.inputs[0]))


def _type_of(editor: Editor, entry: Any) -> str:
    return names_of(editor.types.TensorType).get(entry.type, "")
