"""`.net` files of Deep Compression, and `.h5` files without top given to a net in order."""

from __future__ import annotations

import struct

import h5py
import keras
import numpy as np
import pytest

from keras_compress import architectures, loading
from keras_compress.errors import KerasCompressError, ModelFileError


def net(filters=4):
    """Two convolutions; a few shared values, and runs of zeros longer than a gap holds."""
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(filters, 3, activation="relu", name="first"),
            layers.Conv2D(5, 1, name="second"),
        ],
        name="net",
    )
    generator = np.random.default_rng(0)
    for layer in model.layers:
        values = generator.choice(
            [0, 0.5, -0.25, 2.0], layer.kernel.shape, p=[0.9, 0.05, 0.03, 0.02]
        )
        layer.kernel.assign(values)
        layer.bias.assign(generator.normal(size=layer.bias.shape))
    return model


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "a.net"
    assert loading.save_deep_compressed(net(), path) == path.stat().st_size
    return path


def damage(path, position, data):
    content = bytearray(path.read_bytes())
    content[position : position + len(data)] = data
    path.write_bytes(bytes(content))


def refuses(path, rule, model=None):
    model = model or net()
    before = model.get_weights()
    with pytest.raises(ModelFileError, match=rule):
        loading.load_deep_compressed(model, path)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_what_was_written_is_read(written):
    model = net()
    for layer in model.layers:
        layer.kernel.assign(layer.kernel * 0 + 1)
        layer.bias.assign(layer.bias * 0)
    loading.load_deep_compressed(model, written)
    assert all(
        np.array_equal(a, b) for a, b in zip(model.get_weights(), net().get_weights(), strict=True)
    )


def test_the_layout_is_the_published_one(tmp_path):
    """A file made by hand from the description: 18 zeros, one value, one zero, another value."""
    model = keras.Sequential(
        [keras.Input((4, 4, 3)), keras.layers.Conv2D(1, (3, 7), name="only", padding="same")]
    )
    codebook = np.zeros(256, "<f4")
    codebook[[7, 9]] = 1.5, -3
    codes, gaps = bytes([0, 7, 9]), bytes([15 | 2 << 4, 1])
    bias = struct.pack("<f", 0.25)
    path = tmp_path / "hand.net"
    path.write_bytes(struct.pack("<I", 3) + codebook.tobytes() + bias + codes + gaps)
    loading.load_deep_compressed(model, path)
    flat = np.asarray(model.layers[-1].kernel).transpose(3, 2, 0, 1).ravel()
    assert np.flatnonzero(flat).tolist() == [18, 20]
    assert flat[[18, 20]].tolist() == [1.5, -3] and float(model.layers[-1].bias[0]) == 0.25


def test_a_kernel_of_zeros(tmp_path):
    model = net()
    model.layers[0].kernel.assign(model.layers[0].kernel * 0)
    loading.save_deep_compressed(model, tmp_path / "zeros.net")
    other = net()
    loading.load_deep_compressed(other, tmp_path / "zeros.net")
    assert not np.asarray(other.layers[0].kernel).any()


@pytest.mark.parametrize("length", [0, 7, 500, -1])
def test_a_file_cut_short(written, length):
    written.write_bytes(written.read_bytes()[:length])
    refuses(written, "begins with a number|has .* bytes")


def test_trailing_bytes(written):
    written.write_bytes(written.read_bytes() + b"\0")
    refuses(written, "cut short, or of another net")


@pytest.mark.parametrize("count", [0, 109, 2**32 - 1])
def test_impossible_counts_are_refused_before_anything_is_made(written, count):
    damage(written, 0, struct.pack("<I", count))
    refuses(written, "as many entries as it has weights")


