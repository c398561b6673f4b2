"""Files of Keras 2, opened: they compute what the original computed."""

from __future__ import annotations

import warnings
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_compress
from keras_compress import binary
from keras_compress.errors import ModelFileError
from keras_compress.loading import open_model
from keras_compress.loading.configurations import Rewriting
from keras_compress.loading.graph import build_model

OPENED = [
    "image.h5",
    "image.keras",
    "shared.h5",
    "shared",
    "attention.h5",
    "attention.keras",
    "table.h5",
    "table.keras",
    "table",
    "binary.h5",
    "binary.keras",
    "pruned.h5",
    "pruned.keras",
]


def kept(fixtures: Path, name: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
    with np.load(fixtures / "outputs.npz") as file:
        parts = [
            [file[f"{name}/{side}/{i}"] for i in range(9) if f"{name}/{side}/{i}" in file]
            for side in ("in", "out")
        ]
    return parts[0], parts[1]


def computed(model: keras.Model, inputs: list[np.ndarray]) -> list[np.ndarray]:
    given = inputs[0]
    if len(inputs) > 1:
        given = keras.tree.pack_sequence_as(model.input, inputs)
    return [keras.ops.convert_to_numpy(each) for each in keras.tree.flatten(model(given))]


@pytest.mark.parametrize("file", OPENED)
def test_an_opened_file_computes_what_the_original_did(fixtures, file):
    opened = open_model(fixtures / file, verify=False)
    inputs, outputs = kept(fixtures, Path(file).stem)
    ours = computed(opened.model, inputs)
    assert [a.shape for a in ours] == [a.shape for a in outputs]
    for mine, theirs in zip(ours, outputs, strict=True):
        assert np.isfinite(theirs).all() and np.ptp(theirs) > 0
        np.testing.assert_allclose(mine, theirs, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("file", ["table", "shared"])
def test_a_saved_model_is_held_against_the_original(fixtures, file):
    opened = open_model(fixtures / file)
    assert opened.source == "saved_model"
    assert opened.difference is not None and opened.difference < 1e-5
    assert not [note for note in opened.notes if "compared" in note]


def test_a_result_that_differs_is_refused(fixtures, monkeypatch):
    def differ(model, path, loaded):
        return 0.5, ""

    monkeypatch.setattr("keras_compress.loading.load.largest_difference", differ)
    with pytest.raises(ModelFileError, match=r"computes something else.*0\.5"):
        keras_compress.load_model(fixtures / "image.h5")


def test_opened_models_save_and_train(fixtures, tmp_path):
    model = open_model(fixtures / "image.h5", verify=False).model
    inputs, outputs = kept(fixtures, "image")
    model.save(tmp_path / "image.keras")
    again = keras_compress.load_model(tmp_path / "image.keras")
    np.testing.assert_allclose(computed(again, inputs)[0], outputs[0], rtol=2e-5, atol=2e-6)
    again.compile("sgd", "sparse_categorical_crossentropy")
    before = again.layers[-1].get_weights()[0]
    again.fit(inputs[0], np.zeros(3), epochs=1, verbose=0)
    assert not np.array_equal(before, again.layers[-1].get_weights()[0])


def test_names_freezing_ties_and_regularizers_are_kept(fixtures):
    model = open_model(fixtures / "shared.h5", verify=False).model
    assert model.get_layer("frozen").trainable is False
    assert model.get_layer("shared").trainable
    assert [layer.name for layer in model.layers].count("shared") == 1
    assert isinstance(model.get_layer("sub"), keras.Model)
    dense = open_model(fixtures / "table.h5", verify=False).model.layers[-2]
    assert isinstance(dense.kernel_regularizer, keras.regularizers.L2)
    assert isinstance(dense.kernel_constraint, keras.constraints.MaxNorm)
    # Keras 3 keeps the slash in names to itself.
    names = [layer.name for layer in open_model(fixtures / "image.h5", verify=False).model.layers]
    assert "stem_conv" in names and "multiply" in names


def test_larqs_layers_become_ours(fixtures):
    model = open_model(fixtures / "binary.h5", verify=False).model
    first, second, depthwise, dense = (
        layer for layer in model.layers if type(layer).__name__.startswith("Binary")
    )
    assert first.input_quantizer is None and first.kernel_quantizer.is_sign
    assert second.pad_values == 1.0 and not second.use_bias
    assert isinstance(second.kernel_constraint, binary.WeightClip)
    assert isinstance(depthwise, binary.BinaryDepthwiseConv2D)
    assert dense.input_quantizer.bits == 2
    opened = open_model(fixtures / "pruned.h5", verify=False)
    assert any("not stripped" in note for note in opened.notes)
    assert [type(layer) for layer in opened.model.layers] == [
        keras.layers.Conv2D,
        keras.layers.Flatten,
        keras.layers.Dense,
    ]


def test_notes_are_warnings(fixtures):
    with pytest.warns(UserWarning, match="ThresholdedReLU became ReLU"):
        keras_compress.load_model(fixtures / "image.h5", verify=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        keras_compress.load_model(fixtures / "table.h5", verify=False)


def test_weights_for_a_model_of_ones_own(fixtures):
    model = open_model(fixtures / "image.h5", verify=False).model
    before = model.get_weights()
    with pytest.raises(ModelFileError, match="stem/conv"):
        keras_compress.load_weights(model, fixtures / "image_weights.h5")
    assert all(map(np.array_equal, before, model.get_weights()))
    reopened = open_model(fixtures / "table.h5", verify=False).model
    other = keras.Sequential(
        [keras.Input((3,)), *(type(x).from_config(x.get_config()) for x in reopened.layers)]
    )
    other.add(keras.layers.Dense(2, name="head"))
    assert keras_compress.load_weights(other, fixtures / "table.h5") == ["head"]
    np.testing.assert_array_equal(other.layers[1].kernel, reopened.layers[1].kernel)


def test_lambdas_run_only_when_trusted(fixtures):
    with pytest.raises(ModelFileError, match="safe_mode=False"):
        keras_compress.load_model(fixtures / "lambda.h5")
    # Its code is of the Python that wrote the file, so it is replaced here.
    custom = {"Lambda": keras.layers.Rescaling}
    with pytest.raises(ModelFileError):
        keras_compress.load_model(fixtures / "lambda.h5", custom_objects=custom, verify=False)


@pytest.mark.parametrize(
    "file, rule",
    [
        ("subclassed", r"'Subclassed', a subclass.*load_weights"),
        ("image_weights.h5", r"holds weights and no model.*load_weights"),
        ("outputs.npz", "damaged"),
        ("missing.h5", "isn't there"),
    ],
)
def test_what_cant_be_opened_says_what_to_do(fixtures, file, rule):
    with pytest.raises(ModelFileError, match=rule):
        keras_compress.load_model(fixtures / file)


# ad01.h5 isn't among them: the ad01_fp32.tflite beside it has its kernels and other biases, and
# its repository gives them different accuracies.
REAL = {
    "pretrainedResnet.h5": "pretrainedResnet.tflite",
    "vww_96.h5": "vww_96_float.tflite",
}


@pytest.mark.parametrize("file", REAL)
def test_real_files_agree_with_the_tflite_beside_them(shared_data, file):
    from ai_edge_litert.interpreter import Interpreter

    folder = shared_data / "models" / "mlperf_tiny"
    model = open_model(folder / file, verify=False).model
    interpreter = Interpreter(str(folder / REAL[file]))
    interpreter.allocate_tensors()
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    for seed in range(3):
        inputs = np.random.default_rng(seed).uniform(0, 1, taken["shape"]).astype("float32")
        interpreter.set_tensor(taken["index"], inputs)
        interpreter.invoke()
        theirs = interpreter.get_tensor(given["index"])
        (ours,) = computed(model, [inputs])
        np.testing.assert_allclose(ours.reshape(theirs.shape), theirs, rtol=1e-4, atol=1e-5)


def test_a_sequential_model_may_name_its_input_alone():
    layer = {"class_name": "Dense", "config": {"name": "scores", "units": 3}}
    config = {"name": "net", "layers": [layer], "build_input_shape": [None, 5]}
    model = build_model({"class_name": "Sequential", "config": config}, Rewriting())
    assert model.input_shape == (None, 5) and model.get_layer("scores").kernel.shape == (5, 3)
