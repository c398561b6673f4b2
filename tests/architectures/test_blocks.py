"""Blocks compute what their papers say, train, export with built-in ops, or refuse."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_compress.architectures import (
    blocks,
    cifar_resnet,
    cifar_vgg16,
    mobilenet,
    shufflenet,
    shufflenet_v2,
    squeezenet,
)
from keras_compress.architectures.classifier import classify, scaled_width
from keras_compress.errors import KerasCompressError


def test_shuffle_deals_channels_out():
    inputs = keras.Input((2, 3, 6))
    model = keras.Model(inputs, blocks.channel_shuffle(inputs, 3, name="shuffle"))
    x = np.random.default_rng(0).normal(size=(2, 2, 3, 6)).astype("float32")
    # Channel i * n + j goes to j * groups + i.
    np.testing.assert_array_equal(model.predict(x, verbose=0), x[..., [0, 2, 4, 1, 3, 5]])


def test_a_simple_bypass_adds_the_input():
    inputs = keras.Input((4, 4, 8))
    outputs = blocks.fire(inputs, 2, 4, 4, bypass="simple", name="fire")
    model = keras.Model(inputs, outputs)
    for layer in model.layers:
        layer.set_weights([np.zeros_like(w) for w in layer.get_weights()])
    x = np.random.default_rng(0).normal(size=(1, 4, 4, 8)).astype("float32")
    np.testing.assert_allclose(model.predict(x, verbose=0), x)


def test_a_padded_shortcut_takes_every_second_pixel_between_channels_of_zeros():
    inputs = keras.Input((4, 4, 2))
    model = keras.Model(inputs, blocks.basic_residual(inputs, 6, strides=2, name="block"))
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            layer.set_weights([np.zeros_like(w) for w in layer.get_weights()])
    x = np.random.default_rng(0).random((1, 4, 4, 2)).astype("float32")
    expected = np.zeros((1, 2, 2, 6), "float32")
    expected[..., 2:4] = x[:, ::2, ::2]
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, atol=1e-6)


def test_squeeze_excite_scales_channels_by_their_gate():
    inputs = keras.Input((3, 3, 8))
    model = keras.Model(inputs, blocks.squeeze_excite(inputs, 4, name="se"))
    x = np.random.default_rng(0).random((1, 3, 3, 8)).astype("float32")
    reduce, expand = (model.get_layer(f"se_{part}").get_weights() for part in ("reduce", "expand"))
    hidden = np.maximum(x.mean((1, 2)) @ reduce[0][0, 0] + reduce[1], 0)
    gate = 1 / (1 + np.exp(-(hidden @ expand[0][0, 0] + expand[1])))
    np.testing.assert_allclose(model.predict(x, verbose=0), x * gate[:, None, None], rtol=1e-5)


def test_an_inverted_residual_is_added_where_shapes_stay():
    inputs = keras.Input((4, 4, 8))
    same = keras.Model(inputs, blocks.inverted_residual(inputs, 8, squeeze_ratio=4, name="a"))
    wider = keras.Model(inputs, blocks.inverted_residual(inputs, 12, strides=2, name="b"))
    assert "a_add" in [layer.name for layer in same.layers]
    assert wider.output_shape == (None, 2, 2, 12)
    assert "b_add" not in [layer.name for layer in wider.layers]
    assert wider.get_layer("b_expand").filters == 48


def test_the_second_unit_of_v2_passes_half_of_the_channels():
    inputs = keras.Input((4, 4, 8))
    model = keras.Model(inputs, blocks.shuffle_unit_v2(inputs, 8, name="unit"))
    x = np.random.default_rng(0).normal(size=(1, 4, 4, 8)).astype("float32")
    # Shuffled in two groups: what passed has every second place.
    np.testing.assert_array_equal(model.predict(x, verbose=0)[..., ::2], x[..., :4])


def _one_of_each() -> keras.Model:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 4))
    x = blocks.fire(inputs, 2, 4, 4, bypass="complex", name="fire")
    x = blocks.depthwise_separable(x, 8, name="separable")
    x = blocks.inverted_residual(x, 8, expansion=2, squeeze_ratio=4, name="inverted")
    x = blocks.basic_residual(x, 12, strides=2, name="residual")
    x = blocks.shuffle_unit(x, 16, groups=2, strides=2, name="shuffle")
    x = blocks.shuffle_unit_v2(x, 16, name="shuffle_v2")
    return keras.Model(inputs, classify(x, 4, "softmax"))


def test_blocks_train_save_and_load(tmp_path):
    model = _one_of_each()
    x = np.random.default_rng(0).random((8, 8, 8, 4)).astype("float32")
    before = [w.copy() for w in model.get_weights()]
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    model.fit(x, np.arange(8) % 4, batch_size=8, epochs=1, verbose=0)
    assert any((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))
    model.save(tmp_path / "net.keras")
    loaded = keras.models.load_model(tmp_path / "net.keras")
    np.testing.assert_allclose(loaded.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-5)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the converter is TensorFlow's")
def test_blocks_export_with_built_in_ops():
    from keras_compress import exporter

    x = np.random.default_rng(0).random((4, 8, 8, 4)).astype("float32")
    exported = exporter.convert(_one_of_each(), samples=x)
    assert exported.verification.max_abs_error < 1e-5


@pytest.mark.parametrize(
    "make",
    [
        lambda: squeezenet((16, 16, 3), 4, width=0.7, small_images=True, bypass="complex"),
        lambda: mobilenet((16, 16, 3), 4, width=0.25, small_images=True),
        lambda: shufflenet((16, 16, 3), 4, groups=2, width=0.25, small_images=True),
        lambda: shufflenet_v2((16, 16, 3), 4, width=0.5, small_images=True),
        lambda: cifar_resnet((16, 16, 3), 4, depth=8, width=0.5),
    ],
)
def test_small_forms_end_in_the_classes(make):
    model = make()
    assert model.output_shape == (None, 4)
    x = np.random.default_rng(0).random((2, 16, 16, 3)).astype("float32")
    assert np.isfinite(keras.ops.convert_to_numpy(model(x))).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: blocks.channel_shuffle(x, 3, name="n"), "divide into the groups"),
        (lambda x: blocks.channel_shuffle(x, 0, name="n"), "groups=0 at 'n'"),
        (lambda x: blocks.conv_bn(x, 9, groups=2, name="n"), "8 and 9 channels, groups=2"),
        (lambda x: blocks.conv_bn(x, 9, groups=3, name="n"), "8 and 9 channels, groups=3"),
        (lambda x: blocks.conv_bn(x, 8, groups=2.0, name="n"), "divide into the groups"),
        (lambda x: blocks.shuffle_unit(x, 8, groups=0, name="n"), "divide into the groups"),
        (lambda x: blocks.shuffle_unit(x, 8, groups=2, first_groups=3, name="n"), "groups=3"),
        (lambda x: blocks.fire(x, 1, 2, 3, bypass="simple", name="n"), "as many channels"),
        (lambda x: blocks.fire(x, 1, 2, 3, bypass="none", name="n"), "bypass"),
        (lambda x: blocks.shuffle_unit(x, 16, groups=2, name="n"), "strides=1 keeps"),
        (lambda x: blocks.shuffle_unit(x, 17, groups=2, strides=2, name="n"), "divide into"),
        (lambda x: blocks.shuffle_unit_v2(x, 9, strides=2, name="n"), "even number"),
        (lambda x: blocks.basic_residual(x, 4, name="n"), "fewer channels"),
        (lambda x: blocks.basic_residual(x, 8, shortcut="x", name="n"), "shortcut"),
        (lambda x: blocks.squeeze_excite(x, 0, name="n"), "ratio"),
        (lambda _: squeezenet((34, 34, 3)), "at least 35x35"),
        (lambda _: squeezenet(version="1.2"), "version"),
        (lambda _: squeezenet(bypass="both"), "bypass"),
        (lambda _: squeezenet(width=0), "width"),
        (lambda _: shufflenet(groups=5), "groups"),
        (lambda _: shufflenet(width=0.0), "width"),
        (lambda _: shufflenet_v2(width=0.75), "width"),
        (lambda _: shufflenet(width=float("nan")), "finite number above 0"),
        (lambda _: mobilenet(width=-1.0), "width"),
        (lambda _: mobilenet(width=0.02), "at least 0.03125"),
        (lambda _: mobilenet((32, 32, 3), width="1", small_images=True), "width='1'"),
        (lambda _: cifar_resnet(depth=20.5), "6n"),
        (lambda _: cifar_resnet(depth=21), "6n"),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(KerasCompressError, match=message):
        call(keras.Input((4, 4, 8)))


@pytest.mark.parametrize(
    ("build", "side"),
    [
        (lambda n: mobilenet((n, n, 3), 4), 32),
        (lambda n: mobilenet((n, n, 3), 4, small_images=True), 8),
        (lambda n: shufflenet((n, n, 3), 4), 32),
        (lambda n: shufflenet((n, n, 3), 4, small_images=True), 8),
        (lambda n: shufflenet_v2((n, n, 3), 4), 32),
        (lambda n: shufflenet_v2((n, n, 3), 4, small_images=True), 8),
        (lambda n: squeezenet((n, n, 3), 4, small_images=True), 8),
        (lambda n: cifar_resnet((n, n, 3), 4), 8),
    ],
)
def test_images_too_small_for_the_strides_are_refused(build, side):
    with pytest.raises(KerasCompressError, match=f"at least {side}x{side} pixels"):
        build(side - 1)


@pytest.mark.parametrize(
    ("build", "side"),
    [
        (lambda n: squeezenet((n, n, 3), 4), 35),
        (lambda n: squeezenet((n, n, 3), 4, version="1.1"), 35),
        (lambda n: cifar_vgg16((n, n, 3), 4, width=0.1), 16),
    ],
)
def test_the_smallest_image_leaves_a_pixel_where_nothing_is_padded(build, side):
    with pytest.raises(KerasCompressError, match=f"at least {side}x{side} pixels"):
        build(side - 1)
    maps = [layer.output.shape for layer in build(side).layers if len(layer.output.shape) == 4]
    assert all(min(shape[1:3]) >= 1 for shape in maps)


def test_a_shuffle_of_unknown_size_is_refused():
    with pytest.raises(KerasCompressError, match="known size"):
        blocks.channel_shuffle(keras.Input((None, None, 8)), 2, name="n")


@pytest.mark.parametrize(
    ("filters", "width", "divisor", "expected"),
    [(32, 1.0, 8, 32), (32, 0.25, 8, 8), (64, 0.1, 8, 8), (100, 0.5, 8, 48), (24, 0.5, 8, 16)],
)
def test_scaled_widths(filters, width, divisor, expected):
    assert scaled_width(filters, width, divisor) == expected
