"""Every kind of output is recognized and taught, or refused."""

from __future__ import annotations

import functools

import keras
import numpy as np
import pytest

from keras_compress.distillation import Distiller, Hints, SoftTargets
from keras_compress.distillation.heads import (
    LINEAR,
    SIGMOID,
    SOFTMAX,
    SOFTMAX_ELSEWHERE,
    UNKNOWN,
    heads_of,
)
from keras_compress.distillation.label_losses import per_output, told_by
from keras_compress.errors import KerasCompressError
from tests.distillation.nets import values

pytestmark = pytest.mark.backend_independent

layers, losses, ops = keras.layers, keras.losses, keras.ops
generator = np.random.default_rng(0)
X = generator.normal(size=(12, 4)).astype("float32")
YES = generator.integers(0, 2, (12, 1)).astype("float32")
CLASSES = generator.integers(0, 3, 12)


def graph(function, shape=(4,)):
    inputs = keras.Input(shape)
    return keras.Model(inputs, function(inputs))


def sure(inputs, units=3):
    return layers.Dense(units, activation="softmax")(inputs)


def twice(inputs):
    net = graph(sure)
    return layers.Average()([net(inputs), net(inputs * 2.0)])


@keras.saving.register_keras_serializable(package="keras_compress_tests")
class Shown(keras.layers.Layer):
    def __init__(self, activation, **kwargs):
        super().__init__(**kwargs)
        self.activation = keras.activations.get(activation)

    def call(self, x):
        return self.activation(x)


#: Nets of one output, and what it is.
HEADS = {
    "dense": (lambda i: layers.Dense(3)(i), LINEAR),
    "softmax": (sure, SOFTMAX),
    "sigmoid": (lambda i: layers.Dense(1, activation="sigmoid")(i), SIGMOID),
    "layer": (lambda i: layers.Softmax()(layers.Dense(3)(i)), SOFTMAX),
    "activation": (
        lambda i: layers.Activation("softmax", dtype="float32")(layers.Dense(3)(i)),
        SOFTMAX,
    ),
    "operation": (lambda i: ops.softmax(layers.Dense(3)(i)), SOFTMAX),
    "sigmoid operation": (lambda i: ops.sigmoid(layers.Dense(3)(i)), SIGMOID),
    "logarithms": (lambda i: ops.log_softmax(layers.Dense(3)(i)), LINEAR),
    "divided": (lambda i: layers.Dense(3)(i) / 4.0, LINEAR),
    "normalized": (lambda i: layers.BatchNormalization()(layers.Dense(3)(i)), LINEAR),
    "summed": (lambda i: layers.Add()([layers.Dense(3)(i), layers.Dense(3)(i)]), LINEAR),
    "nested": (lambda i: layers.Activation("linear")(graph(sure)(i)), SOFTMAX),
    "nested twice": (lambda i: keras.Sequential([keras.Input((4,)), graph(sure)])(i), SOFTMAX),
    "nested reshape": (
        lambda i: graph(lambda j: layers.Reshape((3,))(j), (3,))(sure(i)),
        SOFTMAX,
    ),
    "two calls": (twice, SOFTMAX),
    "mean": (lambda i: layers.Average()([sure(i), sure(i)]), SOFTMAX),
    "sum of softmaxes": (lambda i: layers.Add()([sure(i), sure(i)]), UNKNOWN),
    "pooled": (
        lambda i: layers.GlobalAveragePooling1D()(sure(layers.Reshape((2, 2))(i))),
        SOFTMAX,
    ),
    "each step": (
        lambda i: layers.TimeDistributed(layers.Dense(3, activation="softmax"))(
            layers.Reshape((2, 2))(i)
        ),
        SOFTMAX,
    ),
    "first step": (lambda i: sure(layers.Reshape((2, 2))(i))[:, 0], SOFTMAX),
    "a class cut off": (lambda i: sure(i)[:, :2], SOFTMAX_ELSEWHERE),
    "flattened": (lambda i: layers.Flatten()(sure(layers.Reshape((2, 2))(i))), SOFTMAX_ELSEWHERE),
    "axis": (
        lambda i: layers.Softmax(axis=1)(layers.Dense(2)(layers.Reshape((2, 2))(i))),
        SOFTMAX_ELSEWHERE,
    ),
    "last axis": (lambda i: layers.Softmax(axis=2)(layers.Reshape((2, 2))(i)), SOFTMAX),
    "own layer": (lambda i: Shown("softmax")(layers.Dense(3)(i)), SOFTMAX),
    "own linear layer": (lambda i: Shown("linear")(layers.Dense(3)(i)), UNKNOWN),
    "relu": (lambda i: layers.Dense(3, activation="relu")(i), UNKNOWN),
    "recurrent": (lambda i: layers.LSTM(3)(layers.Reshape((2, 2))(i)), UNKNOWN),
    "lambda": (lambda i: layers.Lambda(lambda x: x)(sure(i)), UNKNOWN),
}


