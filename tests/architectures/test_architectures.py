"""The nets: parameter counts of their sources, shapes, arguments, published weights."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_compress import architectures
from keras_compress.errors import KerasCompressError

COUNTS = [
    (architectures.lenet_300_100, {}, 266_610),
    (architectures.lenet_5, {}, 431_080),
    (architectures.resnet8, {}, 78_666),
    (architectures.digits_cnn, {}, 85_066),
    (architectures.small_cnn, {"input_shape": (32, 32, 3), "classes": 10}, 81_690),
]
IDS = [build.__name__ for build, _, _ in COUNTS]


@pytest.mark.parametrize(("build", "arguments", "count"), COUNTS, ids=IDS)
def test_parameter_count_is_that_of_the_docstring(build, arguments, count):
    assert build(**arguments).count_params() == count
    assert f"{count:,} parameters" in build.__doc__ or f"{count:,} on" in build.__doc__


def test_lenet_layers_have_the_sizes_of_deep_compression_tables_2_and_3():
    weights = {
        layer.name: int(np.prod(layer.kernel.shape))
        for layer in architectures.lenet_5().layers
        if layer.weights
    }
    assert weights == {"conv1": 500, "conv2": 25_000, "ip1": 400_000, "ip2": 5_000}
    weights = {
        layer.name: int(np.prod(layer.kernel.shape))
        for layer in architectures.lenet_300_100().layers
        if layer.weights
    }
    assert weights == {"ip1": 235_200, "ip2": 30_000, "ip3": 1_000}


@pytest.mark.parametrize(("build", "arguments", "count"), COUNTS, ids=IDS)
def test_other_classes_logits_and_name(build, arguments, count):
    arguments = {**arguments, "classes": 3}
    model = build(**arguments, classifier_activation=None, name="mine")
    assert model.name == "mine"
    assert model.output_shape == (None, 3)
    assert model.layers[-1].activation is keras.activations.linear
    softmax = build(**arguments)
    image = np.random.default_rng(0).random((2, *model.input_shape[1:]), dtype="float32")
    np.testing.assert_allclose(softmax.predict(image, verbose=0).sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize(("build", "arguments", "count"), COUNTS, ids=IDS)
def test_stock_layers_only(build, arguments, count):
    model = build(**arguments)
    assert all(type(layer).__module__.startswith("keras.") for layer in model.layers)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 8, 9, 16, 33])
@pytest.mark.parametrize("channels", [1, 3])
def test_small_cnn_takes_any_image(size, channels):
    model = architectures.small_cnn((size, size + 3, channels), 5)
    assert model(np.zeros((1, size, size + 3, channels), "float32")).shape == (1, 5)


@pytest.mark.parametrize(
    "shape", [(28, 28), (28, 28, 1, 1), (28, 28, 0), (28, 28.0, 1), 28, (3, 28, 1), (True, 28, 1)]
)
def test_bad_input_shape_is_named(shape):
    with pytest.raises(KerasCompressError, match="input_shape="):
        architectures.lenet_5(shape)


@pytest.mark.parametrize("classes", [0, 1, -3, 2.0, True, None])
def test_bad_classes_are_named(classes):
    with pytest.raises(KerasCompressError, match="classes="):
        architectures.lenet_300_100(classes=classes)


def test_resnet8_takes_the_weights_mlperf_tiny_publishes(shared_data):
    published = keras.models.load_model(
        shared_data / "models/mlperf_tiny/pretrainedResnet.h5", compile=False
    )
    ours = architectures.resnet8()
    ours.set_weights(published.get_weights())
    images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3)).astype("float32")
    np.testing.assert_allclose(
        ours.predict(images, verbose=0), published.predict(images, verbose=0), atol=1e-5
    )
