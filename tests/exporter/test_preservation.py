"""Zeros and shared values, followed into the file."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import pytest

from keras_compress import exporter, tflite
from tests.exporter import models

KERNELS = ("conv/kernel", "depthwise/kernel", "pointwise/kernel", "scores/kernel")


def by_weight(exported):
    return {weight.weight: weight for weight in exported.preservation.weights}


def constants(exported, dtypes=("FLOAT32", "FLOAT16", "INT8")):
    file = tflite.read_tflite(exported.tflite)
    return [t for t in file.tensors if t.is_readable and t.dtype in dtypes and len(t.shape) > 1]


@pytest.fixture(scope="module")
def clustered():
    return models.share_values(models.normalized())


def test_folding_a_normalization_destroys_shared_values_and_says_so(clustered):
    with pytest.warns(exporter.ExportWarning, match="fold_batch_norm=False"):
        exported = exporter.convert(clustered)
    found = by_weight(exported)
    lost = {weight.weight for weight in exported.preservation.lost}
    assert lost == {"conv/kernel", "depthwise/kernel", "pointwise/kernel"}
    for name in lost:
        kernel = found[name]
        assert kernel.sharing == "per_channel" and "folded" in kernel.reason
        assert kernel.distinct_after > kernel.distinct_before == 8
        assert kernel.distinct_per_channel <= 8
        # Zeros times any scale are zeros.
        assert kernel.zeros == "kept" and kernel.zeros_after == kernel.zeros_before > 0
    assert found["scores/kernel"].sharing == "kept"
    # The counts are those of the file itself.
    largest = max((t.array() for t in constants(exported)), key=lambda a: len(np.unique(a)))
    assert len(np.unique(largest)) == max(w.distinct_after or 0 for w in found.values())


def test_kept_apart_every_value_survives(clustered):
    with warnings.catch_warnings():
        warnings.simplefilter("error", exporter.ExportWarning)
        exported = exporter.convert(clustered, fold_batch_norm=False)
    assert not exported.preservation.lost and not exported.notes
    found = by_weight(exported)
    assert {found[name].distinct_after for name in KERNELS} == {8}
    assert exported.operators.count("MUL") == exported.operators.count("ADD") == 3
    assert exported.verification.outputs[0].relative_error < 1e-5
    file = tflite.read_tflite(exported.tflite)
    assert len(file.outputs) == 1 and len(file.signatures[0].outputs) == 1


def test_int8_by_channel_and_by_tensor(clustered):
    x = models.samples()
    with pytest.warns(exporter.ExportWarning, match="per_channel=False"):
        by_channel = exporter.convert(
            clustered, precision="int8", representative_data=x, fold_batch_norm=False
        )
    kernel = by_weight(by_channel)["conv/kernel"]
    assert kernel.sharing == "per_channel" and kernel.distinct_per_channel <= 8
    assert 8 < kernel.distinct_after <= 255
    by_tensor = exporter.convert(
        clustered,
        precision="int8",
        representative_data=x,
        fold_batch_norm=False,
        per_channel=False,
        io_dtype="float32",
    )
    found = by_weight(by_tensor)
    assert {found[name].sharing for name in KERNELS} == {"kept"}
    assert by_tensor.verification.outputs[0].relative_error < 0.2


@pytest.mark.filterwarnings("ignore::keras_compress.exporter.ExportWarning")
@pytest.mark.parametrize(
    ("fold", "precision"),
    [
        *((False, precision) for precision in ("float32", "float16", "dynamic", "int8")),
        *((True, precision) for precision in ("float16", "int8")),
    ],
)
def test_zeros_survive_every_precision(clustered, precision, fold):
    exported = exporter.convert(
        clustered, precision=precision, representative_data=models.samples(), fold_batch_norm=fold
    )
    found = by_weight(exported)
    for name in KERNELS:
        assert found[name].zeros == "kept", (name, found[name])
        assert found[name].zeros_after >= found[name].zeros_before > 0
    for tensor in constants(exported, ("INT8",)):
        assert not tensor.zero_points.any()


def test_float16_keeps_shared_values():
    exported = exporter.convert(models.share_values(models.plain()), precision="float16")
    kernel = by_weight(exported)["net/first/kernel"]
    assert kernel.dtype == "FLOAT16" and kernel.sharing == "kept"


def test_weights_are_matched_to_their_own_layer():
    """Two layers of one shape, each with a count of zeros of its own."""
    model = models.randomized(
        keras.Sequential(
            [
                keras.Input((8, 8, 4)),
                *[keras.layers.Conv2D(4, 3, padding="same", name=f"conv{i}") for i in range(3)],
            ],
            name="net",
        )
    )
    for i, layer in enumerate(model.layers):
        kernel = layer.kernel.numpy()
        kernel.reshape(-1)[: 10 * (i + 1)] = 0
        layer.kernel.assign(kernel)
    found = by_weight(exporter.convert(model))
    for i in range(3):
        kernel = found[f"net/conv{i}/kernel"]
        assert f"conv{i}" in kernel.tensor
        assert kernel.zeros_before == kernel.zeros_after == 10 * (i + 1)


def test_every_kind_of_kernel_is_found():
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.SeparableConv2D(6, 3, name="separable")(inputs)
    x = keras.layers.Conv2DTranspose(5, 3, name="transposed")(x)
    x = keras.layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise")(x)
    x = keras.layers.Reshape((-1, 10))(x)
    x = keras.layers.Conv1D(7, 3, name="one")(x)
    x = keras.layers.Dense(4, name="dense")(x)
    model = models.randomized(keras.Model(inputs, x))
    exported = exporter.convert(model)
    kernels = [w for w in exported.preservation.weights if w.size > 15 and "kernel" in w.weight]
    assert len(kernels) == 6
    assert [w.weight for w in kernels if w.tensor is None] == []
    assert {w.distinct_after == w.distinct_before for w in kernels} == {True}


def test_lost_zeros_are_reported():
    """Preservation is measured on the file: against a file of other weights, nothing is found."""
    from keras_compress.exporter.preservation import measure_preservation

    model = models.share_values(models.plain())
    exported = exporter.convert(model)
    file = tflite.read_tflite(exported.tflite)
    assert measure_preservation(model, file).unmapped == exported.preservation.unmapped
    other = models.plain()
    kernels = [w for w in measure_preservation(other, file).weights if w.weight.endswith("kernel")]
    assert [w.tensor for w in kernels] == [None, None, None]


def test_zeros_turned_into_numbers_count_as_lost():
    from keras_compress.exporter.preservation import _preservation
    from keras_compress.exporter.weight_matching import Constant, Match
    from keras_compress.tflite.model_file import Tensor

    weight = np.array([[0.0, 0.5], [0.0, -0.5]], np.float32)
    stored = np.array([[0, 64], [1, -64]], np.int8)
    tensor = Tensor(
        0,
        0,
        "t",
        (2, 2),
        "INT8",
        memoryview(stored.tobytes()),
        np.float32([1 / 128]),
        np.int64([0]),
        0,
        False,
    )
    match = Match(Constant(tensor, stored, stored / 128, np.int64(0)), weight, None, None)
    row = _preservation("w", weight, match)
    assert row.zeros == "lost" and row.is_lost and row.zeros_after == 1
