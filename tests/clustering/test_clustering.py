"""Clustering by callback and by wrapper, on every kind of model and way of training."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_compress import KerasCompressError, clustering, pruning
from keras_compress.clustering import (
    Clustered,
    Clusterer,
    ClusteringCallback,
    ClusteringConfig,
    make_codebook,
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

SIX = ClusteringConfig(n_clusters=6)
KERNELS = ("kernel", "depthwise_kernel", "pointwise_kernel")


def kernels(model) -> dict[str, np.ndarray]:
    return {
        f"{i}:{v.path}": np.asarray(v) for i, v in enumerate(model.weights) if v.name in KERNELS
    }


@pytest.mark.parametrize("kind", BUILDERS)
def test_callback_clusters_an_untouched_model_of_any_kind(kind):
    model = compiled(BUILDERS[kind], built=False)
    before = kernels(model)
    fit(model, callbacks=[ClusteringCallback(SIX)])
    after = kernels(model)
    for name, values in after.items():
        assert np.unique(values).size <= 6, name
        start = make_codebook(before[name], 6).values()
        assert not np.array_equal(start, values), "the centroids were not trained"
    small = clustering.finalize(model)
    assert type(small) is type(model)
    x, _ = data(8)
    np.testing.assert_allclose(outputs(small, x), outputs(model, x), atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "optimizer", "aggregation"),
    [
        ("sequential", "adam", "sum"),
        ("sequential", "rmsprop", "mean"),
        ("functional", "sgd", "mean"),
        ("functional", "adam", "mean"),
        ("nested", "rmsprop", "sum"),
        ("nested", "sgd", "sum"),
    ],
)
def test_callback_and_wrapper_train_to_the_same_numbers(kind, optimizer, aggregation):
    config = ClusteringConfig(6, gradient_aggregation=aggregation)
    touched = compiled(BUILDERS[kind], optimizer=optimizer)
    wrapped = clustering.prepare(touched, config)
    fit(touched, callbacks=[ClusteringCallback(config)])
    fit(wrapped)
    one, other = clustering.finalize(touched), clustering.finalize(wrapped)
    for a, b in zip(one.weights, other.weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4, err_msg=a.path)


@pytest.mark.parametrize(
    "make",
    [
        lambda: keras.optimizers.SGD(0.1, clipnorm=0.05),
        lambda: keras.optimizers.SGD(0.1, momentum=0.9, global_clipnorm=0.05),
        lambda: keras.optimizers.SGD(0.1, clipvalue=0.01),
        lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1, clipnorm=0.05),
        lambda: keras.optimizers.SGD(0.1, global_clipnorm=0.05, gradient_accumulation_steps=2),
        lambda: keras.optimizers.LossScaleOptimizer(
            keras.optimizers.SGD(0.1, clipnorm=0.05), initial_scale=8.0
        ),
    ],
    ids=["norm", "global-norm", "value", "decay", "accumulation", "loss-scale"],
)
@pytest.mark.parametrize("aggregation", ["sum", "mean"])
def test_a_centroid_counts_once_where_gradients_are_clipped(make, aggregation):
    config = ClusteringConfig(4, gradient_aggregation=aggregation)
    touched = dense(make())
    wrapped = clustering.prepare(touched, config)
    before = kernels(touched)
    fit_dense(touched, 2, [ClusteringCallback(config)])
    fit_dense(wrapped, 2)
    one, other = clustering.finalize(touched), clustering.finalize(wrapped)
    # Adam divides by the size of a gradient: what is nearly none is rounding in either.
    adam = isinstance(make(), keras.optimizers.AdamW)
    tolerance = {"rtol": 1e-3, "atol": 1e-4} if adam else {"rtol": 1e-4, "atol": 1e-6}
    for a, b in zip(one.weights, other.weights, strict=True):
        np.testing.assert_allclose(a, b, **tolerance, err_msg=a.path)
    start = make_codebook(next(iter(before.values())), 4).values()
    assert not np.array_equal(start, next(iter(kernels(one).values()))), "nothing was trained"


@pytest.mark.parametrize("name", ["Lamb", "Adafactor", "Muon"])
def test_norms_of_optimizers_that_mix_values_are_refused(name):
    model = dense(getattr(keras.optimizers, name)(0.01, clipnorm=0.1))
    with pytest.raises(KerasCompressError, match="clipvalue"):
        fit_dense(model, callbacks=[ClusteringCallback(4)])


@tensorflow_only
def test_centroid_gradient_is_the_sum_over_its_members():
    """Deep Compression, eq. 3, checked on one step of plain gradient descent."""
    import tensorflow as tf

    x, y = data(32)
    model = compiled(optimizer=keras.optimizers.SGD(0.01))
    before = {id(v): np.array(v) for v in model.trainable_variables}
    codebooks = {
        id(v): make_codebook(before[id(v)], 6)
        for v in model.trainable_variables
        if v.name == "kernel"
    }
    for v in model.trainable_variables:
        if id(v) in codebooks:
            v.assign(codebooks[id(v)].values())
    with tf.GradientTape() as tape:
        loss = model.loss(y, model(x, training=True))
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    expected = {}
    for v, gradient in zip(model.trainable_variables, gradients, strict=True):
        if id(v) not in codebooks:
            continue
        codebook = codebooks[id(v)]
        total = np.zeros(6)
        np.add.at(total, codebook.assignment.ravel(), np.asarray(gradient).ravel())
        expected[id(v)] = (codebook.centroids - 0.01 * total)[codebook.assignment]
        v.assign(before[id(v)])
    model.get_layer("norm").moving_mean.assign(np.zeros(4))
    model.get_layer("norm").moving_variance.assign(np.ones(4))
    model.fit(x, y, batch_size=32, verbose=0, callbacks=[ClusteringCallback(SIX)])
    for v in model.trainable_variables:
        if id(v) in expected:
            np.testing.assert_allclose(v, expected[id(v)], rtol=1e-3, atol=1e-5)


@pytest.mark.backend_independent
@pytest.mark.parametrize("api", ["callback", "wrapper"])
def test_zeros_of_a_pruned_model_stay_zero(api):
    model = compiled()
    fit(model, callbacks=[pruning.PruningCallback(0.7)])
    model = pruning.finalize(model)
    zeros = {name: values == 0 for name, values in kernels(model).items()}
    if api == "wrapper":
        model = clustering.prepare(model, SIX)
    fit(model, callbacks=[ClusteringCallback(SIX)])
    model = clustering.finalize(model)
    for name, values in kernels(model).items():
        np.testing.assert_array_equal(values == 0, zeros[name])
        assert np.unique(values).size <= 6


def test_pruning_and_clustering_in_one_fit():
    model = compiled()
    fit(model, callbacks=[pruning.PruningCallback(pruning.OneShot(0.7)), ClusteringCallback(SIX)])
    for values in kernels(model).values():
        assert np.unique(values).size <= 6
        assert np.mean(values == 0) >= 0.69


def test_members_stay_bit_equal_after_another_kind_of_training():
    # Adam's moments of the members differ when clustering begins.
    model = compiled()
    fit(model, epochs=2)
    fit(model, epochs=2, callbacks=[ClusteringCallback(SIX)])
    for values in kernels(model).values():
        assert np.unique(values).size <= 6


@pytest.mark.backend_independent
def test_prepare_copies_and_starts_from_the_nearest_centroids():
    model = compiled()
    before = arrays(model)
    wrapped = clustering.prepare(model, SIX)
    assert isinstance(wrapped.get_layer("hidden"), Clustered)
    stock = clustering.finalize(wrapped)
    for name, values in kernels(stock).items():
        source = next(v for k, v in before.items() if k.split(":")[0] == name.split(":")[0])
        np.testing.assert_array_equal(values, make_codebook(source, 6).values())
    for key, value in arrays(model).items():
        np.testing.assert_array_equal(value, before[key])


@pytest.mark.parametrize("api", ["callback", "wrapper"])
def test_saved_loaded_and_trained_on_gives_the_same_numbers(api, tmp_path):
    def start():
        model = compiled(optimizer=keras.optimizers.Adam(0.01))
        return clustering.prepare(model, SIX) if api == "wrapper" else model

    unbroken = start()
    fit(unbroken, epochs=4, callbacks=[ClusteringCallback(SIX)])
    broken = start()
    fit(broken, epochs=2, callbacks=[ClusteringCallback(SIX)])
    broken.save(tmp_path / "half.keras")
    resumed = keras.models.load_model(tmp_path / "half.keras")
    fit(resumed, epochs=4, initial_epoch=2, callbacks=[ClusteringCallback(SIX)])
    for a, b in zip(unbroken.weights, resumed.weights, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=a.path)


@not_torch
def test_steps_per_execution_and_jit():
    plain = compiled(jit_compile=False)
    fused = compiled(steps_per_execution=3, jit_compile=True)
    for model in (plain, fused):
        fit(model, callbacks=[ClusteringCallback(SIX)])
    for a, b in zip(plain.weights, fused.weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4, err_msg=a.path)


@mixed_precision
def test_mixed_precision(policy, api):
    keras.config.set_dtype_policy(policy)
    try:
        model = compiled()
        if api == "wrapper":
            model = clustering.prepare(model, SIX)
        fit(model, callbacks=[ClusteringCallback(SIX)])
        small = clustering.finalize(model)
    finally:
        keras.config.set_dtype_policy("float32")
    assert all(np.unique(values).size <= 6 for values in kernels(small).values())


@tensorflow_only
@pytest.mark.parametrize("api", ["callback", "wrapper"])
def test_custom_training_loop(api):
    import tensorflow as tf

    reference = compiled(optimizer=keras.optimizers.SGD(0.01), jit_compile=False)
    model = compiled(optimizer=keras.optimizers.SGD(0.01))
    if api == "wrapper":
        model = clustering.prepare(model, SIX)
    fit(reference, epochs=1, callbacks=[ClusteringCallback(SIX)])
    clusterer = Clusterer(model, SIX, optimizer=keras.optimizers.SGD(0.01))
    x, y = data()
    for start in range(0, len(x), 16):
        with tf.GradientTape() as tape:
            loss = model.loss(y[start : start + 16], model(x[start : start + 16], training=True))
        gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
        clusterer.optimizer.apply(gradients, model.trainable_variables)
    small = clustering.finalize(model)
    for a, b in zip(reference.weights, small.weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4, err_msg=a.path)


@pytest.mark.parametrize("api", ["callback", "wrapper"])
def test_mirrored_strategy_over_two_devices(api, two_replicas):
    strategy = two_replicas
    with strategy.scope():
        model = compiled(optimizer=keras.optimizers.SGD(0.01))
        if api == "wrapper":
            model = clustering.prepare(model, SIX)
    fit(model, callbacks=[ClusteringCallback(SIX)])
    stock = clustering.finalize(model)
    assert all(np.unique(values).size <= 6 for values in kernels(stock).values())
    if api == "callback":
        local = strategy.experimental_local_results(model.get_layer("hidden").kernel.value)
        np.testing.assert_array_equal(*[np.asarray(v) for v in local])


@pytest.mark.backend_independent
def test_weights_are_shared_across_recurrent_attention_and_embedding_layers():
    inputs = keras.Input((3,), dtype="int32")
    x = keras.layers.Embedding(20, 8, name="words")(inputs)
    x = keras.layers.LSTM(6, return_sequences=True, name="memory")(x)
    x = keras.layers.MultiHeadAttention(2, 4, name="attention")(x, x)
    x = keras.layers.GlobalAveragePooling1D()(x)
    model = keras.Model(inputs, keras.layers.Dense(2, name="logits")(x))
    model.compile("adam", "mse")
    tokens = np.random.default_rng(0).integers(0, 20, (16, 3))
    model.fit(tokens, np.zeros((16, 2)), verbose=0, callbacks=[ClusteringCallback(6)])
    rows = [r for r in clustering.report(model) if r.action == "clustered"]
    assert {r.layer.split("/")[0] for r in rows} == {"words", "memory", "attention", "logits"}
    assert all(r.distinct <= 6 for r in rows)


@pytest.mark.backend_independent
def test_report_says_what_was_left_alone():
    model = compiled()
    config = ClusteringConfig(6, layers="hidden")
    fit(model, epochs=1, callbacks=[ClusteringCallback(config)])
    rows = {(r.layer, r.weight): r for r in clustering.report(model, config)}
    assert rows["hidden", "kernel"].action == "clustered" and rows["hidden", "kernel"].distinct <= 6
    assert rows["conv", "kernel"].reason == "not selected by `layers`"
    assert rows["hidden", "bias"].reason == "bias"


@pytest.mark.backend_independent
@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda: clustering.prepare(keras.Sequential([keras.layers.Dense(3)])), "must be built"),
        (lambda: clustering.prepare(sequential(), ClusteringConfig(layers="no")), "matches none"),
        (lambda: clustering.prepare(subclassed()), "subclassed"),
        (lambda: clustering.prepare(clustering.prepare(sequential())), "prepared once"),
        (lambda: clustering.prepare(sequential(), ClusteringConfig(500)), "distinct values"),
        (lambda: Clustered(Clustered(keras.layers.Dense(3))), "wrapped once"),
        (lambda: Clustered(keras.layers.ReLU())(np.zeros((1, 3))), "with a kernel"),
        (lambda: Clusterer(sequential(), SIX), "optimizer"),
        (lambda: fit(compiled(), callbacks=[ClusteringCallback(500)]), "distinct values"),
        (
            lambda: Clusterer(
                keras.Sequential([keras.Input((4,)), Clustered(keras.layers.Dense(9), 8)]), SIX
            ),
            "6 clusters for .*, which has 8",
        ),
    ],
    ids=[
        "unbuilt",
        "no-layer",
        "subclassed",
        "twice",
        "too-many",
        "double-wrap",
        "no-kernel",
        "no-optimizer",
        "too-many-in-fit",
        "another-number",
    ],
)
def test_bad_input_is_refused_with_the_rule(act, words):
    with pytest.raises(KerasCompressError, match=words):
        act()


@pytest.mark.backend_independent
def test_a_refused_model_is_left_as_it_was():
    model = compiled()
    before, optimizer = arrays(model), model.optimizer
    with pytest.raises(KerasCompressError):
        fit(model, callbacks=[ClusteringCallback(200)])
    assert getattr(model.optimizer, "inner_optimizer", model.optimizer) is optimizer
    for key, value in arrays(model).items():
        np.testing.assert_array_equal(value, before[key])
