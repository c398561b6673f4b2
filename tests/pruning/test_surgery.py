from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_compress import pruning
from keras_compress.errors import KerasCompressError
from keras_compress.pruning import PolynomialDecay, SurgeryCallback, SurgeryConfig, prepare_surgery
from keras_compress.pruning.surgery import surgery_layers, surgery_mask
from tests.training import BUILDERS, compiled, data, fit, sequential, subclassed

pytestmark = pytest.mark.backend_independent


def masks_of(model):
    return [
        np.array(keras.ops.convert_to_numpy(mask))
        for layer in surgery_layers(model)
        for mask in layer.masks
    ]


def test_the_mask_follows_equation_2_of_the_paper():
    weight = np.array([0.5, -0.95, 1.05, -1.2, 0.95, 1.05], "float32")
    mask = np.array([True, True, True, False, False, False])
    after = surgery_mask(weight, mask, threshold=1.0, hysteresis=0.1)
    assert after.tolist() == [False, True, True, True, False, False]


def test_a_layer_is_never_cut_through():
    weight = np.array([0.1, -0.3, 0.2], "float32")
    after = surgery_mask(weight, np.ones(3, bool), threshold=1.0, hysteresis=0.0)
    assert after.tolist() == [False, True, False]


@pytest.mark.parametrize("builder", ["functional", "nested"])
def test_it_prunes_as_far_as_asked_and_ends_in_stock_layers(builder):
    schedule = PolynomialDecay(0.0, 0.7, 0, 10)
    config = SurgeryConfig(schedule=schedule, frequency=2, hysteresis=0.0)
    model = prepare_surgery(compiled(BUILDERS[builder]), config)
    history = fit(model, epochs=2, callbacks=[SurgeryCallback(config)])
    assert history.history["sparsity"][-1] == pytest.approx(0.7, abs=0.01)
    small = pruning.finalize(model)
    assert all(layer.__module__.startswith("keras.") for layer in small.layers)
    kernel = np.array(small.get_layer("logits").kernel)
    assert np.mean(kernel == 0) == pytest.approx(0.7, abs=0.1)
    x, _ = data()
    np.testing.assert_allclose(
        small.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-4, atol=1e-5
    )
    assert pruning.report(model).sparsity == pytest.approx(0.7, abs=0.01)


def test_what_was_cut_is_trained_on_and_comes_back():
    config = SurgeryConfig(schedule=0.8, frequency=1, hysteresis=0.0)
    model = prepare_surgery(compiled(optimizer=keras.optimizers.Adam(0.02)), config)
    surgery = SurgeryCallback(config)
    fit(model, epochs=4, callbacks=[surgery])
    assert surgery.spliced > 20
    assert surgery.cut > surgery.spliced
    # Behind the masks there are weights, not zeros.
    for layer in surgery_layers(model):
        for variable, mask in layer.masked_weights():
            behind = np.array(variable)[~np.array(keras.ops.convert_to_numpy(mask))]
            assert np.count_nonzero(behind) == behind.size


def test_the_gradient_of_the_masked_weight_reaches_the_whole_one():
    config = SurgeryConfig(schedule=0.5)
    model = prepare_surgery(compiled(optimizer=keras.optimizers.SGD(0.1)), config)
    wrapper = model.get_layer("logits")
    before = np.array(wrapper.layer.kernel)
    fit(model, epochs=1, callbacks=[SurgeryCallback(config)])
    assert np.mean(np.array(wrapper.layer.kernel) != before) > 0.9


def test_the_papers_threshold_is_measured_when_surgery_begins():
    model = compiled()
    kernel = np.array(model.get_layer("logits").kernel)
    config = SurgeryConfig(strength=0.5, layers="logits", hysteresis=0.0)
    wrapped = prepare_surgery(model, config)
    callback = SurgeryCallback(config)
    callback.set_model(wrapped)
    callback.attach(wrapped, 0)
    threshold = np.abs(kernel).mean() + 0.5 * np.abs(kernel).std()
    np.testing.assert_array_equal(masks_of(wrapped)[0], np.abs(kernel) >= threshold)


def test_a_saved_model_goes_on_as_if_it_had_never_stopped(tmp_path):
    config = SurgeryConfig(schedule=PolynomialDecay(0.0, 0.8, 0, 18), frequency=2, decay=0.1)
    unbroken = prepare_surgery(compiled(), config)
    fit(unbroken, epochs=4, callbacks=[SurgeryCallback(config)])
    broken = prepare_surgery(compiled(), config)
    fit(broken, epochs=2, callbacks=[SurgeryCallback(config)])
    broken.save(tmp_path / "half.keras")
    again = keras.models.load_model(tmp_path / "half.keras")
    fit(again, epochs=4, initial_epoch=2, callbacks=[SurgeryCallback(config)])
    for a, b in zip(masks_of(unbroken), masks_of(again), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(unbroken.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_operations_become_rarer_by_the_step_alone():
    config = SurgeryConfig(schedule=0.5, decay=0.05)
    done = [config.updates_masks_at(step) for step in range(2000)]
    assert done == [config.updates_masks_at(step) for step in range(2000)]
    assert sum(done[:100]) > 3 * sum(done[-100:])
    assert all(SurgeryConfig(schedule=0.5).updates_masks_at(step) for step in range(50))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "one of `strength` and `schedule`"),
        ({"strength": 1.0, "schedule": 0.5}, "one of `strength` and `schedule`"),
        ({"schedule": 1.5}, "share of zeros"),
        ({"schedule": 0.5, "hysteresis": 1.0}, "hysteresis=1.0"),
        ({"schedule": 0.5, "decay": -1.0}, "decay=-1.0"),
        ({"schedule": 0.5, "frequency": 0}, "frequency=0"),
    ],
)
def test_bad_settings_are_refused(arguments, message):
    with pytest.raises(KerasCompressError, match=message):
        SurgeryConfig(**arguments)


def test_models_it_can_not_work_on_are_refused():
    config = SurgeryConfig(schedule=0.5)
    with pytest.raises(KerasCompressError, match="subclassed"):
        prepare_surgery(subclassed(), config)
    with pytest.raises(KerasCompressError, match="without any"):
        fit(compiled(), callbacks=[SurgeryCallback(config)])
    with pytest.raises(KerasCompressError, match="prepared once"):
        prepare_surgery(prepare_surgery(sequential(), config), config)
    bad = sequential()
    bad.get_layer("logits").kernel.assign(np.full((16, 4), np.nan))
    with pytest.raises(KerasCompressError, match="must be finite"):
        prepare_surgery(bad, config)
