"""The summary counts what a reader can count by hand."""

from __future__ import annotations

import keras
import pytest

from keras_compress import binary
from keras_compress.architectures import binary_resnet8, birealnet_18, vgg_small
from keras_compress.errors import KerasCompressError

pytestmark = pytest.mark.backend_independent


def test_parameters_bytes_and_macs_of_a_small_net():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Conv2D(4, 3, name="stem"),
            binary.BinaryConv2D(5, 3, padding="same", groups=1, name="xnor"),
            binary.BinaryDepthwiseConv2D(3, name="depthwise"),
            binary.BinaryConv2D(2, 1, input_quantizer=None, name="bwn"),
            keras.layers.Flatten(),
            binary.BinaryDense(3, kernel_quantizer="ste_tern", name="ternary"),
        ],
        name="counted",
    )
    summary = binary.summarize(model)
    rows = {row.layer: row for row in summary.layers}
    assert rows["stem"].real_macs == 6 * 6 * 4 * 27 and rows["stem"].bytes == 4 * 112
    xnor = rows["xnor"]
    assert (xnor.binary_macs, xnor.real_macs) == (6 * 6 * 5 * 36, 0)
    # 180 bits are 22.5 bytes; five alphas of four bytes.
    assert (xnor.low_bit_parameters, xnor.scales, xnor.bytes) == (180, 5, 23 + 20)
    assert rows["depthwise"].binary_macs == 4 * 4 * 5 * 9
    assert (rows["bwn"].input_bits, rows["bwn"].real_macs) == (32, 4 * 4 * 2 * 5)
    assert (rows["ternary"].kernel_bits, rows["ternary"].bytes) == (2, 96 * 2 // 8)
    assert summary.one_bit_parameters == 180 + 45 + 10
    assert summary.float_bytes == 4 * model.count_params()
    assert summary.to_dict()["binary_macs"] == summary.binary_macs
    assert "counted" in str(summary) and "6,480" in str(summary)


def test_shared_and_nested_layers_count_each_use():
    shared = binary.BinaryDense(4, name="shared")
    inner_in = keras.Input((4,))
    inner = keras.Model(inner_in, shared(shared(inner_in)), name="inner")
    outer_in = keras.Input((4,))
    summary = binary.summarize(keras.Model(outer_in, inner(outer_in)))
    (row,) = summary.layers
    assert (row.layer, row.binary_macs, row.parameters) == ("inner/shared", 32, 16)
    assert row.output_shape is None


def test_an_unknown_size_is_asked_for():
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, binary.BinaryConv2D(2, 3)(inputs))
    with pytest.raises(KerasCompressError, match="input_shape"):
        binary.summarize(model)
    assert binary.summarize(model, (8, 8, 3)).binary_macs == 6 * 6 * 2 * 27
    with pytest.raises(KerasCompressError, match="built"):
        binary.summarize("model")


@pytest.mark.parametrize("method", ["float", "bwn", "xnor", "xnor_k"])
@pytest.mark.parametrize("build", [binary_resnet8, vgg_small, birealnet_18])
def test_the_nets_build_in_every_method(build, method):
    model = build(input_shape=(32, 32, 3), classes=7, method=method, width=0.125)
    assert model.output_shape == (None, 7)
    layers = [layer for layer in model.layers if isinstance(layer, binary.BinaryConv2D)]
    expected = {"binary_resnet8": 6, "vgg_small": 5, "birealnet_18": 16}[build.__name__]
    assert len(layers) == (0 if method == "float" else expected)
    assert all(layer.input_scale == (method == "xnor_k") for layer in layers)
    again = keras.Model.from_config(model.get_config())
    assert again.count_params() == model.count_params()
    if build is not birealnet_18 and method != "float":
        other = build(input_shape=(32, 32, 3), method=method, order="CBAP", width=0.125)
        assert any(isinstance(layer, binary.Quantize) for layer in other.layers) == (
            method != "bwn"
        )
    with pytest.raises(KerasCompressError):
        build(method="sharp")
    with pytest.raises(KerasCompressError):
        build(width=0)


@pytest.mark.slow
def test_birealnet_18_is_small_enough_for_a_phone():
    summary = binary.summarize(birealnet_18())
    assert summary.one_bit_parameters == 10_985_472
    assert 1.6e9 < summary.binary_macs < 1.7e9
