"""Samples in every form that users have them in reach the inputs they belong to."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_compress import exporter, tflite
from keras_compress.errors import ExportError
from keras_compress.exporter import inputs

X = np.random.default_rng(0).random((6, 3), dtype=np.float32)
OTHER = X + 10


def single():
    return keras.Sequential([keras.Input((3,), name="values"), keras.layers.Dense(2)])


def crossed(make):
    """A model of a - b whose structure and whose inputs' names contradict each other."""
    a, b = keras.Input((3,), name="b"), keras.Input((3,), name="a")
    return keras.Model(make(a, b), {"b": a - b, "a": [a + b]})


def rows_of(model, data):
    takes = inputs.describe_inputs(model)
    rows = takes.rows(inputs.gathered_samples(model, data, argument="samples"), argument="samples")
    return dict(zip([spec.name for spec in takes.specs], rows, strict=True))


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, i):
        return X[2 * i : 2 * i + 2], np.zeros(2)


def batches():
    for i in (0, 2, 4):
        yield [X[i : i + 2]]


def dataset():
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((X, np.zeros(6))).batch(4)


@pytest.mark.parametrize(
    "make",
    [
        lambda: X,
        lambda: X.tolist(),
        lambda: [X],
        lambda: {"values": X},
        lambda: [X[:2], X[2:]],
        lambda: [(X[:2], np.zeros(2)), (X[2:], np.zeros(4))],
        lambda: [{"values": X[:2]}, {"values": X[2:]}],
        batches,
        lambda: batches,
        lambda: lambda: X,
        dataset,
        lambda: iter([[X[:2], np.zeros(2)], [X[2:], np.zeros(4)]]),
        lambda: Batches(),
    ],
)
def test_forms(make):
    np.testing.assert_array_equal(rows_of(single(), make())["values"], X)


def test_a_generator_function_calibrates():
    done = exporter.convert(single(), precision="int8", representative_data=batches)
    assert done.verification.samples == 6 and done.verification.data == "representative_data"


def endless():
    while True:
        yield np.zeros((2**18, 3), np.float32)


class Endless(Batches):
    @property
    def num_batches(self):
        return None


def ragged():
    import tensorflow as tf

    return tf.ragged.constant([[1.0, 2.0], [3.0]])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: "x.npz", "samples.*type str"),
        (lambda: 5, "type int"),
        (lambda: lambda x: X, "without arguments.*<lambda>"),
        (lambda: lambda: 5, "returned an object of type int"),
        (lambda: endless, "must end.*islice"),
        (lambda: dataset().repeat(), "repeats for ever"),
        (Endless, "no number of batches"),
        (lambda: [], "Received: 0 arrays"),
        (lambda: iter([]), "Received: none"),
        (lambda: (x for x in [X, X[:, :2]]), "batches that differ"),
        (lambda: (x for x in X), r"shape \(3,\)"),
        (ragged, "numbers.*RaggedTensor"),
        (lambda: [[1.0, 2.0], [3.0]], "can't make an array"),
        (lambda: np.array([["a", "b", "c"]]), "numbers"),
        (lambda: np.array([[{}, 1, 2]]), "numbers"),
    ],
)
def test_other_forms_are_refused(make, message):
    with pytest.raises(ExportError, match=message):
        rows_of(single(), make())


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("int32", [[0.5]]),
        ("int32", [[2.0**40]]),
        ("int32", [[np.nan]]),
        ("uint8", [[300]]),
        ("uint8", [[-1]]),
        ("bool", [[2]]),
    ],
)
def test_values_that_an_integer_input_cannot_hold(dtype, values):
    entry = keras.Input((1,), dtype=dtype)
    model = keras.Model(entry, keras.ops.cast(entry, "float32"))
    with pytest.raises(ExportError, match=f"values of type {dtype}"):
        rows_of(model, np.array(values))
    (row,) = rows_of(model, np.array([[1.0]])).values()
    assert row.dtype == dtype and row[0, 0] == 1