@pytest.mark.parametrize("case", HEADS)
def test_what_an_output_is_is_read_from_the_graph(case):
    make, expected = HEADS[case]
    assert heads_of(graph(make)) == (expected,)


def test_each_output_has_a_head_of_its_own():
    model = graph(lambda i: {"b": layers.Dense(2)(i), "a": sure(i)})
    assert heads_of(model) == (SOFTMAX, LINEAR)


def test_where_the_graph_does_not_tell_the_models_own_loss_does():
    model = graph(HEADS["relu"][0])
    model.compile("sgd", losses.SparseCategoricalCrossentropy(from_logits=True))
    assert heads_of(model) == (LINEAR,)
    assert heads_of(model, by_loss=False) == (UNKNOWN,)
    model.compile("sgd", "binary_crossentropy")
    assert heads_of(model) == (SIGMOID,)
    model.compile("sgd", "mse")
    assert heads_of(model) == (UNKNOWN,)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("sparse_categorical_crossentropy", ("softmax", False)),
        ("CategoricalCrossentropy", ("softmax", False)),
        (losses.SparseCategoricalCrossentropy(from_logits=True), ("softmax", True)),
        (losses.CategoricalFocalCrossentropy(from_logits=True), ("softmax", True)),
        (functools.partial(losses.categorical_crossentropy, from_logits=True), ("softmax", True)),
        (losses.binary_crossentropy, ("sigmoid", False)),
        (losses.BinaryFocalCrossentropy(from_logits=True), ("sigmoid", True)),
        ("mse", ("regression", None)),
        (losses.Huber(), ("regression", None)),
        ("ce", ("softmax", False)),
        (lambda y, p: y - p, (None, None)),
        (losses.Hinge(), (None, None)),
        (None, (None, None)),
    ],
)
def test_what_a_loss_tells(loss, expected):
    assert told_by(loss, 3) == expected
    assert told_by("crossentropy", 1) == ("sigmoid", False)


def test_arguments_are_spread_as_compile_spreads_losses():
    assert per_output(5, ["x", "y"]) == [5, 5]
    assert per_output([1, None], ["x", "y"]) == [1, None]
    assert per_output({"b": 2}, {"b": "y", "a": "x"}, missing=7) == [7, 2]
    assert per_output({"b": 2, "a": 1}, ["x", "y"], ["b", "a"]) == [2, 1]
    assert per_output({"a": [1, 2]}, {"a": ["x", "y"]}) == [1, 2]
    assert per_output([1, 2, 3], ["x", "y"]) is None
    assert per_output({"c": 1}, {"a": "x"}) is None


def soft_loss(teacher, student, loss, y, soft=None, x=X):
    distiller = Distiller(teacher, student, soft, student_loss_weight=0.0)
    distiller.compile(keras.optimizers.SGD(0.5), loss, run_eagerly=True)
    found = distiller.evaluate(x, y, batch_size=len(x), verbose=0, return_dict=True)
    return distiller, found["distillation_loss"]


def told(kind, student_logits, teacher_logits=True, temperature=4.0):
    loss = SoftTargets(temperature, student_logits, teacher_logits, kind)
    return lambda *both: float(ops.convert_to_numpy(loss.compute_loss(*both)))


def two(head, seeds=(1, 0)):
    made = []
    for seed in seeds:
        keras.utils.set_random_seed(seed)
        made.append(graph(head))
    return made


