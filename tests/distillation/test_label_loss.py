"""The hard part of the loss: what `compile` and `fit` of the student itself would minimize."""

from __future__ import annotations

import functools

import keras
import numpy as np
import pytest

from keras_compress.distillation import AttentionTransfer, Distiller, Hints, SoftTargets
from keras_compress.errors import KerasCompressError
from tests.distillation.nets import values
from tests.training import not_torch

pytestmark = pytest.mark.backend_independent

layers, losses, metrics = keras.layers, keras.losses, keras.metrics
SAMPLES, CLASSES = 12, 3
generator = np.random.default_rng(0)
X = generator.normal(size=(SAMPLES, 4)).astype("float32")
Y = generator.integers(0, CLASSES, SAMPLES)
ONE_HOT = np.eye(CLASSES, dtype="float32")[Y]
YES = (Y > 0).astype("float32")
VALUES = generator.normal(size=(SAMPLES, 2)).astype("float32")
TOKENS = np.where(
    generator.uniform(size=(SAMPLES, 5)) < 0.4, 0, generator.integers(1, 6, (SAMPLES, 5))
)
TAGS = generator.integers(0, CLASSES, (SAMPLES, 5))
WEIGHTS = generator.uniform(0.2, 2.0, SAMPLES).astype("float32")


def one(units=CLASSES, activation="softmax"):
    inputs = keras.Input((4,))
    x = layers.Dense(5, activation="relu", name="hidden")(inputs)
    return keras.Model(inputs, layers.Dense(units, activation=activation, name="out")(x))


def several(structure):
    inputs = keras.Input((4,))
    x = layers.Dense(5, activation="relu", name="hidden")(inputs)
    a = layers.Dense(CLASSES, activation="softmax", name="a")(x)
    b = layers.Dense(2, name="b")(x)
    return keras.Model(inputs, {"list": [a, b], "dict": {"a": a, "b": b}, "one": [a]}[structure])


def tagger():
    tokens = keras.Input((5,), dtype="int32")
    x = layers.Embedding(6, 4, mask_zero=True)(tokens)
    x = layers.Dense(5, activation="relu", name="hidden")(x)
    return keras.Model(tokens, layers.Dense(CLASSES, activation="softmax", name="out")(x))


def costly():
    inputs = keras.Input((4,))
    x = layers.Dense(5, activation="relu", kernel_regularizer="l2", name="hidden")(inputs)
    x = layers.ActivityRegularization(l1=0.1)(x)
    return keras.Model(inputs, layers.Dense(CLASSES, activation="softmax", name="out")(x))


def own_loss(y_true, y_pred):
    return keras.ops.mean(keras.ops.abs(keras.ops.cast(y_true, y_pred.dtype) - y_pred), axis=-1)