def test_crossed_keys_reach_their_own_inputs():
    model = crossed(lambda a, b: {"a": a, "b": b})
    wanted = model({"a": X, "b": OTHER})
    done = exporter.convert(model, samples={"a": X, "b": OTHER})
    assert done.verification.max_abs_error < 1e-5
    file = tflite.read_tflite(done.tflite)
    assert sorted(file.signatures[0].inputs) == ["a", "b"]
    received = run(done.tflite, a=X[:1], b=OTHER[:1])
    np.testing.assert_allclose(received["b"], wanted["b"][:1], rtol=1e-5)
    np.testing.assert_allclose(received["a_0"], wanted["a"][0][:1], rtol=1e-5)


def test_crossed_keys_are_calibrated_each_on_its_own_samples():
    model = crossed(lambda a, b: {"a": a, "b": b})
    data = {"a": X, "b": OTHER}
    done = exporter.convert(model, precision="int8", representative_data=data)
    file = tflite.read_tflite(done.tflite)
    ranges = {
        name: 255 * float(file.tensor(index).quantization()[0])
        for name, index in file.signatures[0].inputs.items()
    }
    assert ranges["a"] < 1.1 and ranges["b"] > 10
    assert not done.notes


@pytest.mark.parametrize(
    ("make", "data", "names"),
    [
        (lambda a, b: [a, b], [X, OTHER], ["b", "a"]),
        (lambda a, b: (a, b), (X, OTHER), ["b", "a"]),
        (lambda a, b: [a, b], {"b": X, "a": OTHER}, ["b", "a"]),
        (lambda a, b: [a, b], ((X[i : i + 1], OTHER[i : i + 1]) for i in range(6)), ["b", "a"]),
        (lambda a, b: {"z": a, "b": b}, {"b": OTHER, "z": X}, ["b", "z"]),
        (lambda a, b: {"z": {"u": a}, "b": [b]}, {"z": {"u": X}, "b": [OTHER]}, ["b_0", "z_u"]),
        (lambda a, b: [a, {"b": b}], [X, {"b": OTHER}], ["input_0", "input_1_b"]),
        (
            lambda a, b: {"a": a, "b": b},
            [({"a": X[:2], "b": OTHER[:2]}, 0), ({"b": OTHER[2:], "a": X[2:]}, 0)],
            ["a", "b"],
        ),
    ],
)
def test_structures(make, data, names):
    model = crossed(make)
    rows = rows_of(model, data)
    assert list(rows) == names
    takes = inputs.describe_inputs(model)
    outputs = model(takes.pack([rows[spec.name] for spec in takes.specs]))
    np.testing.assert_allclose(outputs["b"], X - OTHER, rtol=1e-6)


def test_single_elements():
    entry = keras.Input((3,), name="other")
    for structure, name in (([entry], "other"), ({"key": entry}, "key")):
        model = keras.Model(structure, keras.ops.sum(entry, axis=1, keepdims=True))
        for data in (X, [X], {name: X}):
            np.testing.assert_array_equal(rows_of(model, data)[name], X)
    model = keras.Model({"key": entry}, {"sum": keras.ops.sum(entry, axis=1, keepdims=True)})
    done = exporter.convert(model, samples=X)
    assert [output.name for output in done.verification.outputs] == ["sum"]


def test_open_sizes_are_those_of_the_own_input():
    a, b = keras.Input((None,), name="b"), keras.Input((None,), name="a")
    model = keras.Model({"a": a, "b": b}, [a * 2, b * 2])
    data = inputs.gathered_samples(
        model,
        ({"b": np.zeros((1, 5)), "a": np.zeros((1, 2))} for _ in range(3)),
        argument="samples",
    )
    takes = inputs.describe_inputs(model, samples=data)
    assert {spec.name: spec.shape for spec in takes.specs} == {"a": (1, 2), "b": (1, 5)}


def run(data, **arrays):
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(model_content=data).get_signature_runner("serving_default")(**arrays)
