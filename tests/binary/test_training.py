"""Binary nets in training: they learn, stop and go on, in half precision, mirrored, taught."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from keras_compress import binary, pruning
from keras_compress.errors import KerasCompressError
from tests.training import CLASSES, arrays, compiled, data, fit


def net():
    return keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            keras.layers.Conv2D(8, 3, padding="same", name="stem"),
            keras.layers.BatchNormalization(),
            binary.BinaryConv2D(16, 3, padding="same", name="binary"),
            keras.layers.BatchNormalization(),
            binary.BinaryDepthwiseConv2D(3, input_quantizer=None, name="depthwise"),
            keras.layers.Flatten(),
            keras.layers.BatchNormalization(),
            binary.BinaryDense(16, input_scale=True, name="dense"),
            keras.layers.Dense(CLASSES, name="logits"),
        ]
    )


def bop_and_adam():
    return binary.CaseOptimizer(
        [(binary.is_binary_variable, binary.Bop(threshold=1e-6, gamma=1e-2))],
        keras.optimizers.Adam(0.01),
    )


@pytest.mark.parametrize("optimizer", [lambda: keras.optimizers.Adam(0.01), bop_and_adam])
def test_a_binary_net_learns(optimizer):
    model = compiled(net, optimizer=optimizer())
    fit(model, epochs=8)
    x, y = data(seed=1)
    assert model.evaluate(x, y, verbose=0)[1] > 0.6


@pytest.mark.parametrize("optimizer", [lambda: keras.optimizers.Adam(0.01), bop_and_adam])
def test_saved_and_loaded_it_trains_on_to_the_same_numbers(optimizer, tmp_path):
    model = compiled(net, optimizer=optimizer())
    fit(model, epochs=1)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    x, _ = data()
    np.testing.assert_array_equal(model.predict(x, verbose=0), again.predict(x, verbose=0))
    fit(model, epochs=1)
    fit(again, epochs=1)
    for a, b in zip(arrays(model).values(), arrays(again).values(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_bop_follows_its_paper():
    variable = keras.Variable(np.array([0.5, -0.2, 1.0, -1.0], "float32"))
    bop = binary.Bop(threshold=0.05, gamma=0.1)
    bop.build([variable])
    sign, average = np.array([1.0, -1, 1, -1]), np.zeros(4)
    for step in range(4):
        gradient = np.array([1.0, 1.0, -1.0, -0.2]) * (step + 1)
        bop.apply([ops.convert_to_tensor(gradient.astype("float32"))], [variable])
        average = 0.9 * average + 0.1 * gradient
        sign = np.where(sign * average > 0.05, -sign, sign)
        np.testing.assert_array_equal(ops.convert_to_numpy(variable), sign)
    assert sign.tolist() != [1, -1, 1, -1]


def test_each_case_gets_its_variables():
    model = compiled(net, optimizer=bop_and_adam())
    before = arrays(model)
    fit(model, epochs=1)
    for name, now in arrays(model).items():
        is_latent = any(f"{part}/kernel" in name for part in ("binary", "depthwise", "dense"))
        if is_latent:
            assert set(np.unique(now)) == {-1.0, 1.0}, name
        elif "kernel" in name:
            assert not np.array_equal(now, before[name]) and len(np.unique(now)) > 2
    assert int(model.optimizer.iterations) == 6
    for bad in ([], [("kernel", "sgd")], [(len,)]):
        with pytest.raises(KerasCompressError, match="cases"):
            binary.CaseOptimizer(bad, "adam")


def test_cases_are_applied_to_what_the_optimizer_was_built_for():
    variables = [keras.Variable(np.ones(2, "float32"), name=name) for name in ("kernel", "bias")]
    is_kernel = keras.optimizers.SGD(0.5)
    optimizer = binary.CaseOptimizer(
        [(lambda variable: variable.name == "kernel", is_kernel)], keras.optimizers.SGD(0.25)
    )
    optimizer.build(variables)
    optimizer.apply([ops.ones(2), ops.ones(2)])
    assert [np.unique(v).tolist() for v in map(ops.convert_to_numpy, variables)] == [[0.5], [0.75]]


def test_half_precision_trains():
    model = compiled(net)
    keras.config.set_dtype_policy("mixed_float16")
    try:
        half = compiled(net, optimizer=keras.optimizers.Adam(0.01))
        history = fit(half, epochs=4).history["loss"]
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.dtype_policy != half.dtype_policy
    assert np.isfinite(history).all() and history[-1] < history[0]


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.distribute")
@pytest.mark.parametrize("optimizer", [lambda: "sgd", bop_and_adam])
def test_mirrored_replicas_train_to_the_same_numbers_as_one(two_replicas, optimizer):
    def plain():
        keras.utils.set_random_seed(3)
        # Batch statistics are a replica's own, so there is no normalization here.
        return keras.Sequential(
            [
                keras.Input((6, 6, 1)),
                binary.BinaryConv2D(4, 3, name="binary"),
                keras.layers.Flatten(),
                keras.layers.Dense(CLASSES, name="logits"),
            ]
        )

    single = compiled(plain, seed=3, optimizer=optimizer(), jit_compile=False)
    fit(single, epochs=1)
    with two_replicas.scope():
        mirrored = compiled(plain, seed=3, optimizer=optimizer(), jit_compile=False)
    fit(mirrored, epochs=1)
    for a, b in zip(arrays(single).values(), arrays(mirrored).values(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_a_teacher_can_teach_it():
    teacher = compiled()
    fit(teacher, epochs=2)
    student = net()
    distiller = keras.distillation.Distiller(
        teacher=teacher,
        student=student,
        distillation_losses=keras.distillation.LogitsDistillation(temperature=2.0),
        student_loss_weight=0.5,
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    distiller.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    history = fit(distiller, epochs=4).history
    assert history["loss"][-1] < history["loss"][0]
    student.compile(loss=loss, metrics=["accuracy"])
    x, y = data(seed=1)
    assert student.evaluate(x, y, verbose=0)[1] > 0.5


def test_the_flip_ratio_counts_changes_of_sign():
    metric = binary.FlipRatio((4,))
    metric.update_state(np.array([1.0, -1.0, 0.5, 0.0]))
    assert float(metric.result()) == 0.0
    metric.update_state(np.array([1.0, 1.0, -0.5, 0.1]))
    assert float(metric.result()) == 0.5
    metric.update_state(np.array([1.0, 1.0, -0.5, 0.1]))
    assert float(metric.result()) == 0.25
    metric.reset_state()
    metric.update_state(np.array([-1.0, 1.0, -0.5, 0.1]))
    assert float(metric.result()) == 0.25


def test_the_flip_ratio_is_logged():
    model = compiled(net, optimizer=bop_and_adam())
    logs = fit(model, epochs=2, callbacks=[binary.FlipRatioCallback()]).history
    each = [key for key in logs if key.startswith("flip_ratio/")]
    assert len(each) == 3 and 0 < logs["flip_ratio"][0] < 1
    with pytest.raises(KerasCompressError, match="frequency"):
        binary.FlipRatioCallback(0)
    with pytest.raises(KerasCompressError, match="without one"):
        fit(compiled(), callbacks=[binary.FlipRatioCallback()])


def test_pruning_leaves_binarized_kernels_alone():
    # A zero has no sign: it would come back as +1 and undo the pruning unseen.
    model = compiled(net)
    reasons = {row.layer: row.reason for row in pruning.report(model) if row.weight == "kernel"}
    assert "binarized" in reasons["binary"] and "binarized" not in reasons["stem"]
