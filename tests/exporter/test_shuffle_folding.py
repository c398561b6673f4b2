"""Shuffles of channels are folded into weights: the same results, no transposition left."""

import json

import keras
import numpy as np
import pytest

from keras_compress import binary, exporter
from keras_compress.architectures import blocks
from keras_compress.exporter import shuffle_folding
from keras_compress.exporter.notes import shuffle_summary
from keras_compress.exporter.shuffle_folding import fold_shuffles
from keras_compress.tflite import read_tflite
from keras_compress.tflite.running import run_tflite
from tests.exporter.models import randomized, samples

SIDE = 6
VIEW, BEFORE, BEHIND = (
    "the view between grouped convolutions", "the weights before", "the weights behind",
)  # fmt: skip


def _model(body, channels: int = 12) -> keras.Model:
    """Return a net of `body` between a convolution and seven scores."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((SIDE, SIDE, 3), name="image")
    x = blocks.conv_bn(inputs, channels, 3, name="stem")
    x = keras.layers.GlobalAveragePooling2D()(body(x))
    return randomized(keras.Model(inputs, keras.layers.Dense(7, name="scores")(x), name="net"))


def _unit(filters: int, groups: int):
    """ShuffleNet v1: a unit with strides of 2, then one with strides of 1."""

    def body(x):
        x = blocks.shuffle_unit(x, filters, groups=groups, strides=2, first_groups=1, name="unit1")
        return blocks.shuffle_unit(x, filters, groups=groups, name="unit2")

    return body


def _kept(model: keras.Model, precision: str) -> bytes:
    x = samples(shape=(SIDE, SIDE, 3))
    needs = precision in ("int8", "int16x8")
    return exporter.convert(
        model,
        precision=precision,
        representative_data=x if needs else None,
        verify=False,
        fold_shuffles=False,
    ).tflite


def _scores(data: bytes) -> np.ndarray:
    file = read_tflite(data)
    (name,) = file.signatures[0].inputs
    return next(iter(run_tflite(data, file, {name: samples(8, (SIDE, SIDE, 3), 5)}).values()))


def _check_equal(kept: bytes, folded: bytes, precision: str) -> None:
    before, after = _scores(kept), _scores(folded)
    assert np.ptp(before) > 0.1
    if precision == "int8":
        assert np.array_equal(before, after)
    else:
        assert np.abs(before - after).max() <= 2e-6 * np.abs(before).max()


def _operators(data: bytes) -> list[str]:
    return [operator.name for operator in read_tflite(data).operators]


@pytest.mark.parametrize(
    ("filters", "groups", "precision"),
    # 240 channels in 3 groups leave blocks of 7, 7 and 6: filled up with zeros.
    [(240, 3, "float32"), (240, 3, "int8"), (240, 3, "float16"), (100, 2, "int8")],
)
def test_v1_units_have_no_transposition_left(filters, groups, precision):
    kept = _kept(_model(_unit(filters, groups)), precision)
    found = fold_shuffles(kept)
    assert [each.into for each in found.shuffles] == [BEFORE, VIEW]
    assert _operators(kept).count("TRANSPOSE") == 2
    assert "TRANSPOSE" not in _operators(found.tflite)
    assert _operators(found.tflite).count("RESHAPE") == 1
    _check_equal(kept, found.tflite, precision)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_eight_groups_make_small_blocks_and_stay(precision, monkeypatch):
    kept = _kept(_model(_unit(384, 8), channels=16), precision)
    found = fold_shuffles(kept)
    assert [each.into for each in found.shuffles] == [BEFORE, ""]
    assert "8 groups of 12 channels make blocks of 2" in found.shuffles[1].why_kept
    _check_equal(kept, found.tflite, precision)
    monkeypatch.setattr(shuffle_folding, "_SMALLEST_BLOCK", 1)
    found = fold_shuffles(kept)
    assert [each.into for each in found.shuffles] == [BEFORE, VIEW]
    _check_equal(kept, found.tflite, precision)


def _resnext(x):
    y = blocks.conv_bn(x, 16, name="compress")
    y = blocks.conv_bn(y, 16, 3, groups=4, name="grouped")
    y = blocks.conv_bn(y, 12, activation=None, name="expand")
    return keras.layers.ReLU()(keras.layers.Add()([x, y]))


def test_a_resnext_without_shuffles_is_left_to_the_byte():
    kept = _kept(_model(_resnext), "float32")
    found = fold_shuffles(kept)
    assert found.tflite is kept and not found.shuffles


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("spelled", ["gathered", "transposed"])
def test_users_spellings_between_a_grouped_and_a_dense_convolution(precision, spelled):
    order = np.arange(16).reshape(4, 4).T.reshape(-1)

    def body(x):
        y = blocks.conv_bn(x, 16, name="compress")
        y = blocks.conv_bn(y, 16, 3, groups=4, name="grouped")
        if spelled == "gathered":
            y = keras.ops.take(y, order, axis=-1)
        else:
            y = keras.ops.reshape(y, (-1, SIDE, SIDE, 4, 4))
            y = keras.ops.reshape(keras.ops.transpose(y, (0, 1, 2, 4, 3)), (-1, SIDE, SIDE, 16))
        y = keras.layers.MaxPooling2D(3, 1, padding="same")(y)
        y = blocks.depthwise_bn(y, name="depthwise")
        return blocks.conv_bn(y, 12, name="expand")

    kept = _kept(_model(body), precision)
    found = fold_shuffles(kept)
    assert [each.into for each in found.shuffles] == [BEHIND]
    assert not {"TRANSPOSE", "GATHER"} & set(_operators(found.tflite))
    _check_equal(kept, found.tflite, precision)


def test_what_shows_outside_stays():
    inputs = keras.Input((SIDE, SIDE, 4), name="image")
    model = keras.Model(inputs, blocks.channel_shuffle(inputs, 2, name="shuffle"))
    (shuffle,) = fold_shuffles(_kept(model, "float32")).shuffles
    assert shuffle.why_kept == "it is a result of the model"


def test_a_grouped_kernel_of_3x3_behind_is_named():
    def body(x):
        y = blocks.conv_bn(x, 16, 3, groups=4, name="first")
        y = blocks.channel_shuffle(y, 4, name="shuffle")
        return blocks.conv_bn(y, 16, 3, groups=4, name="second")

    (shuffle,) = fold_shuffles(_kept(_model(body), "float32")).shuffles
    assert shuffle.why_kept == "the grouped kernel behind is 3x3"


def test_other_transpositions_are_no_shuffles():
    def body(x):
        y = keras.ops.transpose(x, (0, 2, 1, 3))
        return blocks.conv_bn(y, 12, name="conv")

    assert fold_shuffles(_kept(_model(body), "float32")).shuffles == ()


def test_exports_fold_and_say_so():
    model = _model(_unit(240, 3))
    exported = exporter.convert(model, verify_layers=True, tolerance=1e-3)
    assert "TRANSPOSE" not in exported.operators
    assert all(layer.relative_error < 1e-4 for layer in exported.verification.layers)
    assert not exported.preservation.lost and not exported.notes
    told = json.loads(json.dumps(exported.to_dict()))
    assert [each["into"] for each in told["shuffles"]] == [BEFORE, VIEW]
    assert shuffle_summary(exported.shuffles) == (
        "2 shuffles of channels were folded (1 into the weights before, 1 into the view between "
        "grouped convolutions)."
    )
    plain = exporter.convert(model, fold_shuffles=False)
    assert plain.shuffles == () and plain.operators.count("TRANSPOSE") == 2


def test_beside_bits_they_stay_and_are_named():
    inputs = keras.Input((SIDE, SIDE, 3), name="image")
    x = blocks.conv_bn(inputs, 16, 3, name="stem")
    x = binary.BinaryConv2D(16, 3, padding="same", name="bits")(x)
    x = blocks.channel_shuffle(x, 4, name="shuffle")
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(8, 1)(x))
    model = randomized(keras.Model(inputs, keras.layers.Dense(7)(x)))
    exported = exporter.convert(model)
    assert "TRANSPOSE" in exported.operators
    assert [(each.into, "binary" in each.why_kept) for each in exported.shuffles] == [("", True)]
    assert "binary layers" in shuffle_summary(exported.shuffles)
