from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_compress import exporter
from keras_compress.errors import ExportError, ModelFileError
from tests.training import subclassed

layers = keras.layers


def block(x, filters, strides, name, padding="same"):
    x = layers.DepthwiseConv2D(3, strides, padding=padding, use_bias=False, name=f"{name}_dw")(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    x = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_pw")(x)
    return layers.ReLU(6.0)(layers.BatchNormalization()(x))


def mobile_shaped(sparsity=0.8, first_kernel=3, extra=None):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((32, 32, 3))
    x = layers.Conv2D(8, first_kernel, 2, padding="same", name="stem", activation="relu")(inputs)
    x = block(x, 16, 1, "one")
    x = block(x, 24, 2, "two")
    if extra is not None:
        x = extra(x)
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, layers.Dense(4, name="head")(x))
    generator = np.random.default_rng(0)
    for name in ("one_pw", "two_pw"):
        kernel = model.get_layer(name).kernel
        kernel.assign(np.array(kernel) * (generator.random(kernel.shape) >= sparsity))
    return model


def check(model, sparse=True, **kwargs):
    with pytest.warns() as notes:
        import warnings

        warnings.warn("one at least", UserWarning, stacklevel=1)
        exported = exporter.convert(model, sparse=sparse, verify=False, **kwargs)
    return exporter.check_sparse_runtime(exported.tflite), [str(note.message) for note in notes]


def test_paddings_made_symmetric_fulfil_every_condition():
    model = mobile_shaped()
    found, notes = check(model)
    failed = found.failed
    assert [condition.rule for condition in failed] == [
        "a convolution of stride 2 is padded by exactly 1 on each side"
    ] * 2
    assert all("pad_for_sparse_kernels" in condition.remedy for condition in failed)
    assert any("run the sparse kernels densely: 2 of its conditions" in note for note in notes)
    ready = exporter.pad_for_sparse_kernels(model)
    found, notes = check(ready)
    assert found.holds and not found.failed
    assert not any("densely" in note for note in notes)
    assert found.to_dict()["holds"] is True


def test_the_copy_keeps_weights_and_sizes_and_the_model_stays_as_it_is():
    model = mobile_shaped()
    before = model.get_config()
    ready = exporter.pad_for_sparse_kernels(model)
    assert ready.output_shape == model.output_shape
    for a, b in zip(model.get_weights(), ready.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert model.get_config() == before
    # Shifted by a pixel and no more: an image moved the other way looks the same inside.
    x = np.random.default_rng(0).random((2, 32, 32, 3)).astype("float32")
    stem = keras.Model(model.inputs, model.get_layer("stem").output)
    moved = keras.Model(ready.inputs, ready.get_layer("stem").output)
    shifted = np.pad(x, ((0, 0), (1, 0), (1, 0), (0, 0)))[:, :32, :32]
    np.testing.assert_allclose(
        np.array(stem(shifted))[:, 1:-1, 1:-1], np.array(moved(x))[:, 1:-1, 1:-1], atol=1e-5
    )


def test_the_asymmetric_padding_of_kerass_mobilenet_is_made_symmetric():
    model = keras.applications.MobileNet((32, 32, 3), alpha=0.25, weights=None, classes=3)
    ready = exporter.pad_for_sparse_kernels(model)
    paddings = {layer.padding for layer in ready.layers if isinstance(layer, layers.ZeroPadding2D)}
    assert paddings == {((1, 1), (1, 1))}
    assert ready.output_shape == model.output_shape


def failing(model, **kwargs):
    return {c.rule.split(" (")[0]: c for c in check(model, **kwargs)[0].failed}


def test_too_few_zeros_are_named():
    failed = failing(exporter.pad_for_sparse_kernels(mobile_shaped(sparsity=0.5)))
    rule = "more than two thirds of the weights of 1x1 convolutions are zero"
    assert rule in failed and "prune" in failed[rule].remedy


def test_dense_storage_is_named():
    failed = failing(exporter.pad_for_sparse_kernels(mobile_shaped()), sparse=False)
    assert list(failed) == ["kernels are stored sparse"]
    assert "sparse=True" in failed["kernels are stored sparse"].remedy


def test_a_full_convolution_in_the_middle_is_named_where_it_is():
    model = mobile_shaped(extra=layers.Conv2D(8, 3, padding="same", name="full"))
    condition = failing(exporter.pad_for_sparse_kernels(model))[
        "convolutions after the first are 1x1 with stride 1, or depthwise"
    ]
    assert "full" in condition.where and "3x3 over 24 channels" in condition.found


def test_another_beginning_and_another_end_are_named():
    failed = failing(exporter.pad_for_sparse_kernels(mobile_shaped(first_kernel=5)))
    assert "the first convolution has a kernel of 3x3 over 3 channels" in failed
    model = mobile_shaped(extra=layers.MaxPooling2D())
    failed = failing(exporter.pad_for_sparse_kernels(model))
    assert any("MAX_POOL_2D" in condition.found for condition in failed.values())


def test_integers_and_nets_without_convolutions_are_named():
    x = np.random.default_rng(0).random((8, 32, 32, 3)).astype("float32")
    model = exporter.pad_for_sparse_kernels(mobile_shaped())
    failed = failing(model, sparse=False, precision="int8", representative_data=x)
    assert "the net computes in float32" in failed
    dense = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
    assert "the net has 1x1 convolutions" in failing(dense)


def test_what_can_not_be_checked_or_changed_is_refused():
    with pytest.raises(ModelFileError):
        exporter.check_sparse_runtime(b"not a model at all")
    with pytest.raises(ExportError, match="subclassed"):
        exporter.pad_for_sparse_kernels(subclassed())
    with pytest.raises(ExportError, match="built"):
        exporter.pad_for_sparse_kernels(keras.Sequential([layers.Dense(2)]))
    odd = keras.Sequential(
        [keras.Input((15, 15, 3)), layers.Conv2D(4, 5, 2, padding="same"), layers.Flatten()]
    )
    assert exporter.pad_for_sparse_kernels(odd).output_shape == odd.output_shape