list_, dict_ = functools.partial(several, "list"), functools.partial(several, "dict")
SPARSE = "sparse_categorical_crossentropy"
CASES = {
    "name": (one, {"loss": SPARSE}, Y, {}),
    "class name": (one, {"loss": "SparseCategoricalCrossentropy"}, Y, {}),
    "column of labels": (one, {"loss": SPARSE}, Y[:, None], {}),
    "one-hot": (one, {"loss": losses.CategoricalCrossentropy(label_smoothing=0.1)}, ONE_HOT, {}),
    "ce": (one, {"loss": "ce"}, Y, {}),
    "function": (one, {"loss": losses.categorical_crossentropy}, ONE_HOT, {}),
    "own function": (one, {"loss": own_loss}, ONE_HOT, {}),
    "labels (n,) for one unit": (
        lambda: one(1, "sigmoid"),
        {"loss": "binary_crossentropy", "metrics": ["accuracy", "mse"]},
        YES,
        {},
    ),
    "labels (n,) for a regression": (lambda: one(1, None), {"loss": "mse"}, VALUES[:, 0], {}),
    "own function of labels (n,)": (lambda: one(1, None), {"loss": own_loss}, VALUES[:, 0], {}),
    "sum": (one, {"loss": losses.SparseCategoricalCrossentropy(reduction="sum")}, Y, {}),
    "mean by weights": (
        one,
        {"loss": losses.SparseCategoricalCrossentropy(reduction="mean_with_sample_weight")},
        Y,
        {"sample_weight": WEIGHTS},
    ),
    "a scalar weight": (one, {"loss": SPARSE, "loss_weights": 0.3}, Y, {}),
    "sample weights": (
        one,
        {"loss": SPARSE, "metrics": ["accuracy"], "weighted_metrics": ["accuracy"]},
        Y,
        {"sample_weight": WEIGHTS},
    ),
    "class weights": (
        one,
        {"loss": SPARSE, "weighted_metrics": ["accuracy"]},
        Y,
        {"class_weight": {0: 2.0, 1: 0.5, 2: 1.0}},
    ),
    "list": (list_, {"loss": [SPARSE, "mse"], "loss_weights": [0.5, 2.0]}, [Y, VALUES], {}),
    "dict for a list": (
        list_,
        {
            "loss": {"a": SPARSE, "b": losses.MeanSquaredError()},
            "loss_weights": {"a": 0.5, "b": 2.0},
            "metrics": {"a": ["accuracy"], "b": ["mae"]},
        },
        [Y, VALUES],
        {},
    ),
    "one for a list": (list_, {"loss": "mse"}, [ONE_HOT, VALUES], {}),
    "none for an output": (list_, {"loss": [SPARSE, None]}, [Y, VALUES], {}),
    "weights by output": (
        list_,
        {"loss": [SPARSE, "mse"], "weighted_metrics": [["accuracy"], ["mae"]]},
        [Y, VALUES],
        {"sample_weight": [WEIGHTS, WEIGHTS[::-1]]},
    ),
    "dict": (
        dict_,
        {"loss": {"a": SPARSE, "b": "mse"}, "loss_weights": {"a": 0.5, "b": 2.0}},
        {"a": Y, "b": VALUES},
        {},
    ),
    "part of a dict": (dict_, {"loss": {"b": "mse"}}, {"a": Y, "b": VALUES}, {}),
    "list of one": (lambda: several("one"), {"loss": [SPARSE]}, [Y], {}),
    "mask": (tagger, {"loss": SPARSE, "metrics": ["accuracy"]}, TAGS, {}),
    "weights by step": (
        tagger,
        {"loss": SPARSE},
        TAGS,
        {"sample_weight": np.outer(WEIGHTS, np.arange(1, 6)).astype("float32")},
    ),
    "added losses": (costly, {"loss": SPARSE}, Y, {}),
}


def assert_as_stock(
    make, arguments, y, fit_arguments, distillation_losses=None, **compile_arguments
):
    nets = []
    for seed in (1, 0, 0):
        keras.utils.set_random_seed(seed)
        nets.append(make())
    teacher, stock, student = nets
    soft = distillation_losses or SoftTargets(kind="regression")
    distiller = Distiller(teacher, student, soft, student_loss_weight=1.0)
    x = TOKENS if make is tagger else X
    histories = []
    for model in (stock, distiller):
        model.compile(keras.optimizers.SGD(0.1), **arguments, **compile_arguments)
        history = model.fit(
            x, y, batch_size=8, epochs=1, shuffle=False, verbose=0, **fit_arguments
        ).history
        histories.append(history)
    for name, value in histories[0].items():
        assert histories[1][name] == pytest.approx(value, rel=1e-5), name
    for expected, got in zip(values(stock), values(student), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-6)
    return distiller, stock, histories


@pytest.mark.parametrize("case", CASES)
def test_weighed_alone_it_is_what_fit_of_the_student_minimizes(case):
    assert_as_stock(*CASES[case], run_eagerly=True)


@pytest.mark.parametrize("case", ["weights by output", "mask"])
def test_it_is_so_in_a_compiled_step_with_features_beside_the_outputs(case):
    assert_as_stock(*CASES[case], distillation_losses=[Hints("hidden", "hidden")])


