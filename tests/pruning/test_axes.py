"""Each pattern with each criterion and schedule, in training, in wrappers and without."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest

from keras_compress import pruning
from keras_compress.errors import KerasCompressError
from keras_compress.pruning import (
    Blocks,
    ConstantSparsity,
    Filters,
    Magnitude,
    NofM,
    OneShot,
    PolynomialDecay,
    Pruner,
    PruningCallback,
    PruningConfig,
    Random,
    StaircaseSparsity,
    Taylor,
    Unstructured,
)
from keras_compress.pruning.criteria import get_criterion
from tests.training import (
    BUILDERS,
    arrays,
    compiled,
    data,
    dense,
    fit,
    fit_dense,
    kernels_of,
    not_torch,
    sequential,
    tensorflow_only,
    vectors,
)

PATTERNS = [Unstructured(), Blocks((1, 4)), NofM(2, 4), Filters()]
CRITERIA = [Magnitude(), Taylor(), Random(1)]
# Four steps an epoch, three epochs.
SCHEDULES = [
    ConstantSparsity(0.5),
    PolynomialDecay(0.0, 0.5, 0, 8),
    StaircaseSparsity([0.25, 0.5], 4),
]


def holds(pattern, kernel):
    """Whether the zeros of a dense `kernel` of sizes divisible by 4 have the pattern."""
    kept = kernel != 0
    if isinstance(pattern, Blocks):
        groups = kept.reshape(-1, 4)
        return bool((groups.all(1) | ~groups.any(1)).all())
    if isinstance(pattern, NofM):
        return bool((kept.T.reshape(-1, 4).sum(1) <= 2).all())
    if isinstance(pattern, Filters):
        return bool((kept.all(0) | ~kept.any(0)).all())
    return True


@pytest.mark.backend_independent
@pytest.mark.parametrize(
    ("pattern", "criterion", "schedule", "wrapped"),
    [
        (pattern, criterion, SCHEDULES[(i + j) % 3], (i + j) % 2 == 1)
        for (i, pattern), (j, criterion) in itertools.product(
            enumerate(PATTERNS), enumerate(CRITERIA)
        )
    ],
    ids=lambda each: str(each) if isinstance(each, bool) else type(each).__name__,
)
def test_patterns_criteria_and_schedules_go_with_each_other(pattern, criterion, schedule, wrapped):
    config = PruningConfig(schedule, pattern, criterion, layers="hidden", frequency=2)
    # Not compiled by XLA, which takes longer than the training.
    model = dense(jit_compile=False)
    if wrapped:
        model = pruning.prepare(model, config)
    fit_dense(model, callbacks=[PruningCallback(config)])
    kernel = np.array(pruning.finalize(model).get_layer("hidden").kernel)
    assert np.mean(kernel == 0) == 0.5
    assert holds(pattern, kernel)


@pytest.mark.parametrize(
    ("criterion", "optimizer"), [(Taylor(), "adam"), (Taylor(), "sgd"), (Random(), "sgd")]
)
def test_wrapper_and_callback_train_to_the_same_numbers(criterion, optimizer):
    config = PruningConfig(PolynomialDecay(0.0, 0.75, 2, 10), criterion=criterion, frequency=3)
    touched = compiled(optimizer=optimizer, jit_compile=False)
    wrapped = pruning.prepare(touched, config)
    fit(touched, callbacks=[PruningCallback(config)])
    fit(wrapped, callbacks=[PruningCallback(config)])
    one, other = pruning.finalize(touched), pruning.finalize(wrapped)
    for a, b in zip(one.weights, other.weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5, err_msg=a.path)


def test_taylor_keeps_what_the_loss_depends_on_and_magnitude_what_is_large():
    """The larger weights read inputs that are zero: they are worth nothing."""
    kept = {}
    for name in ("taylor", "magnitude"):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(2, name="only")])
        kernel = np.random.default_rng(0).uniform(0.1, 0.2, (8, 2)).astype("float32")
        kernel[4:] *= 10
        model.get_layer("only").kernel.assign(kernel)
        model.compile(keras.optimizers.SGD(1e-3), "mse")
        x, _ = vectors()
        x[:, 4:] = 0
        model.fit(
            x, x[:, :2], verbose=0, callbacks=[PruningCallback(PruningConfig(0.5, criterion=name))]
        )
        kept[name] = np.array(model.get_layer("only").kernel) != 0
    assert kept["taylor"][:4].all() and not kept["taylor"][4:].any()
    assert kept["magnitude"][4:].all() and not kept["magnitude"][:4].any()


def test_taylor_sums_the_squares_of_weight_times_gradient():
    model = dense(keras.optimizers.SGD(0.0))
    x, y = vectors()
    config = PruningConfig(PolynomialDecay(0.0, 0.5, 0, 4), criterion="taylor", layers="logits")
    callback = PruningCallback(config)
    history = []

    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch < 3:
                _ = self.model
                history.append(callback.pruner._gradients[0].sums().copy())

    model.fit(x, y, batch_size=16, shuffle=False, verbose=0, callbacks=[Look(), callback])
    weight = np.array(keras.ops.convert_to_numpy(dense().get_layer("logits").kernel))
    hidden_of = keras.Model(model.inputs, model.get_layer("hidden").output)
    expected = np.zeros_like(weight)
    for step, found in enumerate(history):
        part = slice(16 * step, 16 * step + 16)
        hidden = hidden_of.predict(x[part], verbose=0)
        logits = hidden @ weight
        p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        expected += np.square(weight * (hidden.T @ (p - np.eye(2)[y[part]]) / 16))
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize("wrapped", [False, True], ids=["callback", "wrapper"])
def test_taylor_goes_on_exactly_from_where_masks_were_made(wrapped, tmp_path):
    config = PruningConfig(PolynomialDecay(0.0, 0.75, 0, 8), criterion="taylor", frequency=2)

    def start():
        model = dense(keras.optimizers.Adam(0.01), jit_compile=False)
        return pruning.prepare(model, config) if wrapped else model

    unbroken, broken = start(), start()
    fit_dense(unbroken, 3, [PruningCallback(config)])
    # Four steps an epoch: masks are made at its end.
    fit_dense(broken, 1, [PruningCallback(config)])
    broken.save(tmp_path / "half.keras")
    resumed = keras.models.load_model(tmp_path / "half.keras")
    fit_dense(resumed, 3, [PruningCallback(config)], initial_epoch=1)
    for a, b in zip(unbroken.weights, resumed.weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7, err_msg=a.path)


def test_between_two_masks_the_zeros_hold_until_there_are_gradients(tmp_path):
    config = PruningConfig(PolynomialDecay(0.0, 0.75, 0, 20), criterion="taylor", frequency=5)
    model = compiled(jit_compile=False)
    fit(model, epochs=2, callbacks=[PruningCallback(config)])
    model.save(tmp_path / "half.keras")
    before = kernels_of(model)
    again = keras.models.load_model(tmp_path / "half.keras")
    callback = PruningCallback(config)
    fit(again, epochs=3, initial_epoch=2, callbacks=[callback])
    for old, new in zip(before, kernels_of(again), strict=True):
        assert (new[old == 0] == 0).all()
        assert np.mean(new == 0) > np.mean(old == 0)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_gradients_of_a_scaled_loss_count_unscaled(policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = compiled()
        config = PruningConfig(PolynomialDecay(0.0, 0.5, 0, 12), criterion="taylor", frequency=4)
        callback = PruningCallback(config)
        fit(model, callbacks=[callback])
        assert np.isfinite(callback.pruner._gradients[0].sums()).all()
        fit(model, callbacks=[])
    finally:
        keras.config.set_dtype_policy("float32")
    sums = [each.sums() for each in callback.pruner._gradients]
    assert all(0 < each.max() < 1 for each in sums)
    assert pruning.report(model).sparsity == pytest.approx(0.5, abs=0.02)


@not_torch
def test_taylor_under_jit_and_several_steps_an_execution():
    plain = compiled(jit_compile=False)
    fused = compiled(steps_per_execution=3, jit_compile=True)
    # With three steps an execution the first gradients come three steps later.
    config = PruningConfig(PolynomialDecay(0.2, 0.75, 3, 9), criterion="taylor", frequency=3)
    fit(plain, callbacks=[PruningCallback(config)])
    fit(fused, callbacks=[PruningCallback(config)])
    for a, b in zip(plain.weights, fused.weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4, err_msg=a.path)


@pytest.mark.parametrize("wrapped", [False, True], ids=["callback", "wrapper"])
def test_taylor_over_two_replicas(wrapped, two_replicas):
    config = PruningConfig(OneShot(0.5, 3), criterion="taylor")
    with two_replicas.scope():
        model = compiled(optimizer=keras.optimizers.SGD(0.05))
        if wrapped:
            model = pruning.prepare(model, config)
    fit(model, callbacks=[PruningCallback(config)])
    rows = {f"{r.layer}/{r.weight}": r for r in pruning.report(model)}
    assert rows["hidden/kernel"].sparsity == pytest.approx(0.5, abs=0.01)


@tensorflow_only
@pytest.mark.parametrize("wrapped", [False, True], ids=["callback", "wrapper"])
def test_taylor_in_a_loop_of_ones_own(wrapped):
    import tensorflow as tf

    config = PruningConfig(0.5, criterion="taylor")
    model = compiled(jit_compile=False)
    if wrapped:
        model = pruning.prepare(model, config)
        with pytest.raises(KerasCompressError, match="optimizer=None"):
            Pruner(model, config)
    pruner = Pruner(model, config, optimizer=keras.optimizers.SGD(0.1))
    x, y = data()
    assert not pruner.update(0) and pruner.is_due(0)
    with tf.GradientTape() as tape:
        loss = model.loss(y[:16], model(x[:16], training=True))
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    pruner.optimizer.apply(gradients, model.trainable_variables)
    assert pruner.update(1) and not pruner.is_due(1)
    assert pruner.sparsity() == pytest.approx(0.5, abs=0.01)


@pytest.mark.backend_independent
@pytest.mark.parametrize("kind", ["functional", "subclassed"])
def test_whole_filters_are_zero_after_training(kind):
    model = compiled(BUILDERS[kind], jit_compile=False)
    fit(model, epochs=1, callbacks=[PruningCallback(PruningConfig(0.5, "filters"))])
    row = next(row for row in pruning.report(model) if row.layer.endswith("conv"))
    assert row.sparsity == pytest.approx(0.5)


@pytest.mark.backend_independent
def test_globally_filters_of_the_strong_layer_are_spared():
    model = compiled(jit_compile=False)
    conv, hidden = model.get_layer("conv"), model.get_layer("hidden")
    conv.kernel.assign(np.array(conv.kernel) * 100)
    hidden.kernel.assign(np.array(hidden.kernel) * 1e-6)
    config = PruningConfig(0.7, "filters", scope="global", layers=["conv", "hidden"])
    fit(model, epochs=1, callbacks=[PruningCallback(config)])
    assert not (np.array(conv.kernel) == 0).any() and (np.array(hidden.kernel) != 0).any()


@pytest.mark.backend_independent
def test_what_a_pattern_leaves_alone_is_reported_with_the_reason():
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((5,)),
            layers.Embedding(9, 4, name="words"),
            layers.Flatten(),
            layers.Dense(4, name="logits"),
        ]
    )
    model.compile("sgd", "mse")
    config = PruningConfig(0.5, pattern="filters")
    model.fit(np.ones((8, 5)), np.ones((8, 4)), verbose=0, callbacks=[PruningCallback(config)])
    rows = {row.layer: row for row in pruning.report(model, config) if row.weight != "bias"}
    assert rows["logits"].sparsity == 0.5
    assert "no filters" in rows["words"].reason and rows["words"].zeros == 0
    with pytest.raises(KerasCompressError, match="words/embeddings"):
        Pruner(model, PruningConfig(0.5, "filters", layers="words"), optimizer=model.optimizer)
    alone = keras.Sequential([keras.Input((5,)), layers.Embedding(9, 4, name="words")])
    with pytest.raises(KerasCompressError, match="no filters"):
        pruning.prepare(alone, config)


def chosen(layer):
    return getattr(layer, "units", 0) == 16


@keras.saving.register_keras_serializable(package="keras_compress_tests")
def registered(layer):
    return getattr(layer, "units", 0) == 16


@pytest.mark.backend_independent
def test_a_config_serializes_with_all_that_it_holds():
    config = PruningConfig(
        PolynomialDecay(0.0, 0.5, 0, 10),
        Blocks((2, 2), "max"),
        Random(3),
        scope="global",
        layers=["conv*", keras.layers.Dense, registered],
        frequency=7,
    )
    record = keras.saving.serialize_keras_object(config)
    again = keras.saving.deserialize_keras_object(record)
    assert again == config
    assert again.select(sequential()).chosen[0].path == "conv"
    with pytest.raises(KerasCompressError, match="register_keras_serializable"):
        PruningConfig(layers=chosen).get_config()


@pytest.mark.backend_independent
def test_criteria_serialize_and_have_names():
    for criterion in CRITERIA:
        record = keras.saving.serialize_keras_object(criterion)
        assert keras.saving.deserialize_keras_object(record) == criterion
        assert get_criterion(type(criterion).__name__.lower()) == type(criterion)()
    for bad in ("movement", 3, Magnitude):
        with pytest.raises(KerasCompressError, match="Received"):
            get_criterion(bad)
    with pytest.raises(KerasCompressError, match="seed"):
        Random(-1)


def test_random_scores_follow_from_seed_and_place():
    values = np.array([[1.0, 0.0], [2.0, 3.0]])
    one = Random(1).scores(values)
    np.testing.assert_array_equal(one, Random(1).scores(100 * values))
    assert not np.array_equal(one, Random(1).scores(values, place=1))
    assert not np.array_equal(one, Random(2).scores(values))
    assert one[0, 1] == 0 and (one[values != 0] > 0).all()


@pytest.mark.backend_independent
def test_no_trace_of_gradients_is_left_in_a_file(tmp_path):
    model = compiled(jit_compile=False)
    config = PruningConfig(0.5, criterion="taylor")
    fit(model, epochs=1, callbacks=[PruningCallback(config)])
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert type(loaded.optimizer).__name__ == "Adam"
    small = pruning.finalize(model)
    assert type(small.optimizer).__name__ == "Adam"
    for one, other in zip(arrays(loaded).values(), arrays(small).values(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_configuration_holds_schedules_whatever_it_was_given():
    assert isinstance(PruningConfig(0.6).schedule, pruning.PruningSchedule)
    assert isinstance(PruningConfig(pattern=NofM(2, 4)).schedule, pruning.PruningSchedule)
