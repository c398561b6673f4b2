from __future__ import annotations

import json

import numpy as np
import pytest

from keras_compress.errors import KerasCompressError
from keras_compress.pruning import Accuracy, LayerSensitivity, Sensitivity, scan_sensitivity
from tests.training import compiled, data, fit, nested

pytestmark = pytest.mark.backend_independent


@pytest.fixture(scope="module")
def trained():
    model = compiled()
    fit(model, epochs=6)
    return model


def accuracy():
    return Accuracy(*data(seed=3), batch_size=32)


def test_each_layer_is_scored_alone_and_the_model_stays_as_it_is(trained):
    before = trained.get_weights()
    scan = scan_sensitivity(trained, accuracy(), rates=[0.5, 0.9])
    assert [layer.layer for layer in scan] == ["conv", "hidden", "logits"]
    assert scan.base == accuracy()(trained)
    for a, b in zip(before, trained.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    # By hand, for one of them.
    kernel = np.array(trained.get_layer("hidden").kernel)
    cut = np.sort(np.abs(kernel).ravel())[round(0.9 * kernel.size) - 1]
    trained.get_layer("hidden").kernel.assign(np.where(np.abs(kernel) > cut, kernel, 0))
    expected = accuracy()(trained)
    trained.get_layer("hidden").kernel.assign(kernel)
    assert scan.layers[1].scores[0.9] == expected


@pytest.mark.slow
def test_several_processes_find_the_same(trained):
    alone = scan_sensitivity(trained, accuracy(), rates=[0.6, 0.95], layers=["conv", "logits"])
    together = scan_sensitivity(
        trained, accuracy(), rates=[0.6, 0.95], layers=["conv", "logits"], workers=2
    )
    assert together == alone


def test_a_stopped_scan_goes_on(trained, tmp_path):
    path, calls = tmp_path / "scan.jsonl", []

    def evaluate(model):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return float(np.abs(np.array(model.get_layer("logits").kernel)).sum())

    with pytest.raises(KeyboardInterrupt):
        scan_sensitivity(trained, evaluate, rates=[0.5, 0.9], path=path)
    assert np.all(np.array(trained.get_layer("hidden").kernel))
    scan = scan_sensitivity(trained, evaluate, rates=[0.5, 0.9], path=path)
    # The base and two scores were kept; one was broken off; four were left.
    assert len(calls) == 4 + 4
    calls.clear()
    assert scan_sensitivity(trained, evaluate, rates=[0.5, 0.9], path=path) == scan
    assert not calls


def test_files_of_other_models_and_damaged_ones_are_refused(trained, tmp_path):
    path = tmp_path / "scan.jsonl"
    scan_sensitivity(trained, accuracy(), rates=[0.5], layers="conv", path=path)
    with pytest.raises(KerasCompressError, match="of others"):
        scan_sensitivity(compiled(seed=5), accuracy(), rates=[0.5], path=path)
    for text in ("", "[]", "{}", json.dumps({"format": "another"}), path.read_text()[:-20]):
        (tmp_path / "bad.jsonl").write_text(text)
        with pytest.raises(KerasCompressError, match="damaged"):
            scan_sensitivity(trained, accuracy(), rates=[0.5], path=tmp_path / "bad.jsonl")


def test_nested_layers_are_named_by_their_paths():
    scan = scan_sensitivity(compiled(nested), accuracy(), rates=[0.5], layers="body")
    assert [layer.layer for layer in scan] == ["body/conv"]


SCAN = Sensitivity(
    0.9,
    (
        LayerSensitivity("tough", 900, {0.5: 0.9, 0.8: 0.9, 0.95: 0.86}),
        LayerSensitivity("frail", 100, {0.5: 0.7, 0.8: 0.3, 0.95: 0.1}),
    ),
)


def test_rates_for_a_drop_lie_between_those_scanned():
    rates = SCAN.propose(max_drop=0.02)
    assert rates["tough"] == pytest.approx(0.875)
    assert rates["frail"] == pytest.approx(0.05)
    assert SCAN.propose(max_drop=1.0) == {"tough": 0.95, "frail": 0.95}


def test_rates_for_a_sparsity_spare_the_frail_layer():
    rates = SCAN.propose(sparsity=0.8)
    assert 0.9 * rates["tough"] + 0.1 * rates["frail"] == pytest.approx(0.8, abs=1e-3)
    assert rates["tough"] > 0.85 and rates["frail"] < 0.2


def test_what_was_not_scanned_is_not_proposed():
    with pytest.raises(KerasCompressError, match=r"reach 0\.9500"):
        SCAN.propose(sparsity=0.99)
    with pytest.raises(KerasCompressError, match="one of `max_drop` and `sparsity`"):
        SCAN.propose()
    with pytest.raises(KerasCompressError, match="max_drop=-1"):
        SCAN.propose(max_drop=-1)


def test_a_score_of_nan_ends_the_rates():
    layer = LayerSensitivity("it", 10, {0.5: 0.9, 0.8: float("nan"), 0.9: 0.9})
    assert layer.rate_at(0.9, 0.1) == 0.5


def test_it_is_written_and_drawn(tmp_path):
    assert json.loads(json.dumps(SCAN.to_dict()))["layers"][0]["scores"][0] == [0.5, 0.9]
    pytest.importorskip("matplotlib")
    (axes,) = SCAN.plot(tmp_path / "scan.png").axes
    # A line for each layer, and the score of the net as it is.
    assert len(axes.lines) == len(list(SCAN)) + 1
    assert list(axes.lines[-1].get_ydata()) == [SCAN.base] * 2
    assert (tmp_path / "scan.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rates": []}, "one or more"),
        ({"rates": [0.0]}, "above 0"),
        ({"rates": [1.0]}, "share of zeros"),
        ({"workers": 0}, "workers=0"),
        ({"layers": "nothing"}, "matches none"),
    ],
)
def test_bad_settings_are_refused(trained, arguments, message):
    with pytest.raises(KerasCompressError, match=message):
        scan_sensitivity(trained, accuracy(), **{"rates": [0.5], **arguments})


def test_a_base_score_that_is_not_finite_is_refused(trained):
    with pytest.raises(KerasCompressError, match="must be finite"):
        scan_sensitivity(trained, lambda model: float("nan"))