@pytest.mark.parametrize(
    ("head", "loss", "kind", "logits"),
    [
        ("sigmoid", "binary_crossentropy", "sigmoid", False),
        ("sigmoid", "mse", "regression", None),
        ("dense of one", losses.BinaryCrossentropy(from_logits=True), "sigmoid", True),
        ("dense of one", "mse", "regression", None),
        ("dense of one", losses.Huber(), "regression", None),
    ],
)
def test_one_unit_is_taught(head, loss, kind, logits):
    make = HEADS[head][0] if head in HEADS else lambda i: layers.Dense(1)(i)
    teacher, student = two(make)
    distiller, found = soft_loss(teacher, student, loss, YES)
    both = teacher.predict(X, verbose=0), student.predict(X, verbose=0)
    assert found == pytest.approx(told(kind, logits, logits)(*both), rel=1e-4)
    assert found > 1e-4
    before = values(student)
    history = distiller.fit(X, YES, epochs=3, verbose=0).history["distillation_loss"]
    assert history[-1] < history[0]
    assert not np.array_equal(before[0], values(student)[0])


@pytest.mark.parametrize("head", ["layer", "activation", "operation", "nested"])
def test_a_hidden_softmax_is_no_logit(head):
    teacher, student = two(HEADS[head][0])
    _, found = soft_loss(teacher, student, "sparse_categorical_crossentropy", CLASSES)
    both = teacher.predict(X, verbose=0), student.predict(X, verbose=0)
    assert found == pytest.approx(told("softmax", False, False)(*both), rel=1e-4)
    # A teacher of probabilities and a student of logits.
    linear = graph(HEADS["dense"][0])
    _, found = soft_loss(teacher, linear, None, CLASSES)
    both = both[0], linear.predict(X, verbose=0)
    assert found == pytest.approx(told("softmax", True, False)(*both), rel=1e-4)
    with pytest.raises(KerasCompressError, match="teacher_from_logits=True and"):
        Distiller(teacher, linear, SoftTargets(from_logits=True, teacher_from_logits=True))


@pytest.mark.parametrize("structure", ["list", "dict"])
def test_outputs_in_structures_are_taught_each_in_its_way(structure):
    def head(inputs):
        made = {"a": sure(inputs), "b": layers.Dense(1, name="b")(inputs)}
        return made if structure == "dict" else list(made.values())

    teacher, student = two(head)
    y = {"a": CLASSES, "b": YES}
    loss = {"a": "sparse_categorical_crossentropy", "b": "mse"}
    if structure == "list":
        y, loss = list(y.values()), list(loss.values())
    distiller, found = soft_loss(teacher, student, loss, y)
    theirs, ours = (keras.tree.flatten(m.predict(X, verbose=0)) for m in (teacher, student))
    parts = [
        told("softmax", False, False)(theirs[0], ours[0]),
        told("regression", None)(theirs[1], ours[1]),
    ]
    assert found == pytest.approx(sum(parts), rel=1e-4)
    history = distiller.fit(X, y, epochs=2, verbose=0).history["distillation_loss"]
    assert history[-1] < history[0]
    weights = {"a": 0.0, "b": 2.0} if structure == "dict" else [0.0, 2.0]
    _, found = soft_loss(teacher, student, loss, y, SoftTargets(output_weights=weights))
    theirs, ours = (keras.tree.flatten(m.predict(X, verbose=0)) for m in (teacher, student))
    assert found == pytest.approx(2 * told("regression", None)(theirs[1], ours[1]), rel=1e-4)


def test_teachers_that_end_otherwise_are_each_understood():
    linear, student = two(HEADS["dense"][0])
    probable = keras.Model(linear.inputs, ops.softmax(linear.outputs[0]))
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    _, found = soft_loss([linear, probable], student, loss, CLASSES)
    _, one = soft_loss(linear, student, loss, CLASSES)
    assert found == pytest.approx(one, rel=1e-4)


