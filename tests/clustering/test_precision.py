from __future__ import annotations

import warnings

import keras
import numpy as np
import pytest

from keras_compress import clustering
from keras_compress.clustering import align_channels, int8_preservation, round_codebooks
from keras_compress.errors import KerasCompressError
from tests.training import compiled, data

pytestmark = pytest.mark.backend_independent


@pytest.fixture(scope="module")
def clustered():
    model = clustering.prepare(compiled(), clustering.ClusteringConfig(6, layers=["hidden"]))
    return clustering.finalize(model)


def kernel(model):
    return np.array(model.get_layer("hidden").kernel)


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_shared_values_fit_the_smaller_type(clustered, dtype):
    before = kernel(clustered)
    copy, rows = round_codebooks(clustered, dtype)
    after = kernel(copy)
    np.testing.assert_array_equal(kernel(clustered), before)
    row = next(row for row in rows if row.weight == "hidden/kernel")
    assert row.dtype == dtype and row.distinct == np.unique(after).size == 6
    if dtype == "float16":
        np.testing.assert_array_equal(after.astype("float16").astype("float32"), after)
        assert row.relative_error < 1e-3
    else:
        steps = after / (np.abs(after).max() / 127)
        np.testing.assert_allclose(steps, np.rint(steps), atol=1e-3)
        assert row.relative_error < 1e-2
    assert {r.weight: r.dtype for r in rows}["conv/kernel"] == "float32"
    assert all(r.reason for r in rows if r.dtype == "float32")


def test_rounding_that_costs_is_undone(clustered):
    calls = []

    def evaluate(model):
        calls.append(model)
        return 1.0 if len(calls) == 1 else 0.5

    copy, rows = round_codebooks(clustered, "int8", evaluate=evaluate)
    np.testing.assert_array_equal(kernel(copy), kernel(clustered))
    assert next(r.reason for r in rows if r.weight == "hidden/kernel") == "the score would drop"
    copy, rows = round_codebooks(clustered, "int8", evaluate=lambda model: 1.0)
    assert {r.weight: r.dtype for r in rows}["hidden/kernel"] == "int8"


def test_a_value_is_not_rounded_to_zero():
    model = compiled()
    values = np.where(kernel(model) > 0, 1.0, 1e-4).astype("float32")
    model.get_layer("hidden").kernel.assign(values)
    copy, rows = round_codebooks(model, "int8", layers="hidden")
    assert rows[0].reason == "a value would become zero"
    np.testing.assert_array_equal(kernel(copy), values)


def test_what_int8_leaves_is_told_channel_by_channel(clustered):
    row = next(r for r in int8_preservation(clustered) if r.weight == "hidden/kernel")
    values = kernel(clustered)
    integers = np.rint(values / (np.abs(values).max(0) / 127))
    assert row.distinct == 6
    assert row.overall == np.unique(integers).size
    assert row.per_channel == max(np.unique(c).size for c in integers.T) <= 6
    assert row.survives == (row.overall <= 6)


def test_aligned_channels_share_one_codebook_as_integers():
    generator = np.random.default_rng(0)
    codebook = np.array([0.0, -0.31, -0.1, 0.07, 0.2, 0.33], "float32")
    weight = codebook[generator.integers(0, 5, (3, 3, 4, 12))]  # the largest value is rare
    weight[0, 0, 0, 0] = 0.33
    weight[..., 5] = 0
    layer = keras.layers.Conv2D(12, 3, name="it")
    model = keras.Sequential([keras.Input((5, 5, 4)), layer])
    layer.kernel.assign(weight)
    assert not int8_preservation(model)[0].survives
    aligned = align_channels(weight)
    layer.kernel.assign(aligned)
    assert int8_preservation(model)[0].survives
    assert np.unique(aligned).size <= 6 and not aligned[..., 5].any()
    assert np.count_nonzero(aligned != weight) <= 11
    assert np.all((aligned == 0) == (weight == 0))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="exports")
def test_the_prediction_is_what_the_exporter_finds(clustered):
    from keras_compress import exporter

    x, _ = data()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", exporter.ExportWarning)
        exported = exporter.convert(
            clustered, precision="int8", representative_data=x, verify=False
        )
    found = next(w for w in exported.preservation.weights if w.weight.endswith("hidden/kernel"))
    row = next(r for r in int8_preservation(clustered) if r.weight == "hidden/kernel")
    assert found.distinct_per_channel == row.per_channel
    assert found.distinct_after == row.overall


def test_bad_types_are_refused(clustered):
    with pytest.raises(KerasCompressError, match="dtype='int4'"):
        round_codebooks(clustered, "int4")
    model = compiled()
    model.get_layer("hidden").kernel.assign(np.full(kernel(model).shape, 1e6))
    with pytest.raises(KerasCompressError, match="float16 reaches"):
        round_codebooks(model, "float16", layers="hidden")
