"""Shuffles of channels folded into the order of weights, in a converted `.tflite`.

A shuffle moves every number of a feature map and computes nothing. Where the convolution before
it, or all that read it, can have their weights in another order, it is left out. Between two
grouped convolutions (ShuffleNet v1, arXiv 1707.01083, section 3.1) it goes with a change of view:

- the first convolution's filters are ordered by the group of the second that reads them, so that of
  `(height, width, g * n)` numbers those of group `i` for group `k` are one block of `m`;
- read as `(height, width * g, G * m)`, which moves nothing, they are what a convolution with a
  kernel and a stride of `1 x g` in `G` groups takes: group `k` reads its block of every group `i`.

Blocks of uneven size are filled up with filters of zeros. Shuffles between a concatenation and a
split (ShuffleNet v2) are gone about in `split_shuffles`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from keras_compress.exporter.channel_chains import (
    ChannelChains,
    Edit,
    KeptError,
    filters_of,
    take_all,
)
from keras_compress.exporter.channel_edits import (
    can_take,
    constant_shape,
    put_constant,
    stored_constant,
)
from keras_compress.exporter.channel_followers import convolution_groups, follow
from keras_compress.exporter.shuffles import Shuffle, find_shuffles
from keras_compress.exporter.split_shuffles import fold_split_shuffles
from keras_compress.tflite.editor import Editor
from keras_compress.tflite.model_file import TfliteFile
from keras_compress.tflite.reader import read_tflite

__all__ = ["FoldedShuffle", "ShuffleFolding", "fold_shuffles", "keep_shuffles"]

# Below, the kernel of 1 x g costs more than the moves that it saves
# (benchmarks/grouped_convolutions.py).
_SMALLEST_BLOCK = 4


@dataclass(frozen=True)
class FoldedShuffle:
    """What became of one shuffle.

    Attributes:
        name: Name of the tensor with the shuffled channels.
        into: Where it went: `"the weights before"`, `"the weights behind"`, `"the view between
            grouped convolutions"` or `"the concatenation before"`; empty if it stayed.
        why_kept: Why it stayed; empty if it went.
    """

    name: str
    into: str
    why_kept: str

    def to_dict(self) -> dict[str, str]:
        """Return the fields as plain values."""
        return asdict(self)


@dataclass(frozen=True)
class ShuffleFolding:
    """What `fold_shuffles` did.

    Attributes:
        tflite: The bytes of the file; those given if nothing was folded.
        shuffles: Each shuffle of the file, folded or not.
    """

    tflite: bytes = field(repr=False)
    shuffles: tuple[FoldedShuffle, ...]


def fold_shuffles(data: bytes, file: TfliteFile | None = None) -> ShuffleFolding:
    """Return a TFLite file without the shuffles of channels that weights can take up.

    Integers stay the same to the bit. Floats may be added up in another order.

    Args:
        data: The bytes of a `.tflite` file that a converter made.
        file: What `read_tflite` made of them. Defaults to `None`: they are read.

    Raises:
        ModelFileError: If they are no TFLite model.
    """
    if not _may_shuffle(file or read_tflite(data)):
        return ShuffleFolding(data, ())  # a large file isn't taken apart for nothing
    editor = Editor(data)
    results = [shuffle.result for shuffle in find_shuffles(editor)]
    into = dict.fromkeys(fold_split_shuffles(editor), "the concatenation before")
    editor.drop_unused_operators()
    why_kept = {}
    for shuffle in find_shuffles(editor):
        try:
            into[shuffle.result] = _Folder(editor, shuffle).fold()
        except KeptError as kept:
            why_kept[shuffle.result] = str(kept)
    shuffles = tuple(
        FoldedShuffle(editor.name(each), into.get(each, ""), why_kept.get(each, ""))
        for each in results
    )
    if any(each.into for each in shuffles):
        editor.drop_unused_operators()
        editor.drop_unused_tensors()
        data = editor.packed()
    return ShuffleFolding(data, shuffles)


def keep_shuffles(data: bytes, file: TfliteFile, reason: str) -> ShuffleFolding:
    """Return a file as it is, with its shuffles and why all of them stay."""
    if not _may_shuffle(file):
        return ShuffleFolding(data, ())
    editor = Editor(data)
    told = (FoldedShuffle(editor.name(s.result), "", reason) for s in find_shuffles(editor))
    return ShuffleFolding(data, tuple(told))


def _may_shuffle(file: TfliteFile) -> bool:
    return not {"TRANSPOSE", "GATHER"}.isdisjoint(each.name for each in file.operators)


class _Folder:
    """Ways to be rid of one shuffle, as the file is now."""

    def __init__(self, editor: Editor, shuffle: Shuffle) -> None:
        self.editor, self.shuffle = editor, shuffle
        self.chains = ChannelChains(editor)

    def fold(self) -> str:
        """Change the file by the first way that there is, and return its name.

        Raises:
            KeptError: If there is none.
        """
        shuffle = self.shuffle
        if shuffle.result in self.chains.results:
            raise KeptError("it is a result of the model")
        reasons = []
        try:
            take_all(self.editor, self._before(), shuffle.order)
            self._leave_out()
            return "the weights before"
        except KeptError as kept:
            reasons.append(str(kept))
        try:
            take_all(self.editor, self.chains.behind(shuffle.result), np.argsort(shuffle.order))
            self._leave_out()
            return "the weights behind"
        except KeptError as kept:
            reasons.append(str(kept))
        try:
            self._view()
            return "the view between grouped convolutions"
        except KeptError as kept:
            reasons.append(str(kept))
        raise KeptError("; ".join(dict.fromkeys(reason for reason in reasons if reason)))

    def _leave_out(self) -> None:
        for reader in self.chains.readers.get(self.shuffle.result, []):
            self.editor.read_instead(reader, self.shuffle.result, self.shuffle.source)

    def _before(self) -> list[Edit]:
        """Return the constants to be put in order for the source to come out shuffled."""
        edits, _, convolution = self.chains.before(self.shuffle.source)
        groups = convolution_groups(self.editor, convolution)
        size = len(self.shuffle.order) // groups
        places = np.arange(len(self.shuffle.order))
        if (self.shuffle.order // size != places // size).any():
            raise KeptError("")  # grouped: the view is tried, and says why not
        return edits + filters_of(convolution)

    def _chain_behind(self) -> tuple[list[Edit], list[int], Any]:
        """Return the constants, the tensors and the 1x1 convolution behind the shuffle."""
        edits: list[Edit] = []
        tensors: list[int] = []
        tensor = self.shuffle.result
        while True:
            readers = self.chains.readers.get(tensor, [])
            if len(readers) != 1 or tensor in self.chains.results:
                raise KeptError("more than one operator reads what is shuffled")
            kind = self.editor.kind(readers[0])
            if kind == "CONV_2D":
                kernel = constant_shape(self.editor, int(readers[0].inputs[1]))[1:3]
                if kernel != (1, 1):
                    raise KeptError(f"the grouped kernel behind is {kernel[0]}x{kernel[1]}")
                if not can_take(self.editor, readers[0], 1):
                    raise KeptError("the weights behind are stored sparse or computed")
                return edits, tensors, readers[0]
            way = follow(self.editor, readers[0])
            if way is None or int(readers[0].inputs[way[0]]) != tensor:
                raise KeptError(f"{kind} reads what is shuffled")
            edits += [(readers[0], slot, axis) for slot, axis in way[1]]
            tensor = int(readers[0].outputs[0])
            tensors.append(tensor)

    def _view(self) -> None:
        before, made, first = self.chains.before(self.shuffle.source)
        behind, tensors, second = self._chain_behind()
        groups = convolution_groups(self.editor, first)
        blocks = _blocks(self.shuffle.order, groups, convolution_groups(self.editor, second))
        _, readers, size = blocks.shape
        if size < _SMALLEST_BLOCK:
            raise KeptError(
                f"{groups} groups of {len(self.shuffle.order) // groups} channels make blocks of "
                f"{size}, too small to be faster"
            )
        # Where each place of the new order comes from: before the shuffle, and behind it.
        source = blocks.reshape(-1)
        shuffled = np.where(source < 0, -1, np.argsort(self.shuffle.order)[source])
        take_all(self.editor, [*filters_of(first), *before], source)
        take_all(self.editor, behind, shuffled)
        self._leave_out()
        for tensor in (*made, *tensors):
            entry = self.editor.graph.tensors[tensor]
            for name in ("shape", "shapeSignature"):
                sizes = getattr(entry, name)
                if sizes is not None and len(sizes):
                    setattr(entry, name, np.array([*sizes[:-1], len(source)], np.int32))
        last = tensors[-1] if tensors else self.shuffle.source
        self._read_as_blocks(second, last, shuffled.reshape(groups, readers, size))

    def _read_as_blocks(self, convolution: Any, tensor: int, blocks: np.ndarray) -> None:
        """Let `convolution` read `tensor` through a view of blocks, `(groups, readers, size)`."""
        editor = self.editor
        groups, readers, size = blocks.shape
        _, height, width, _ = constant_shape(editor, tensor)
        shape = (1, height, width * groups, readers * size)
        view = editor.insert_reshape(convolution, tensor, shape)
        kernel = stored_constant(editor, convolution, 1)
        filters, _, _, channels = kernel.shape
        apart = kernel.reshape(readers, filters // readers, channels)
        spread = np.zeros((readers, filters // readers, groups, size), kernel.dtype)
        for reader in range(readers):
            # Places in the shuffled order, counted from the first that this group reads.
            places = blocks[:, reader] - reader * channels
            taken = apart[reader][:, np.maximum(places, 0)]
            spread[reader] = np.where(blocks[:, reader] < 0, kernel.dtype.type(0), taken)
        put_constant(editor, convolution, 1, spread.reshape(filters, 1, groups, size))
        editor.read_instead(convolution, int(convolution.inputs[0]), view)
        # A kernel of 1x1 has neither padding nor dilation.
        chosen = convolution.builtinOptions
        chosen.strideW *= groups
        chosen.padding = editor.types.Padding.VALID
        chosen.dilationHFactor = chosen.dilationWFactor = 1


def _blocks(order: np.ndarray, groups: int, readers: int) -> np.ndarray:
    """Return the channels that go from each group to each reader, `(groups, readers, size)`.

    The smaller blocks are filled up with `-1`.
    """
    made_by = order // (len(order) // groups)
    read_by = np.arange(len(order)) // (len(order) // readers)
    found = [
        [order[(made_by == group) & (read_by == reader)] for reader in range(readers)]
        for group in range(groups)
    ]
    size = max(len(block) for row in found for block in row)
    filled = np.full((groups, readers, size), -1, np.int64)
    for group, row in enumerate(found):
        for reader, block in enumerate(row):
            filled[group, reader, : len(block)] = block
    return filled