def test_masked_steps_are_not_taught():
    def tagger(inputs):
        x = layers.Embedding(5, 3, mask_zero=True)(inputs)
        return layers.Dense(3, activation="softmax")(layers.Dense(4, name="hidden")(x))

    made = []
    for seed in (1, 0):
        keras.utils.set_random_seed(seed)
        inputs = keras.Input((4,), dtype="int32")
        made.append(keras.Model(inputs, tagger(inputs)))
    teacher, student = made
    tokens = np.array([[1, 2, 0, 0], [3, 0, 0, 0], [4, 1, 2, 3]], "int32")
    y = np.zeros((3, 4), "int32")
    _, found = soft_loss(teacher, student, "sparse_categorical_crossentropy", y, x=tokens)
    kept = tokens != 0
    theirs, ours = (model.predict(tokens, verbose=0)[kept] for model in made)
    assert found == pytest.approx(told("softmax", False, False)(theirs, ours), rel=1e-4)
    hints = Hints("hidden", "hidden")
    _, found = soft_loss(teacher, student, "sparse_categorical_crossentropy", y, hints, tokens)
    theirs, ours = (
        keras.Model(model.input, model.get_layer("hidden").output).predict(tokens, verbose=0)[kept]
        for model in made
    )
    assert found == pytest.approx(((theirs - ours) ** 2).mean(), rel=1e-4)


@pytest.mark.parametrize(
    ("teacher", "student", "loss", "soft", "message"),
    [
        ("dense", "dense", lambda y, p: y - p, None, "Pass `kind="),
        (
            "lambda",
            "dense",
            losses.SparseCategoricalCrossentropy(from_logits=True),
            None,
            "teacher",
        ),
        ("dense", "lambda", "kl_divergence", SoftTargets(from_logits=None, kind="sigmoid"), None),
        ("axis", "axis", "categorical_crossentropy", None, "along the last axis"),
        ("softmax", "dense", losses.BinaryCrossentropy(from_logits=True), None, "taught as"),
        ("dense", "softmax", "mse", keras.distillation.LogitsDistillation(), "'kl_divergence'"),
        (
            "dense",
            "softmax",
            "mse",
            keras.distillation.LogitsDistillation(loss=losses.KLDivergence()),
            "a softmax. Use",
        ),
        (
            "one",
            "one",
            "mse",
            keras.distillation.LogitsDistillation(loss=losses.KLDivergence()),
            "of one unit",
        ),
    ],
)
def test_what_cannot_be_told_or_contradicts_is_refused_before_training(
    teacher, student, loss, soft, message
):
    def compile_it():
        one, other = [
            graph(HEADS[n][0] if n != "one" else layers.Dense(1)) for n in (teacher, student)
        ]
        Distiller(one, other, soft).compile("sgd", loss)

    if message is None:
        compile_it()
    else:
        with pytest.raises(KerasCompressError, match=message):
            compile_it()


def test_a_teacher_that_rounds_what_the_student_hears_is_refused():
    inputs = keras.Input((4,), dtype="uint8")
    teacher = keras.Model(inputs, layers.Dense(3)(layers.Rescaling(1 / 255)(inputs)))
    student = graph(HEADS["dense"][0])
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    with pytest.raises(ValueError, match="rounds them to uint8"):
        soft_loss(teacher, student, loss, CLASSES)
    soft_loss(teacher, student, loss, CLASSES, x=(X > 0).astype("uint8"))


def test_a_teacher_hears_its_inputs_as_they_are_under_mixed_precision():
    teacher, student = two(lambda i: layers.Dense(1)(i))
    large = X * 1e5
    _, expected = soft_loss(teacher, student, "mse", YES, x=large)
    keras.config.set_dtype_policy("mixed_float16")
    try:
        _, found = soft_loss(teacher, student, "mse", YES, x=large)
    finally:
        keras.config.set_dtype_policy("float32")
    assert found == pytest.approx(expected, rel=1e-5)


def test_a_teacher_trained_further_is_heard_anew():
    teacher, student = two(HEADS["dense"][0])
    distiller = Distiller(teacher, student, student_loss_weight=0.0)
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    distiller.compile(keras.optimizers.SGD(0.0), loss)
    first = distiller.fit(X, CLASSES, verbose=0).history["distillation_loss"][0]
    teacher.set_weights([3 * weight for weight in teacher.get_weights()])
    second = distiller.fit(X, CLASSES, verbose=0).history["distillation_loss"][0]
    both = teacher.predict(X, verbose=0), student.predict(X, verbose=0)
    assert second == pytest.approx(told("softmax", True)(*both), rel=1e-4)
    assert second != pytest.approx(first, rel=0.01)
