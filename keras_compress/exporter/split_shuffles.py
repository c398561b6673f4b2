"""Shuffles between a concatenation and a split in halves (ShuffleNet v2), folded into both.

A unit of ShuffleNet v2 (arXiv 1807.11164, section 3.2) concatenates two branches of `h` channels,
shuffles them in two groups and splits them in halves: the left one passes, the right one is
computed on. A half has to hold the right channels, but not in the right order, if what reads it can
have its weights in another:

- each branch is read as `g` blocks of `h / g` channels, and blocks of both are concatenated in
  turns. The first half then holds the first half of each branch, as it does after the shuffle;
- the right half is read by convolutions, whose weights take up its order;
- the left one goes into the next concatenation, whose other branch is made in the same order. Its
  channels lie in blocks twice as large: so after `g` come `g / 2`, ... and at last 2 blocks.

With `h` an odd number times `2**r` this goes on for `r` units. Then one is shuffled for good, by a
transposition that takes the order back, and it begins anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from keras_compress.exporter.channel_chains import (
    ChannelChains,
    Edit,
    KeptError,
    filters_of,
    take_all,
)
from keras_compress.exporter.channel_edits import constant_shape, constant_values
from keras_compress.exporter.channel_followers import convolution_groups
from keras_compress.exporter.shuffles import Shuffle, find_shuffles
from keras_compress.tflite.editor import Editor

__all__ = ["fold_split_shuffles"]

# XNNPACK transposes tensors of up to six axes: pixels, two branches, what is left of a half, and
# one for each unit before.
_MOST_IN_TURN = 3


@dataclass
class _Unit:
    """A concatenation of two branches of `half` channels, its shuffle, and what is behind."""

    shuffle: Shuffle
    concatenation: Any
    half: int
    #: In two; `None` if something else is behind.
    split: Any
    #: Weights that take up another order of the second branch, and of the right half.
    branch: list[Edit] | None
    right: list[Edit] | None


def fold_split_shuffles(editor: Editor) -> list[int]:
    """Leave out shuffles between a concatenation and a split.

    Args:
        editor: The file, which is changed. Operators that nobody reads any more stay in it.

    Returns:
        The indices of the tensors that were shuffled, which nobody reads any more.
    """
    folded = []
    for line in _lines(editor):
        place = 0
        while place < len(line):
            count = _count_in_turn(line[place:])
            order = np.arange(line[place].half)
            for unit, blocks in zip(line[place:], range(count, 0, -1), strict=False):
                order = _concatenate_blocks(editor, unit, order, 2**blocks)
                folded.append(unit.shuffle.result)
            if count:
                _shuffle_back(editor, line[place + count], order, count)
            place += count + 1
    return folded


def _lines(editor: Editor) -> list[list[_Unit]]:
    """Return the units of the file in lines, in which a left half goes to the next unit alone."""
    chains = ChannelChains(editor)
    units = [unit for s in find_shuffles(editor) if (unit := _unit(chains, s)) is not None]
    read_by = {int(unit.concatenation.inputs[0]): unit for unit in units}
    lines: list[list[_Unit]] = []
    follows = set()
    for unit in units:
        if id(unit) in follows:
            continue
        line = [unit]
        while line[-1].split is not None:
            left = int(line[-1].split.outputs[0])
            next_one = read_by.get(left)
            alone = len(chains.readers.get(left, [])) == 1 and left not in chains.results
            if next_one is None or not alone:
                break
            line.append(next_one)
            follows.add(id(next_one))
        lines.append(line)
    return lines


def _unit(chains: ChannelChains, shuffle: Shuffle) -> _Unit | None:
    editor = chains.editor
    concatenation = chains.producers.get(shuffle.source)
    half, rest = divmod(len(shuffle.order), 2)
    in_two = np.arange(2 * half).reshape(2, half).T.reshape(-1)
    if rest or shuffle.operators[0] != "RESHAPE" or (shuffle.order != in_two).any():
        return None
    if concatenation is None or editor.kind(concatenation) != "CONCATENATION":
        return None
    shapes = [constant_shape(editor, int(t)) for t in concatenation.inputs]
    options = concatenation.builtinOptions
    in_halves = len(shapes) == 2 and all(len(s) == 4 and s[-1] == half for s in shapes)
    plain = options.axis in (3, -1) and options.fusedActivationFunction == 0
    alone = len(chains.readers[shuffle.source]) == 1 and shuffle.source not in chains.results
    if not (in_halves and plain and alone) or shapes[0][0] != 1:
        return None
    split = _split(chains, shuffle.result)
    right = None if split is None else _edits_behind(chains, int(split.outputs[1]))
    branch = _edits_before(chains, int(concatenation.inputs[1]))
    return _Unit(shuffle, concatenation, half, split, branch, right)


def _split(chains: ChannelChains, tensor: int) -> Any:
    """Return the operator that cuts a tensor in two halves, if nothing else reads it."""
    readers = chains.readers.get(tensor, [])
    if len(readers) != 1 or tensor in chains.results or chains.editor.kind(readers[0]) != "SPLIT":
        return None
    axis = constant_values(chains.editor, int(readers[0].inputs[0]))
    last = axis is not None and axis.size == 1 and int(axis.reshape(-1)[0]) in (3, -1)
    return readers[0] if last and len(readers[0].outputs) == 2 else None


def _edits_before(chains: ChannelChains, tensor: int) -> list[Edit] | None:
    try:
        edits, _, convolution = chains.before(tensor)
    except KeptError:
        return None
    grouped = convolution_groups(chains.editor, convolution) != 1
    return None if grouped else [*filters_of(convolution), *edits]


def _edits_behind(chains: ChannelChains, tensor: int) -> list[Edit] | None:
    try:
        return chains.behind(tensor)
    except KeptError:
        return None


def _count_in_turn(line: list[_Unit]) -> int:
    """Return how many units at the beginning of a line go without a shuffle."""
    half, most = line[0].half, 0
    while most < _MOST_IN_TURN and half % 2 ** (most + 1) == 0:
        most += 1
    count = 0
    for unit, after in pairwise(line):
        if count == most or unit.right is None or after.branch is None or after.half != half:
            break
        count += 1
    return count


def _concatenate_blocks(editor: Editor, unit: _Unit, order: np.ndarray, blocks: int) -> np.ndarray:
    """Concatenate both branches of `unit` in blocks; return the order of its left half.

    Args:
        editor: The file.
        unit: Its shuffle is left out.
        order: Which channel of the first branch stands at each place; the second is to be alike.
        blocks: Number of blocks of a branch, even.
    """
    if (order != np.arange(unit.half)).any():
        take_all(editor, unit.branch or [], order)
    concatenation, size = unit.concatenation, unit.half // blocks
    _, height, width, _ = constant_shape(editor, int(concatenation.inputs[0]))
    view = (1, height, width * blocks, size)
    concatenation.inputs = np.array(
        [editor.insert_reshape(concatenation, int(t), view) for t in concatenation.inputs], np.int32
    )
    _set_shape(editor, unit.shuffle.source, (*view[:-1], 2 * size))
    whole = (1, height, width, 2 * unit.half)
    made = editor.insert_reshape(unit.split, unit.shuffle.source, whole)
    editor.read_instead(unit.split, unit.shuffle.result, made)
    # The shuffled channel at each place: those of the first branch are even.
    shuffled = np.stack([(2 * order + s).reshape(blocks, size) for s in (0, 1)], axis=1).reshape(-1)
    take_all(editor, unit.right or [], shuffled[unit.half :] - unit.half)
    return shuffled[: unit.half]


def _shuffle_back(editor: Editor, unit: _Unit, order: np.ndarray, count: int) -> None:
    """Let the shuffle of `unit` take back the order that `count` units before have left."""
    take_all(editor, unit.branch or [], order)
    _, height, width, _ = constant_shape(editor, unit.shuffle.source)
    axes = (height * width, *((2,) * (count + 1)), unit.half >> count)
    transposition = editor.producers()[int(editor.producers()[unit.shuffle.result].inputs[0])]
    view = editor.insert_reshape(transposition, unit.shuffle.source, axes)
    turned = np.array([0, *range(len(axes) - 1, 0, -1)], np.int32)
    name = f"{editor.name(unit.shuffle.result)}/turned"
    transposition.inputs = np.array([view, editor.add_constant(name, turned)], np.int32)
    _set_shape(editor, int(transposition.outputs[0]), tuple(axes[i] for i in turned))


def _set_shape(editor: Editor, tensor: int, shape: tuple[int, ...]) -> None:
    entry = editor.graph.tensors[tensor]
    entry.shape = np.array(shape, np.int32)
    entry.shapeSignature = None
