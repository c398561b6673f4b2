from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_compress import pruning
from keras_compress.errors import KerasCompressError
from keras_compress.pruning import (
    PruningCallback,
    StaircaseSparsity,
    layer_configs,
    prune_iteratively,
    threshold_rates,
)
from tests.training import compiled, data, fit, sequential

pytestmark = pytest.mark.backend_independent


def test_the_staircase_climbs_and_stays():
    schedule = StaircaseSparsity([0.2, 0.5, 0.9], steps=4, begin_step=2)
    assert [schedule(step) for step in (0, 2, 5, 6, 10, 99)] == [0.0, 0.2, 0.2, 0.5, 0.9, 0.9]
    assert (schedule.begin_step, schedule.end_step) == (2, 10)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
    assert again == schedule and hash(again) == hash(schedule)


def test_the_staircase_drives_a_fit():
    model = compiled()
    config = pruning.PruningConfig(StaircaseSparsity([0.3, 0.6], steps=6), frequency=1)
    history = fit(model, epochs=2, callbacks=[PruningCallback(config)])
    assert history.history["sparsity"] == pytest.approx([0.6, 0.6], abs=0.02)


def rounds_of(scores, rates, **kwargs):
    model, seen, scores = compiled(), [], iter(scores)

    def train(model, callbacks):
        fit(model, epochs=1, callbacks=callbacks)
        seen.append(model.get_weights())

    done = prune_iteratively(model, rates, train, lambda model: next(scores), **kwargs)
    return model, seen, done


def test_it_stops_below_the_floor_and_keeps_the_last_good_round():
    model, seen, done = rounds_of([0.95, 0.91, 0.7, 0.99], [0.3, 0.5, 0.8, 0.9], floor=0.9)
    assert [r.accepted for r in done] == [True, True, False]
    assert [r.sparsity for r in done] == pytest.approx([0.3, 0.5, 0.8], abs=0.02)
    for kept, best in zip(model.get_weights(), seen[1], strict=True):
        np.testing.assert_array_equal(kept, best)
    kernel = np.array(pruning.finalize(model).get_layer("logits").kernel)
    assert np.mean(kernel == 0) == pytest.approx(0.5, abs=0.02)


def test_patience_tries_further():
    model, seen, done = rounds_of([0.95, 0.8, 0.92], [0.3, 0.5, 0.6], floor=0.9, patience=1)
    assert [r.accepted for r in done] == [True, False, True]
    np.testing.assert_array_equal(model.get_weights()[0], seen[2][0])


def test_nothing_accepted_gives_the_model_back_as_it_was():
    untouched = compiled().get_weights()
    model, _, done = rounds_of([0.1], [0.5, 0.9], floor=0.9)
    assert len(done) == 1 and not done[0].accepted
    for a, b in zip(model.get_weights(), untouched, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_score_of_nan_stops_at_the_last_good_round():
    model, seen, done = rounds_of([0.95, float("nan"), 1.0], [0.3, 0.5, 0.6], floor=0, patience=5)
    assert [r.accepted for r in done] == [True, False]
    np.testing.assert_array_equal(model.get_weights()[0], seen[0][0])


def test_a_round_may_name_a_rate_for_each_layer():
    x, y = data()
    model = compiled()
    done = prune_iteratively(
        model,
        [{"conv": 0.25, "logits": 0.75}],
        lambda model, callbacks: fit(model, epochs=1, callbacks=callbacks),
        lambda model: model.evaluate(x, y, verbose=0)[1],
        floor=0.0,
    )
    assert done[0].to_dict()["rates"] == {"conv": 0.25, "logits": 0.75}
    small = pruning.finalize(model)
    found = [np.mean(np.array(small.get_layer(n).kernel) == 0) for n in ("conv", "logits")]
    assert found == pytest.approx([0.25, 0.75], abs=0.02)
    assert np.all(np.array(small.get_layer("hidden").kernel))


def test_rounds_prune_by_pattern_criterion_and_layers_of_the_settings():
    config = pruning.PruningConfig(pattern="filters", criterion="taylor", layers="hidden")
    model, _, done = rounds_of([0.95, 0.95], [0.25, 0.5], floor=0.9, config=config)
    assert [r.sparsity for r in done] == [0.25, 0.5]
    kept = np.array(model.get_layer("hidden").kernel) != 0
    assert (kept.all(0) | ~kept.any(0)).all() and kept.any(0).sum() == 8
    assert (np.array(model.get_layer("conv").kernel) != 0).all()
    configs = layer_configs({"conv": 0.5, "hidden": 0.75}, config=config)
    assert [each.layers for each in configs] == ["conv", "hidden"]
    assert {each.criterion for each in configs} == {pruning.Taylor()}


def test_threshold_rates_are_the_share_below_quality_deviations():
    model = sequential()
    kernel = np.array(model.get_layer("logits").kernel)
    rates = threshold_rates(model, 1.0)
    assert set(rates) == {"conv", "hidden", "logits"}
    assert rates["logits"] == np.mean(np.abs(kernel) < kernel.std())
    assert all(threshold_rates(model, 1e9)[path] < 1 for path in rates)


def test_layer_configs_leave_out_what_is_not_pruned():
    configs = layer_configs({"conv": 0.5, "logits": 0.0})
    assert [config.layers for config in configs] == ["conv"]
    with pytest.raises(KerasCompressError, match="conv"):
        layer_configs({"conv": 1.0})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StaircaseSparsity([], 5), "one or more"),
        (lambda: StaircaseSparsity([0.5, 0.4], 5), "don't fall"),
        (lambda: StaircaseSparsity([0.5], 0), "steps=0"),
        (lambda: StaircaseSparsity([1.0], 5), "share of zeros"),
        (lambda: prune_iteratively(sequential(), [], print, print, floor=0), "at least one round"),
        (lambda: prune_iteratively(sequential(), [2.0], print, print, floor=0), "share of zeros"),
        (lambda: threshold_rates(sequential(), 0), "quality=0"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(KerasCompressError, match=message):
        make()