def test_an_entry_beyond_the_kernel(written):
    count = struct.unpack("<I", written.read_bytes()[:4])[0]
    gaps = 8 + 1024 + 4 * 4 + count
    damage(written, gaps, b"\xff" * ((count - 1) // 2 + 1))
    refuses(written, "lie within")


@pytest.mark.parametrize("position", [8, 8 + 40, 8 + 1024])
def test_numbers_that_are_none(written, position):
    damage(written, position, struct.pack("<f", float("nan")))
    refuses(written, "finite")


def test_a_file_of_another_net(written):
    refuses(written, "another net", net(filters=3))


def test_nets_that_a_file_cannot_hold(tmp_path):
    dense = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model = net()
    model.layers[0].kernel.assign(
        np.random.default_rng(0).normal(size=model.layers[0].kernel.shape)
    )
    large = keras.Sequential([keras.Input((4, 4, 64)), keras.layers.Conv2D(8, 1)])
    for unfit, rule in ((dense, "nothing else"), (large, "at most 255")):
        with pytest.raises(ModelFileError, match=rule):
            loading.save_deep_compressed(unfit, tmp_path / "no.net")
    assert not (tmp_path / "no.net").exists()
    with pytest.raises(KerasCompressError, match="Can't read"):
        loading.load_deep_compressed(model, tmp_path / "missing.net")


def test_the_released_squeezenet(tmp_path, shared_data):
    released = shared_data / "models/squeezenet/compressed_SqueezeNet.net"
    model = architectures.squeezenet((227, 227, 3), classifier_padding=1)
    loading.load_deep_compressed(model, released)
    kernels = [layer.kernel for layer in model.layers if layer.weights]
    assert sum(int(np.count_nonzero(np.asarray(k))) for k in kernels) == 415_921
    # Its codebooks are not in order, ours are: other bytes, as many of them.
    assert loading.save_deep_compressed(model, tmp_path / "again.net") == 675_763
    again = architectures.squeezenet((227, 227, 3), classifier_padding=1)
    loading.load_deep_compressed(again, tmp_path / "again.net")
    assert all(
        np.array_equal(a, b) for a, b in zip(model.get_weights(), again.get_weights(), strict=True)
    )


@pytest.fixture
def without_top(tmp_path):
    """A file of weights as Keras 2 wrote them, of layers by other names."""
    path = tmp_path / "notop.h5"
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"block/a", b"relu"]
        file.attrs["keras_version"], file.attrs["backend"] = b"2.0.4", b"tensorflow"
        group = file.create_group("block/a")
        group.attrs["weight_names"] = [b"a_1/kernel:0", b"a_1/bias:0"]
        file.create_group("relu").attrs["weight_names"] = []
        for name, shape in (("a_1/kernel:0", (3, 3, 3, 4)), ("a_1/bias:0", (4,))):
            group.create_dataset(name, data=np.full(shape, 0.5, "float32"))
    return path


def test_weights_given_in_order(without_top):
    model = net()
    head = model.layers[1].get_weights()
    assert loading.load_weights(model, without_top, in_order=True) == ["second"]
    assert (np.asarray(model.layers[0].kernel) == 0.5).all()
    assert all(
        np.array_equal(a, b) for a, b in zip(head, model.layers[1].get_weights(), strict=True)
    )


def test_weights_of_another_variant_in_order(without_top):
    with pytest.raises(ModelFileError, match="has the shape"):
        loading.load_weights(net(filters=3), without_top, in_order=True)
    small = keras.Sequential([keras.Input((4,)), keras.layers.ReLU()], name="none")
    with pytest.raises(ModelFileError, match="those of 1 layers"):
        loading.load_weights(small, without_top, in_order=True)


@pytest.mark.parametrize("length", [0, 40, 1000, -300])
def test_a_damaged_file_of_weights_changes_nothing(without_top, length):
    without_top.write_bytes(without_top.read_bytes()[:length])
    model = net()
    before = model.get_weights()
    with pytest.raises(ModelFileError, match=r"damaged|HDF5|\.h5"):
        loading.load_weights(model, without_top, in_order=True)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_weights_of_another_width_by_name(tmp_path):
    narrow = architectures.mobilenet((32, 32, 3), 4, width=1 / 32)
    narrow.save(tmp_path / "narrow.h5")
    wide = architectures.mobilenet((32, 32, 3), 4, width=1 / 16)
    with pytest.raises(ModelFileError, match=r"conv1/kernel has the shape \(3, 3, 3, 2\)"):
        loading.load_weights(wide, tmp_path / "narrow.h5")


def test_squeezenet_1_1_is_no_squeezenet_1_0(shared_data):
    path = shared_data / "models/keras_squeezenet"
    file = path / "squeezenet_weights_tf_dim_ordering_tf_kernels_notop.h5"
    with pytest.raises(ModelFileError, match=r"conv1/kernel has the shape \(7, 7, 3, 96\)"):
        loading.load_weights(architectures.squeezenet(), file, in_order=True)
    released = shared_data / "models/squeezenet/compressed_SqueezeNet.net"
    with pytest.raises(ModelFileError, match="another net"):
        loading.load_deep_compressed(architectures.squeezenet(version="1.1"), released)
