"""Rate-aware training: rounded weights, the cost of their bits, and what is left after it."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_compress import rate
from keras_compress.errors import KerasCompressError
from keras_compress.rate.wrapper import initial_step_size


def make_model():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(4, 3, activation="relu", name="conv"),
            keras.layers.Flatten(),
            keras.layers.Dense(16, activation="relu", name="hidden"),
            keras.layers.Dense(3, name="logits"),
        ]
    )
    model.compile(
        keras.optimizers.Adam(3e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    return model


def make_data(n=96):
    generator = np.random.default_rng(0)
    y = generator.integers(0, 3, n)
    x = generator.normal(0, 0.3, (n, 8, 8, 1)).astype("float32")
    for i, label in enumerate(y):
        x[i, 2 * label : 2 * label + 3] += 1.0
    return x, y


def train(model, config, epochs, **kwargs):
    x, y = make_data()
    callbacks = [rate.RateCallback(config)]
    return model.fit(
        x, y, batch_size=16, epochs=epochs, shuffle=False, verbose=0, callbacks=callbacks, **kwargs
    )


def code_length(values):
    return float(keras.ops.convert_to_numpy(rate.code_length(np.asarray(values, "float32"))))


def test_bits_come_close_to_the_entropy_of_independent_weights():
    generator = np.random.default_rng(0)
    nonzero = generator.random((300, 200)) < 0.1
    magnitude = generator.geometric(0.6, nonzero.shape)
    values = nonzero * magnitude * generator.choice([-1, 1], nonzero.shape)
    share = nonzero.mean()
    stop = 0.6
    ideal = -share * np.log2(share) - (1 - share) * np.log2(1 - share)
    ideal += share * (1 - np.log2(stop) - (1 - stop) / stop * np.log2(1 - stop))
    assert code_length(values) == pytest.approx(ideal * values.size, rel=0.02)


def test_bits_are_fewer_where_the_nonzero_weights_share_rows():
    scattered = np.zeros((64, 64))
    scattered.flat[np.random.default_rng(0).choice(64 * 64, 256, replace=False)] = 1
    together = np.zeros((64, 64))
    together[:4] = 1
    assert code_length(together) < 0.4 * code_length(scattered)


def test_slope_between_zero_and_one_is_what_the_step_saves():
    values = (np.random.default_rng(0).random((50, 40)) < 0.1).astype("float32")
    values[0, 0] = 1.0
    half = values.copy()
    half[0, 0] = 0.75
    # The statistics see the rounded weights, which are the same.
    lower = code_length(values) - code_length(half)
    quarter = half.copy()
    quarter[0, 0] = 0.625
    assert lower > 0
    assert code_length(half) - code_length(quarter) == pytest.approx(lower / 2, rel=0.05)


@pytest.mark.parametrize("shape", [(7,), (1,), (5, 1), (1, 6), (3, 3, 1, 4), (3, 3, 5, 1)])
def test_bits_are_finite_for_every_shape(shape):
    for fill in (0.0, 1.0, -7.0):
        assert 0 <= code_length(np.full(shape, fill)) < 40 * np.prod(shape)


def test_prepared_model_computes_with_the_rounded_weights_and_finalize_bakes_them_in():
    model = make_model()
    x, _ = make_data()
    before = model.get_weights()
    prepared = rate.prepare(model, rate.RateConfig(initial_step_size=0.7))
    plain = rate.finalize(prepared)
    np.testing.assert_array_equal(prepared.predict(x, verbose=0), plain.predict(x, verbose=0))
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    kernel = plain.get_layer("hidden").kernel.numpy()
    assert np.unique(kernel).size < 12
    assert not np.signbit(kernel[kernel == 0]).any()
    step = np.min(np.abs(kernel[kernel != 0]))
    np.testing.assert_array_equal(kernel, np.round(kernel / step) * step)
    assert np.frexp(step)[0] * 2**4 % 1 == 0  # four binary digits
    assert {type(layer).__name__ for layer in plain.layers} == {"Conv2D", "Flatten", "Dense"}


@pytest.mark.parametrize(
    "multiples", [[5], [0, 7, -9, 12], [-6, 9, 16, 22, 31, 40], list(range(11, 75))]
)
def test_the_grid_of_few_values_is_found_again(multiples):
    # As biases are: hardly two alike, and none near zero.
    values = np.array(multiples, "float32") * np.float32(0.0390625)
    step = initial_step_size(values, 0.5)
    np.testing.assert_array_equal(np.round(values / np.float32(step)) * np.float32(step), values)


def test_values_on_no_grid_begin_with_a_share_of_their_deviation():
    values = np.random.default_rng(0).normal(size=64).astype("float32")
    deviation = np.sqrt(np.mean(np.square(values)))
    for size in (64, 6):
        assert initial_step_size(values[:size], 0.5) == pytest.approx(
            0.5 * np.sqrt(np.mean(np.square(values[:size])))
        )
    assert initial_step_size(values, 2.0) == pytest.approx(2 * deviation)
    assert initial_step_size(np.zeros(4, "float32"), 0.5) == pytest.approx(0.05)


def test_a_finalized_model_prepared_again_keeps_its_grid():
    config = rate.RateConfig(1e-3, initial_step_size=0.7, step_digits=6)
    trained = rate.prepare(make_model(), config)
    train(trained, config, 2)
    plain = rate.finalize(trained)
    again = rate.prepare(plain, rate.RateConfig(step_digits=6, initial_step_size=0.2))
    for old, new in zip(plain.get_weights(), rate.finalize(again).get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    hidden = again.get_layer("hidden")
    kernel = plain.get_layer("hidden").kernel.numpy()
    magnitudes = np.unique(np.abs(kernel[kernel != 0]))
    step = float(keras.ops.convert_to_numpy(hidden.step_sizes()[0]))
    assert magnitudes[0] == pytest.approx(step, rel=1e-6)


def test_a_higher_price_leaves_fewer_bits_and_a_free_one_leaves_the_accuracy():
    sizes = {}
    for price in (0.0, 3e-4, 3e-3):
        config = rate.RateConfig(price, ramp_steps=12)
        model = rate.prepare(make_model(), config)
        history = train(model, config, 12).history
        sizes[price] = history["rate_bytes"][-1]
    assert sizes[3e-3] < 0.5 * sizes[3e-4] < 0.5 * sizes[0.0]
    assert rate.report(rate.finalize(model)).sparsity > 0.5


@pytest.mark.parametrize("price", [1e-3, 1e-2])
def test_the_price_is_moved_until_the_target_is_met(price):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(512, 32)).astype("float32")
    kernel = generator.normal(size=(32, 16)).astype("float32")
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((32,)), keras.layers.Dense(16)])
    model.set_weights([kernel, np.zeros(16, "float32")])
    model.compile(keras.optimizers.Adam(1e-2), "mse")
    config = rate.RateConfig(price, ramp_steps=32, target_bytes=150)
    callbacks = [rate.RateCallback(config)]
    model = rate.prepare(model, config)
    history = model.fit(x, x @ kernel, epochs=70, verbose=0, callbacks=callbacks).history
    assert history["rate_weight"][0] <= price
    assert np.mean(history["rate_bytes"][-10:]) == pytest.approx(150, rel=0.08)


def test_the_price_stays_within_a_thousandth_and_a_thousand_times():
    config = rate.RateConfig(1e-3, target_bytes=100)
    assert config.corrected(1e-3, 100) == 1e-3
    assert config.corrected(1e-3, 110) == pytest.approx(1e-3 * 1.1**0.4)
    assert config.corrected(1e-3, 110, 110) == pytest.approx(1e-3 * 1.1**0.4)
    # Above the target, but already on the way down.
    assert config.corrected(1e-3, 110, 112) == pytest.approx(1e-3 * 1.1**0.4 * (110 / 112) ** 1.5)
    assert config.corrected(1e-3, 1e9) == pytest.approx(1.25e-3)
    assert config.corrected(1.0, 1e9) == 1.0
    assert config.corrected(1e-6, 0) == 1e-6


def test_layers_are_priced_and_rounded_in_float32_under_mixed_precision():
    config = rate.RateConfig(1e-3, ramp_steps=6)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = rate.prepare(make_model(), config)
        train(model, config, 2)
    finally:
        keras.config.set_dtype_policy("float32")
    assert keras.backend.standardize_dtype(model.get_layer("hidden")(np.ones((1, 144))).dtype) == (
        "bfloat16"
    )
    small = rate.finalize(model)
    step = float(keras.ops.convert_to_numpy(model.get_layer("hidden").step_sizes()[0]))
    multiples = small.get_layer("hidden").get_weights()[0] / step
    # Far closer than the 0.004 of a bfloat16.
    np.testing.assert_allclose(multiples, np.round(multiples), atol=1e-5)


@pytest.mark.parametrize("settings", [{"ramp_steps": 20}, {"ramp_steps": 6, "target_bytes": 400}])
def test_training_resumes_exactly_from_a_file(tmp_path, settings):
    config = rate.RateConfig(1e-3, **settings)
    whole = rate.prepare(make_model(), config)
    train(whole, config, 4)
    first = rate.prepare(make_model(), config)
    train(first, config, 2)
    first.save(tmp_path / "half.keras")
    second = keras.models.load_model(tmp_path / "half.keras")
    train(second, config, 4, initial_epoch=2)
    for a, b in zip(whole.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_gradients_reach_weights_and_step_sizes():
    model = rate.prepare(make_model(), rate.RateConfig())
    x, y = make_data(16)
    before = [v.numpy().copy() for v in model.trainable_variables]
    model.train_on_batch(x, y)
    names = [
        variable.path
        for old, variable in zip(before, model.trainable_variables, strict=True)
        if np.array_equal(old, variable.numpy())
    ]
    assert not [n for n in names if "kernel" in n]


def test_price_is_a_pure_function_of_the_step():
    config = rate.RateConfig(2.0, begin_step=10, ramp_steps=4)
    assert [config.strength(s) for s in (0, 9, 10, 11, 14, 99)] == [0, 0, 0, 0.5, 2.0, 2.0]
    assert rate.RateConfig(2.0).strength(0) == 2.0


def test_wrong_settings_and_models_are_refused():
    for settings in (
        {"rate_weight": -1.0},
        {"rate_weight": float("nan")},
        {"ramp_steps": -1},
        {"initial_step_size": 0.0},
        {"step_digits": 25},
        {"target_bytes": 0},
        {"target_bytes": 2.5},
        {"target_bytes": True},
        {"rate_weight": 0.0, "target_bytes": 100},
    ):
        with pytest.raises(KerasCompressError, match=next(iter(settings))):
            rate.RateConfig(**settings)
    model = make_model()
    with pytest.raises(KerasCompressError, match="prepare"):
        train(model, rate.RateConfig(), 1)
    prepared = rate.prepare(model)
    with pytest.raises(KerasCompressError, match="once"):
        rate.prepare(prepared)
    model.get_layer("hidden").kernel.assign(np.full((144, 16), np.nan))
    with pytest.raises(KerasCompressError, match="finite"):
        rate.prepare(model)


def test_biases_are_left_alone_if_asked():
    model = make_model()
    model.get_layer("hidden").bias.assign(np.linspace(-1, 1, 16))
    config = rate.RateConfig(biases=False)
    plain = rate.finalize(rate.prepare(model, config))
    np.testing.assert_array_equal(plain.get_layer("hidden").bias, np.linspace(-1, 1, 16, dtype="f"))
    rows = {(r.layer, r.weight): r.action for r in rate.report(plain, config)}
    assert rows["hidden", "bias"] == "left alone" and rows["hidden", "kernel"] == "rounded"
    reasons = {(r.layer, r.weight): r.reason for r in rate.report(plain)}
    assert reasons["hidden", "bias"] == "every value is another"
