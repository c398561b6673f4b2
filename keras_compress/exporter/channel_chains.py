"""Which weights decide the order of a tensor's channels, before it and behind it."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_compress.exporter.channel_edits import can_take, constant_shape, take
from keras_compress.exporter.channel_followers import convolution_groups, follow
from keras_compress.tflite.editor import Editor

__all__ = ["ChannelChains", "Edit", "KeptError", "filters_of", "take_all"]

# An operator, one of its inputs, the axis of the channels.
Edit = tuple[Any, int, int]


class KeptError(Exception):
    """Channels can't be put in another order; says why, or nothing if another way is tried."""


def filters_of(convolution: Any) -> list[Edit]:
    """Return the constants that have an entry for each channel that a convolution makes."""
    edits: list[Edit] = [(convolution, 1, 0)]
    if len(convolution.inputs) > 2 and int(convolution.inputs[2]) >= 0:
        edits.append((convolution, 2, 0))
    return edits


def take_all(editor: Editor, edits: list[Edit], order: np.ndarray) -> None:
    """Put all those constants in `order`, as `take` does."""
    for operator, slot, axis in edits:
        take(editor, operator, slot, axis, order)


class ChannelChains:
    """The ways from a tensor to the weights around it, in a file as it is now.

    Args:
        editor: The file.
    """

    def __init__(self, editor: Editor) -> None:
        self.editor = editor
        self.producers, self.readers = editor.producers(), editor.readers()
        self.results = {int(t) for t in editor.graph.outputs}

    def before(self, tensor: int) -> tuple[list[Edit], list[int], Any]:
        """Return the constants, the tensors and the convolution that make `tensor`.

        The constants are those between the convolution and the tensor; its own are `filters_of` it.

        Raises:
            KeptError: If its channels don't come from a convolution in one line.
        """
        edits: list[Edit] = []
        tensors: list[int] = []
        while True:
            tensors.append(tensor)
            if len(self.readers.get(tensor, [])) != 1 or tensor in self.results:
                raise KeptError("what is shuffled is read elsewhere too")
            operator = self.producers.get(tensor)
            if operator is None:
                raise KeptError("what is shuffled is an input of the model")
            kind = self.editor.kind(operator)
            if kind == "CONV_2D":
                if not all(can_take(self.editor, operator, s) for _, s, _ in filters_of(operator)):
                    raise KeptError("the weights before are stored sparse or computed")
                return edits, tensors, operator
            way = follow(self.editor, operator)
            if way is None:
                raise KeptError(f"{kind} makes what is shuffled")
            data, constants = way
            edits += [(operator, slot, axis) for slot, axis in constants]
            tensor = int(operator.inputs[data])

    def behind(self, tensor: int) -> list[Edit]:
        """Return the constants that take up another order of `tensor`'s channels, all of them.

        Raises:
            KeptError: If its order shows elsewhere.
        """
        if tensor in self.results:
            raise KeptError("its order shows in a result of the model")
        channels = constant_shape(self.editor, tensor)[-1]
        edits: list[Edit] = []
        for reader in self.readers.get(tensor, []):
            kind = self.editor.kind(reader)
            dense = kind == "FULLY_CONNECTED" or (
                kind == "CONV_2D" and convolution_groups(self.editor, reader) == 1
            )
            if dense:
                shape = constant_shape(self.editor, int(reader.inputs[1]))
                fits = int(reader.inputs[0]) == tensor and shape[-1] == channels
                if not fits or not can_take(self.editor, reader, 1):
                    raise KeptError(f"{kind} behind has weights that can't be put in order")
                edits.append((reader, 1, len(shape) - 1))
                continue
            if kind == "CONV_2D":
                raise KeptError("")  # the view is tried, and says why not
            way = follow(self.editor, reader)
            if way is None or int(reader.inputs[way[0]]) != tensor:
                raise KeptError(f"{kind} reads what is shuffled")
            edits += [(reader, slot, axis) for slot, axis in way[1]]
            edits += self.behind(int(reader.outputs[0]))
        return edits
