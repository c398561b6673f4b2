"""Pruning by callback and by wrapper, on every kind of model and way of training."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_compress import KerasCompressError, pruning
from keras_compress.pruning import (
    ConstantSparsity,
    OneShot,
    PolynomialDecay,
    Pruned,
    Pruner,
    PruningCallback,
    PruningConfig,
)
from tests.training import (
    BUILDERS,
    arrays,
    compiled,
    data,
    dense,
    fit,
    fit_dense,
    mixed_precision,
    not_torch,
    outputs,
    sequential,
    subclassed,
    tensorflow_only,
)

GRADUAL = PruningConfig(PolynomialDecay(0.2, 0.75, begin_step=2, end_step=10), frequency=3)
KERNELS = ("kernel", "depthwise_kernel", "pointwise_kernel")


def sparsities(model) -> dict[str, float]:
    rows = pruning.report(model)
    return {f"{r.layer}/{r.weight}": r.sparsity for r in rows if r.weight in KERNELS}


@pytest.mark.parametrize("kind", BUILDERS)
def test_callback_prunes_an_untouched_model_of_any_kind(kind):
    model = compiled(BUILDERS[kind], built=False)
    history = fit(model, callbacks=[PruningCallback(GRADUAL)])
    for variable in model.trainable_variables:
        values = keras.ops.convert_to_numpy(variable)
        if variable.name in KERNELS:
            assert np.mean(values == 0) == pytest.approx(0.75, abs=0.5 / values.size)
    assert history.history["sparsity"][-1] == pytest.approx(0.75, abs=0.02)
    small = pruning.finalize(model)
    assert type(small) is type(model)
    assert not isinstance(small.optimizer, type(model.optimizer)) or small is model
    x, _ = data(8)
    np.testing.assert_allclose(outputs(small, x), outputs(model, x), atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "optimizer"),
    [("sequential", "adam"), ("functional", "sgd"), ("nested", "adam")],
)
def test_callback_and_wrapper_train_to_the_same_numbers(kind, optimizer):
    touched = compiled(BUILDERS[kind], optimizer=optimizer)
    wrapped = pruning.prepare(touched, GRADUAL)
    fit(touched, callbacks=[PruningCallback(GRADUAL)])
    fit(wrapped, callbacks=[PruningCallback(GRADUAL)])
    one, other = pruning.finalize(touched), pruning.finalize(wrapped)
    for a, b in zip(one.weights, other.weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5, err_msg=a.path)
        assert np.array_equal(a == 0, b == 0)


@pytest.mark.backend_independent
def test_prepare_copies_and_computes_the_same_at_first():
    model = compiled()
    before = arrays(model)
    wrapped = pruning.prepare(model, GRADUAL)
    x, _ = data(8)
    np.testing.assert_allclose(outputs(wrapped, x), outputs(model, x), atol=1e-6)
    fit(wrapped, callbacks=[PruningCallback(GRADUAL)])
    for key, value in arrays(model).items():
        np.testing.assert_array_equal(value, before[key])
    assert isinstance(wrapped.get_layer("hidden"), Pruned)
    stock = pruning.finalize(wrapped)
    assert all(type(layer).__module__.startswith("keras.") for layer in stock.layers)


@pytest.mark.backend_independent
def test_biases_and_normalization_are_left_alone_and_reported():
    model = compiled()
    fit(model, epochs=1, callbacks=[PruningCallback(OneShot(0.5))])
    rows = {(r.layer, r.weight): r for r in pruning.report(model)}
    assert rows["hidden", "kernel"].action == "pruned"
    assert rows["hidden", "bias"].reason == "bias"
    assert rows["norm", "gamma"].reason == "normalization parameter"
    assert rows["norm", "moving_mean"].action == "left alone"
    assert "hidden" in str(pruning.report(model))
    assert pruning.report(model).to_dict()["weights"][0]["layer"] == "conv"


@pytest.mark.backend_independent
@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ("hidden", {"hidden/kernel"}),
        (["conv", "log*"], {"conv/kernel", "logits/kernel"}),
        (keras.layers.Dense, {"hidden/kernel", "logits/kernel"}),
        (lambda layer: getattr(layer, "units", 0) == 16, {"hidden/kernel"}),
    ],
    ids=["name", "names", "class", "predicate"],
)
def test_choice_of_layers(layers, expected):
    model = compiled()
    fit(model, epochs=1, callbacks=[PruningCallback(PruningConfig(0.5, layers=layers))])
    assert {name for name, s in sparsities(model).items() if s > 0.4} == expected


@pytest.mark.backend_independent
def test_a_nested_models_name_selects_all_within():
    model = compiled(BUILDERS["nested"])
    fit(model, epochs=1, callbacks=[PruningCallback(PruningConfig(0.5, layers="body"))])
    assert {n for n, s in sparsities(model).items() if s > 0.4} == {"body/conv/kernel"}


def test_global_scope_holds_the_share_over_all_layers():
    model = compiled()
    fit(model, callbacks=[PruningCallback(PruningConfig(0.6, scope="global"))])
    kernels = [np.asarray(v) for v in model.trainable_variables if v.name == "kernel"]
    size = sum(k.size for k in kernels)
    assert sum((k == 0).sum() for k in kernels) == round(0.6 * size)
    assert len({round(float((k == 0).mean()), 2) for k in kernels}) > 1


@pytest.mark.backend_independent
def test_two_callbacks_prune_different_layers_differently():
    model = compiled()
    callbacks = [
        PruningCallback(PruningConfig(0.5, layers="conv")),
        PruningCallback(PruningConfig(0.9, layers=["hidden", "logits"])),
    ]
    fit(model, callbacks=callbacks)
    found = sparsities(model)
    assert found["conv/kernel"] == pytest.approx(0.5, abs=0.02)
    assert found["hidden/kernel"] == pytest.approx(0.9, abs=0.01)


@pytest.mark.backend_independent
def test_any_callable_of_the_step_is_a_schedule():
    model = compiled()
    seen = []

    def schedule(step):
        seen.append(step)
        return min(0.8, step / 10)

    fit(model, callbacks=[PruningCallback(PruningConfig(schedule, frequency=4))])
    assert seen == [0, 4, 8, 12]
    assert sparsities(model)["hidden/kernel"] == pytest.approx(0.8, abs=0.01)


def test_masks_stay_in_force_without_the_callback():
    model = compiled()
    fit(model, epochs=1, callbacks=[PruningCallback(OneShot(0.75))])
    zeros = {n: s for n, s in sparsities(model).items()}
    fit(model, epochs=2)
    assert sparsities(model) == zeros


@pytest.mark.parametrize("api", ["callback", "wrapper"])
def test_saved_loaded_and_trained_on_gives_the_same_numbers(api, tmp_path):
    def start():
        model = compiled(optimizer=keras.optimizers.Adam(0.01))
        return pruning.prepare(model, GRADUAL) if api == "wrapper" else model

    unbroken = start()
    fit(unbroken, epochs=4, callbacks=[PruningCallback(GRADUAL)])

    broken = start()
    # Six steps an epoch: the break falls between two makings of the masks.
    fit(broken, epochs=1, callbacks=[PruningCallback(GRADUAL)])
    broken.save(tmp_path / "half.keras")
    resumed = keras.models.load_model(tmp_path / "half.keras")
    fit(resumed, epochs=4, initial_epoch=1, callbacks=[PruningCallback(GRADUAL)])
    for a, b in zip(unbroken.weights, resumed.weights, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=a.path)


def test_model_saved_while_pruned_by_callback_is_a_stock_keras_file(tmp_path):
    model = compiled()
    fit(model, callbacks=[PruningCallback(GRADUAL)])
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert type(loaded.optimizer).__name__ == "Adam"
    assert int(loaded.optimizer.iterations) == 12


@not_torch
def test_steps_per_execution_and_jit_hold_the_zeros_at_every_step():
    plain = compiled(jit_compile=False)
    fused = compiled(steps_per_execution=3, jit_compile=True)
    config = PruningConfig(PolynomialDecay(0.2, 0.75, begin_step=0, end_step=9), frequency=3)
    fit(plain, callbacks=[PruningCallback(config)])
    fit(fused, callbacks=[PruningCallback(config)])
    for a, b in zip(plain.weights, fused.weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4, err_msg=a.path)


@mixed_precision
def test_mixed_precision(policy, api):
    keras.config.set_dtype_policy(policy)
    try:
        model = compiled()
        if api == "wrapper":
            model = pruning.prepare(model, GRADUAL)
        fit(model, callbacks=[PruningCallback(GRADUAL)])
        small = pruning.finalize(model)
    finally:
        keras.config.set_dtype_policy("float32")
    kernel = small.get_layer("hidden").kernel
    assert str(kernel.dtype) == "float32"
    assert np.mean(np.asarray(kernel) == 0) == pytest.approx(0.75, abs=0.01)


@tensorflow_only
@pytest.mark.parametrize("api", ["callback", "wrapper"])
def test_custom_training_loop(api):
    import tensorflow as tf

    reference = compiled(optimizer=keras.optimizers.SGD(0.1, momentum=0.9), jit_compile=False)
    model = compiled(optimizer=keras.optimizers.SGD(0.1, momentum=0.9))
    if api == "wrapper":
        model = pruning.prepare(model, GRADUAL)
    fit(reference, callbacks=[PruningCallback(GRADUAL)])

    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    pruner = Pruner(model, GRADUAL, optimizer=optimizer)
    x, y = data()
    step = 0
    for _ in range(2):
        for start in range(0, len(x), 16):
            pruner.update(step)
            with tf.GradientTape() as tape:
                logits = model(x[start : start + 16], training=True)
                loss = model.loss(y[start : start + 16], logits)
            gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
            pruner.optimizer.apply(gradients, model.trainable_variables)
            step += 1
    pruner.update(step)
    small = pruning.finalize(model)
    for a, b in zip(reference.weights, small.weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5, err_msg=a.path)


@pytest.mark.parametrize("api", ["callback", "wrapper"])
def test_mirrored_strategy_over_two_devices(api, two_replicas):
    strategy = two_replicas
    with strategy.scope():
        model = compiled(optimizer=keras.optimizers.SGD(0.05))
        if api == "wrapper":
            model = pruning.prepare(model, GRADUAL)
    fit(model, callbacks=[PruningCallback(GRADUAL)])
    found = {f"{r.layer}/{r.weight}": r for r in pruning.report(model)}
    assert found["hidden/kernel"].sparsity == pytest.approx(0.75, abs=0.01)
    if api == "callback":
        local = strategy.experimental_local_results(model.get_layer("hidden").kernel.value)
        np.testing.assert_array_equal(*[np.asarray(v) for v in local])


@pytest.mark.backend_independent
def test_recurrent_attention_and_embedding_kernels_are_pruned():
    inputs = keras.Input((3,), dtype="int32")
    x = keras.layers.Embedding(20, 8, name="words")(inputs)
    x = keras.layers.Bidirectional(keras.layers.LSTM(6, return_sequences=True), name="both")(x)
    x = keras.layers.EinsumDense("abc,cd->abd", output_shape=(None, 12), name="einsum")(x)
    x = keras.layers.TimeDistributed(keras.layers.Dense(6), name="each")(x)
    x = keras.layers.GlobalAveragePooling1D()(x)
    model = keras.Model(inputs, keras.layers.Dense(2, name="logits")(x))
    model.compile("adam", "mse")
    wrapped = pruning.prepare(model, PruningConfig(0.5))
    tokens = np.random.default_rng(0).integers(0, 20, (16, 3))
    np.testing.assert_allclose(outputs(wrapped, tokens), outputs(model, tokens), atol=1e-6)
    for each in (model, wrapped):
        each.fit(tokens, np.zeros((16, 2)), verbose=0, callbacks=[PruningCallback(0.5)])
        rows = [r for r in pruning.report(pruning.finalize(each)) if r.action == "pruned"]
        names = {r.weight for r in rows}
        assert names == {"embeddings", "kernel", "recurrent_kernel"}
        assert all(r.sparsity == pytest.approx(0.5, abs=0.02) for r in rows)


@pytest.mark.backend_independent
def test_weights_that_are_left_alone_say_why():
    model = compiled()
    model.get_layer("conv").trainable = False
    model.compile("adam", "mse")
    wrapped = pruning.prepare(model, PruningConfig(0.5))
    rows = {(r.layer, r.weight): r for r in pruning.report(wrapped)}
    assert rows["conv", "kernel"].reason == "not trainable"


@pytest.mark.backend_independent
@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda: pruning.prepare(keras.Sequential([keras.layers.Dense(3)])), "must be built"),
        (lambda: pruning.prepare("a model"), "keras.Model"),
        (lambda: pruning.prepare(sequential(), PruningConfig(layers="nope")), "matches none"),
        (lambda: pruning.prepare(subclassed()), "subclassed"),
        (lambda: pruning.prepare(pruning.prepare(sequential())), "prepared once"),
        (lambda: Pruned(Pruned(keras.layers.Dense(3))), "wrapped once"),
        (lambda: Pruned(keras.layers.ReLU())(np.zeros((1, 3))), "with a kernel"),
        (lambda: Pruner(sequential(), PruningConfig()), "optimizer"),
        (lambda: pruning.prepare(sequential(), PruningConfig(layers=3)), "predicates"),
        (lambda: fit(compiled(), callbacks=[PruningCallback(lambda step: 1.5)]), r"\[0, 1\)"),
    ],
    ids=[
        "unbuilt",
        "no-model",
        "no-layer",
        "subclassed",
        "twice",
        "double-wrap",
        "no-kernel",
        "no-optimizer",
        "bad-selector",
        "bad-callable",
    ],
)
def test_bad_input_is_refused_with_the_rule(act, words):
    with pytest.raises(KerasCompressError, match=words):
        act()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused_by_name(value):
    model = compiled()
    kernel = np.array(model.get_layer("hidden").kernel)
    kernel[0, 0] = value
    model.get_layer("hidden").kernel.assign(kernel)
    with pytest.raises(KerasCompressError, match="hidden/kernel"):
        pruning.prepare(model, GRADUAL)
    with pytest.raises(KerasCompressError, match="hidden/kernel"):
        fit(model, callbacks=[PruningCallback(ConstantSparsity(0.5))])


def test_raw_values_under_a_mask_count_for_nothing():
    wrapped = pruning.prepare(dense())
    pruner = Pruner(wrapped, PruningConfig(OneShot(0.5)))
    pruner.update(0)
    layer = wrapped.get_layer("hidden")
    mask = keras.ops.convert_to_numpy(layer.masks[0])
    raw = np.array(keras.ops.convert_to_numpy(layer.layer.kernel))
    # What momentum or weight decay may do to a raw kernel.
    layer.layer.kernel.assign(np.where(mask, raw, 100.0))
    assert pruner.sparsity() == pytest.approx(0.5)
    assert pruning.report(wrapped).sparsity == pytest.approx(0.5)
    again = Pruner(wrapped, PruningConfig(OneShot(0.5)))
    again.update(0)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(layer.masks[0]), mask)
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(layer.layer.kernel), np.where(mask, raw, 0.0)
    )


def test_the_wrapped_optimizer_scales_the_loss():
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1), initial_scale=32.0)
    plain = dense(keras.optimizers.SGD(0.1))
    scaled = dense(optimizer)
    for model in (plain, scaled):
        fit_dense(model, 1, [PruningCallback(OneShot(0.5))])
    assert float(scaled.optimizer.scale_loss(1.0)) == 32.0
    for one, other in zip(plain.weights, scaled.weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