@not_torch
def test_it_is_so_under_xla_and_several_steps_an_execution():
    case = CASES["dict for a list"]
    assert_as_stock(*case, steps_per_execution=2, jit_compile=True)


def test_it_is_so_in_mixed_precision():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        distiller, stock, _ = assert_as_stock(*CASES["sample weights"])
    finally:
        keras.config.set_dtype_policy("float32")
    assert type(distiller.optimizer) is type(stock.optimizer)
    # Decided by what the student computes in, not by what is set when the distiller is made.
    keras.config.set_dtype_policy("mixed_float16")
    try:
        student = one()
    finally:
        keras.config.set_dtype_policy("float32")
    late = Distiller(one(), student)
    late.compile("sgd", SPARSE)
    assert isinstance(late.optimizer, keras.optimizers.LossScaleOptimizer)


def test_the_log_is_weighed_by_the_size_of_the_batches():
    distiller, stock, (expected, got) = assert_as_stock(*CASES["added losses"], run_eagerly=True)
    assert got["total_loss"] == pytest.approx(got["loss"], rel=1e-6)
    distiller.compile("sgd", SPARSE)
    whole = distiller.evaluate(X, Y, batch_size=SAMPLES, verbose=0, return_dict=True)
    parts = distiller.evaluate(X, Y, batch_size=8, verbose=0, return_dict=True)
    for name in ("student_loss", "distillation_loss"):
        assert parts[name] == pytest.approx(whole[name], rel=1e-4), name
    assert expected["loss"][0] > got["student_loss"][0]  # the losses that layers add aside
    plain = stock.predict(X, verbose=0)
    np.testing.assert_allclose(distiller.predict(X, verbose=0), plain, atol=1e-6)
    hard = -np.log(plain[np.arange(SAMPLES), Y]).mean()
    assert whole["student_loss"] == pytest.approx(hard, rel=1e-4)


def test_evaluation_gives_the_students_own_loss_and_metrics():
    make, arguments, y, _ = CASES["dict for a list"]
    student, teacher = make(), make()
    student.compile("sgd", **arguments)
    expected = student.evaluate(X, y, verbose=0, return_dict=True)
    soft = SoftTargets(kind="regression")
    distiller = Distiller(teacher, student, soft, student_loss_weight=1.0)
    distiller.compile("sgd", **arguments)
    got = distiller.evaluate(X, y, verbose=0, return_dict=True)
    assert set(expected) <= set(got)
    for name, value in expected.items():
        assert got[name] == pytest.approx(value, rel=1e-5), name


def test_labels_that_count_need_a_loss_and_must_be_there():
    distiller = Distiller(one(), one())
    with pytest.raises(KerasCompressError, match=r"loss=None and student_loss_weight=0\.5"):
        distiller.compile("sgd")
    distiller.compile("sgd", SPARSE, run_eagerly=True)
    with pytest.raises(ValueError, match="y=None"):
        distiller.fit(X, verbose=0)
    alone = Distiller(one(), one(), student_loss_weight=0.0)
    alone.compile("sgd", run_eagerly=True)
    before = values(alone.student)
    alone.fit(X, verbose=0)
    assert not np.array_equal(before[0], values(alone.student)[0])


def test_a_student_with_a_step_of_its_own_is_refused():
    class Own(keras.Model):
        def compute_loss(self, *args, **kwargs):
            return super().compute_loss(*args, **kwargs)

    plain = one()
    own = Own(plain.input, plain.output)
    with pytest.raises(KerasCompressError, match="Own with its own `compute_loss`"):
        Distiller(one(), own)


def test_a_map_beside_the_outputs_changes_nothing_for_them():
    def make():
        inputs = keras.Input((4,))
        x = layers.Reshape((2, 2, 1))(inputs)
        x = layers.Conv2D(2, 1, name="hidden")(x)
        return keras.Model(inputs, layers.Dense(CLASSES, "softmax")(layers.Flatten()(x)))

    attention = AttentionTransfer("hidden", "hidden")
    assert_as_stock(make, {"loss": SPARSE}, Y, {}, distillation_losses=[attention])
