"""`prepare`, `finalize` and `compression_report` at the root, for each technique and several."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest

import keras_compress
from keras_compress import clustering, pruning, quantization, rate
from keras_compress.clustering import Clustered, ClusteringCallback, ClusteringConfig
from keras_compress.engine.technique import Technique, TechniqueConfig, register_technique
from keras_compress.errors import KerasCompressError
from keras_compress.pruning import Pruned, PruningCallback, PruningConfig, SurgeryPruned
from keras_compress.rate import RateAware, RateConfig
from tests.training import dense, fit_dense, outputs, sequential, vectors

KINDS = {
    "pruning": (PruningConfig(0.5), Pruned, "pruned", pruning),
    "surgery": (pruning.SurgeryConfig(schedule=0.5), SurgeryPruned, "pruned", pruning),
    "clustering": (ClusteringConfig(4), Clustered, "clustered", clustering),
    "rate": (RateConfig(1e-3), RateAware, "rounded", rate),
}


def actions(report) -> dict[str, str]:
    return {f"{row.layer}/{row.weight}": row.action for row in report}


def labels(model) -> list[str]:
    return sorted(f"{row.layer}/{row.weight}" for row in keras_compress.compression_report(model))


@pytest.mark.parametrize("kind", KINDS)
def test_the_kind_of_the_settings_says_how_to_prepare_and_report(kind):
    config, wrapper, action, package = KINDS[kind]
    model = dense()
    ready = keras_compress.prepare(model, config)
    assert [type(layer) for layer in ready.layers[1:]] == [wrapper, wrapper]
    assert type(model.layers[1]) is keras.layers.Dense
    for layer in ready.layers[1:]:
        if isinstance(layer, Pruned):
            layer.set_masks([np.asarray(layer.layer.kernel) > 0])
    for report in (
        keras_compress.compression_report(ready),
        keras_compress.compression_report(ready, config),
        package.report(ready, config),
    ):
        assert actions(report)["hidden/kernel"].split(", ")[-1] == action
        # What wrappers add are no weights of the model's.
        assert sorted(actions(report)) == labels(model)
        assert json.loads(json.dumps(report.to_dict()))["weights"][0]["layer"] == "hidden"
    small = keras_compress.finalize(ready)
    assert [type(layer) for layer in small.layers[1:]] == [keras.layers.Dense] * 2
    np.testing.assert_allclose(
        outputs(small, vectors()[0]), outputs(ready, vectors()[0]), atol=1e-6
    )


@pytest.mark.parametrize("kind", ["pruning", "surgery"])
def test_masks_that_nobody_moved_are_told(kind):
    config, _, _, package = KINDS[kind]
    ready = keras_compress.prepare(dense(), config)
    fit_dense(ready, 1, [])  # without the callback
    for report in (
        keras_compress.compression_report(ready),
        keras_compress.compression_report(ready, config),
        package.report(ready, config),
    ):
        row = next(row for row in report if (row.layer, row.weight) == ("hidden", "kernel"))
        assert row.action == "left alone"
        assert row.reason.startswith("its mask, which ")
        assert row.reason.endswith("Callback` moves, keeps every weight")
    callback = "SurgeryCallback" if kind == "surgery" else "PruningCallback"
    with pytest.warns(UserWarning, match=f"2 of 2 prepared layers: hidden .*{callback}"):
        keras_compress.finalize(ready)


def test_there_is_one_finalize():
    finalize = keras_compress.finalize
    assert pruning.finalize is clustering.finalize is rate.finalize is finalize


def test_a_quantized_model_is_finalized_and_reported_by_quantization():
    config = quantization.QuantizationConfig()
    ready = keras_compress.prepare(dense(), config)
    assert quantization.report(ready) == keras_compress.compression_report(ready)
    quantization.calibrate(ready, vectors()[0])
    small = keras_compress.finalize(ready)
    names = {type(layer).__name__ for layer in small.layers}
    assert names == {"InputLayer", "Dense", "FakeQuantize"}
    assert keras_compress.compression_report(ready, config).to_dict()["layers"]
    # What is finalized holds stock kernels, and is reported like any other model.
    assert actions(keras_compress.compression_report(small))["hidden/bias"] == "left alone"


def test_all_that_was_done_to_a_weight_is_in_one_report():
    model = dense()
    fit_dense(model, 1, [PruningCallback(PruningConfig(0.5, layers="hidden"))])
    before = actions(keras_compress.compression_report(model))
    assert before == {
        "hidden/kernel": "pruned",
        "hidden/bias": "left alone",
        "logits/kernel": "left alone",
        "logits/bias": "left alone",
    }
    fit_dense(model, 1, [ClusteringCallback(4)])
    during = actions(keras_compress.compression_report(model))
    assert during["hidden/kernel"] == "pruned, clustered" and during["logits/kernel"] == "clustered"
    after = keras_compress.compression_report(keras_compress.finalize(model))
    assert actions(after)["hidden/kernel"] == "pruned, values shared"
    assert actions(after)["logits/kernel"] == "values shared"
    assert actions(after)["hidden/bias"] == "left alone"
    row = next(iter(after))
    assert row.sparsity == 0.5 and row.distinct <= 5


def test_an_untouched_model_is_reported_with_reasons():
    report = keras_compress.compression_report(sequential())
    assert set(actions(report).values()) == {"left alone"}
    reasons = {f"{row.layer}/{row.weight}": row.reason for row in report}
    assert reasons["conv/kernel"] == "no zeros and no shared values"
    # Zeros that a bias begins with say nothing.
    assert reasons["conv/bias"] == "bias"
    assert reasons["norm/gamma"] == "normalization parameter"
    assert report.sparsity == 0.0


def test_weights_that_were_loaded_since_are_reported_as_they_are():
    model = dense()
    first = model.get_weights()
    fit_dense(model, 1, [PruningCallback(0.5)])
    model.set_weights(first)
    assert set(actions(keras_compress.compression_report(model)).values()) == {"left alone"}


@pytest.mark.parametrize("config", [None, 0.5, "pruning", PruningConfig])
def test_settings_of_no_technique_are_refused(config):
    with pytest.raises(KerasCompressError, match="PruningConfig"):
        keras_compress.prepare(dense(), config)


def test_a_technique_registers_the_kind_of_its_settings():
    class Own(TechniqueConfig):
        layers = "hidden"

    def prepare(model, config):
        return model, config

    register_technique(Own, Technique("own", prepare, lambda model, config: config.select(model)))
    model, config = dense(), Own()
    assert keras_compress.prepare(model, config) == (model, config)
    chosen = keras_compress.compression_report(model, config).chosen
    assert [ref.label for ref in chosen] == ["hidden/kernel"]


@pytest.mark.parametrize("kind", KINDS)
def test_settings_serialize(kind):
    config = KINDS[kind][0]
    record = json.loads(json.dumps(keras.saving.serialize_keras_object(config)))
    assert keras.saving.deserialize_keras_object(record) == config


def test_settings_with_arrays_serialize():
    importance = {"hidden/kernel": np.ones((8, 16), "float32")}
    config = ClusteringConfig(4, importance=importance)
    record = keras.saving.serialize_keras_object(config)
    again = keras.saving.deserialize_keras_object(record)
    np.testing.assert_array_equal(again.importance["hidden/kernel"], importance["hidden/kernel"])
