"""Data from outside: every layout that fits is taken, everything else is one clear error."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from keras_compress.errors import KerasCompressError
from keras_compress.recipes.image_data import load_digits, load_npz


def arrays(shape=(6, 5), train=20, test=10, dtype=np.uint8):
    random = np.random.default_rng(0)
    return {
        "x_train": random.integers(0, 200, (train, *shape)).astype(dtype),
        "y_train": np.arange(train) % 4,
        "x_test": random.integers(0, 256, (test, *shape)).astype(dtype),
        "y_test": np.arange(test) % 4,
    }


def save(path, **changed):
    content = {**arrays(), **changed}
    np.savez(path, **{key: value for key, value in content.items() if value is not None})
    return path


def test_digits_are_split_by_class_and_always_alike():
    data = load_digits()
    assert data.image_shape == (8, 8, 1)
    assert data.classes == 10
    assert (len(data.x_train), len(data.x_test)) == (1347, 450)
    assert data.x_train.dtype == np.float32
    assert data.x_train.min() == 0
    assert data.x_train.max() == 1
    counts = np.bincount(data.y_test)
    assert counts.min() >= 43
    np.testing.assert_array_equal(load_digits().x_test, data.x_test)


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 1), (6, 5, 3)])
@pytest.mark.parametrize("save_with", [np.savez, np.savez_compressed])
def test_grey_and_rgb_of_8_bits(tmp_path, shape, save_with):
    content = arrays(shape)
    save_with(tmp_path / "data.npz", **content)
    data = load_npz(tmp_path / "data.npz")
    assert data.source == "data.npz"
    assert data.image_shape == (6, 5, 3 if shape[-1] == 3 else 1)
    np.testing.assert_allclose(
        data.x_train.reshape(content["x_train"].shape), content["x_train"] / 255, rtol=1e-6
    )
    np.testing.assert_array_equal(data.y_test, content["y_test"])


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.int16, np.uint16])
def test_other_numbers_are_scaled_by_the_training_part(tmp_path, dtype):
    content = arrays(dtype=dtype)
    np.savez(tmp_path / "data.npz", **content)
    data = load_npz(tmp_path / "data.npz")
    assert (data.x_train.min(), data.x_train.max()) == (0, pytest.approx(1))
    assert data.x_test.max() > 1


def test_labels_in_a_column_and_fortran_order(tmp_path):
    content = arrays()
    save(
        tmp_path / "data.npz",
        y_train=content["y_train"][:, None].astype(np.uint8),
        x_train=np.asfortranarray(content["x_train"]),
    )
    data = load_npz(tmp_path / "data.npz")
    assert data.y_train.shape == (20,)
    np.testing.assert_allclose(data.x_train[..., 0], content["x_train"] / 255, rtol=1e-6)


BAD = {
    "no test images": ({"x_test": None}, "without x_test"),
    "two axes": ({"x_train": np.zeros((20, 30), np.uint8)}, "x_train.*must be"),
    "two channels": ({"x_train": np.zeros((20, 6, 5, 2), np.uint8)}, "x_train.*must be"),
    "other size": ({"x_test": np.zeros((10, 6, 6), np.uint8)}, "one size"),
    "no images": ({"x_test": np.zeros((0, 6, 5), np.uint8)}, "empty"),
    "text": ({"x_train": np.full((20, 6, 5), "a")}, "numbers"),
    "objects": ({"y_train": np.array([None] * 20)}, "numbers"),
    "complex": ({"x_train": np.ones((20, 6, 5), complex)}, "numbers"),
    "NaN": ({"x_train": np.full((20, 6, 5), np.nan)}, "NaN"),
    "one grey": ({"x_train": np.full((20, 6, 5), 7, np.uint8)}, "different pixels"),
    "huge images": ({"x_train": np.zeros((1, 2000, 5), np.uint8)}, "1024"),
    "label missing": ({"y_train": np.arange(19)}, "y_train.*one whole number"),
    "one-hot": ({"y_train": np.eye(20, 4, dtype=int)}, "y_train.*one whole number"),
    "float labels": ({"y_train": np.arange(20) % 4.0}, "y_train.*one whole number"),
    "negative": ({"y_test": np.arange(10) - 1}, "from 0 on"),
    "from one": ({"y_train": np.arange(20) % 4 + 1}, "every label from 0"),
    "far label": ({"y_train": np.append(np.arange(19) % 4, 10**9)}, "every label from 0"),
    "one class": ({"y_train": np.zeros(20, int)}, "every label from 0"),
    "unseen label": ({"y_test": np.arange(10)}, "y_test.*0 to 3"),
}


@pytest.mark.parametrize(("changed", "message"), BAD.values(), ids=BAD)
def test_what_does_not_fit_is_named(tmp_path, changed, message):
    with pytest.raises(KerasCompressError, match=message):
        load_npz(save(tmp_path / "data.npz", **changed))


def test_a_file_that_is_no_npz(tmp_path):
    path = tmp_path / "data.npz"
    with pytest.raises(KerasCompressError, match="Can't read"):
        load_npz(path)
    path.write_bytes(b"")
    with pytest.raises(KerasCompressError, match="npz"):
        load_npz(path)
    np.save(path.with_suffix(".npy"), np.zeros(3))
    with pytest.raises(KerasCompressError, match="npz"):
        load_npz(path.with_suffix(".npy"))
    with pytest.raises(KerasCompressError, match="Can't read"):
        load_npz(tmp_path)


def _member(header: bytes, body: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + body


@pytest.mark.parametrize(
    "member",
    [
        b"",
        b"\x93NUMPY",
        b"\x93NUMPY\x07\x00" + bytes(100),
        _member(b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000, 28, 28)}\n"),
        _member(b"{'descr': '|u1', 'fortran_order': False, 'shape': (-4, 28, 28)}\n"),
        _member(b"{'descr': '|u1', 'fortran_order': False, 'shape': (4, 28, 28)}\n", bytes(5)),
        _member(b"{'descr': '|O', 'fortran_order': False, 'shape': (1,)}\n", bytes(8)),
        _member(b"__import__('os').system('true')\n"),
        _member(b"((((((\n"),
        _member(b"{'descr': '|u1'}" + b" " * 20_000),
    ],
    ids=[
        "empty",
        "cut magic",
        "new version",
        "vast shape",
        "negative shape",
        "cut body",
        "object",
        "code",
        "no syntax",
        "long header",
    ],
)
def test_hostile_members(tmp_path, member):
    path = save(tmp_path / "good.npz")
    with zipfile.ZipFile(path) as good, zipfile.ZipFile(tmp_path / "bad.npz", "w") as bad:
        for name in good.namelist():
            bad.writestr(name, member if name == "x_train.npy" else good.read(name))
    with pytest.raises(KerasCompressError):
        load_npz(tmp_path / "bad.npz")


def test_every_cut_and_many_flips_of_a_file_give_our_error_or_the_data(tmp_path):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays())
    whole, path = buffer.getvalue(), tmp_path / "data.npz"
    flips = np.random.default_rng(1).integers(0, 8 * len(whole), 300)
    damaged = [whole[:size] for size in range(0, len(whole), 7)]
    for bit in flips:
        data = bytearray(whole)
        data[bit // 8] ^= 1 << (bit % 8)
        damaged.append(bytes(data))
    refused = 0
    for data in damaged:
        path.write_bytes(data)
        try:
            load_npz(path)
        except KerasCompressError:
            refused += 1
    assert refused > len(damaged) // 2
