"""Shuffles between a concatenation and a split: the same results, without the transpositions."""

import keras
import pytest

from keras_compress.architectures import blocks
from keras_compress.exporter import split_shuffles
from keras_compress.exporter.shuffle_folding import fold_shuffles
from tests.exporter.test_shuffle_folding import (
    BEHIND,
    _check_equal,
    _kept,
    _model,
    _operators,
)

CONCATENATION = "the concatenation before"


def _stage(filters: int, units: int):
    """ShuffleNet v2: a stage of as many units, and the first of the next one."""

    def body(x):
        for unit in range(units):
            strides = 1 if unit else 2
            x = blocks.shuffle_unit_v2(x, filters, strides=strides, name=f"unit{unit}")
        return blocks.shuffle_unit_v2(x, 40, strides=2, name="next")

    return body


@pytest.mark.parametrize(
    ("filters", "units", "into"),
    [
        # A half of 12 channels is halved twice; then one shuffle stays.
        (24, 6, [CONCATENATION] * 2 + [""] + [CONCATENATION] * 2 + [BEHIND]),
        (32, 5, [CONCATENATION] * 3 + [""] + [BEHIND]),
        (12, 3, [CONCATENATION, "", BEHIND]),
        # Nothing to halve.
        (6, 3, ["", "", BEHIND]),
    ],
)
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_v2_units_are_concatenated_in_blocks(filters, units, into, precision):
    kept = _kept(_model(_stage(filters, units)), precision)
    found = fold_shuffles(kept)
    # In the order of the graph; behind the last unit is the dense layer.
    assert [each.into for each in found.shuffles] == [*into, BEHIND]
    assert _operators(kept).count("TRANSPOSE") == units + 1
    assert _operators(found.tflite).count("TRANSPOSE") == into.count("")
    _check_equal(kept, found.tflite, precision)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("left half read twice", "SPLIT reads"),
        ("right half read by groups", "SPLIT reads"),
        ("second branch of groups", "SPLIT reads"),
        ("shuffled read twice", "CONCATENATION makes"),
        ("an activation between", "CONCATENATION makes"),
        ("halves that change places", "SPLIT reads"),
    ],
)
def test_what_cannot_take_another_order_stays(change, why):
    def body(x):
        more = []
        for unit in range(3):
            left, right = keras.ops.split(x, 2, axis=-1)
            if change == "halves that change places":
                left, right = right, left
            groups = 2 if change == "right half read by groups" else 1
            y = blocks.conv_bn(right, 4, 3, groups=groups, name=f"{unit}_first")
            groups = 2 if change == "second branch of groups" else 1
            y = blocks.conv_bn(y, 4, groups=groups, name=f"{unit}_second")
            if change == "left half read twice":
                y = keras.layers.Add(name=f"{unit}_add")([y, left])
            y = keras.layers.Concatenate(name=f"{unit}_concat")([left, y])
            x = blocks.channel_shuffle(y, 2, name=f"{unit}_shuffle")
            if change == "shuffled read twice":
                more.append(x)
            if change == "an activation between":
                x = keras.layers.Activation("tanh", name=f"{unit}_tanh")(x)
        return keras.layers.Concatenate(name="all")([*more, x]) if more else x

    kept = _kept(_model(body, channels=8), "float32")
    found = fold_shuffles(kept)
    assert CONCATENATION not in [each.into for each in found.shuffles]
    assert why in found.shuffles[0].why_kept
    _check_equal(kept, found.tflite, "float32")


def test_no_more_axes_than_xnnpack_transposes():
    # A half of 2**5 channels could be halved five times.
    found = fold_shuffles(_kept(_model(_stage(64, 6)), "float32"))
    assert split_shuffles._MOST_IN_TURN == 3
    assert [each.into for each in found.shuffles[:5]] == [*[CONCATENATION] * 3, "", CONCATENATION]
