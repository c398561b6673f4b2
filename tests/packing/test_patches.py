"""Patches: a file restored from a small one and the file it was made for."""

from __future__ import annotations

import numpy as np
import pytest

from keras_compress import packing
from keras_compress.errors import KerasCompressError, PackedFileError
from tests.packing.test_commands import run
from tests.packing.tflite_models import build_model, clustered, every_kind


def check(new: bytes, old: bytes) -> bytes:
    patch = packing.pack(new, base=old)
    assert packing.unpack(patch, base=old) == new
    packing.verify(patch, base=old)
    assert len(patch) <= len(new) + 64
    return patch


def moved(weights: np.ndarray, share: float, seed: int = 0) -> np.ndarray:
    """The weights with other shared values, and a share of them at a neighbouring one."""
    rng = np.random.default_rng(seed)
    values, index = np.unique(weights, return_inverse=True)
    step = rng.integers(-1, 2, index.shape) * (rng.uniform(size=index.shape) < share)
    index = np.clip(index + step, 0, len(values) - 1)
    shifted = (values * np.float32(1.003)).astype(np.float32)
    return shifted[index].reshape(weights.shape)


def test_the_same_file_takes_next_to_nothing():
    model = build_model(every_kind(), per_channel_scales=24)
    assert len(check(model, model)) < 100


def test_one_changed_tensor_costs_what_it_holds():
    arrays = every_kind()
    old = build_model(arrays)
    arrays["int8"] = arrays["int8"][::-1].copy()
    new = build_model(arrays)
    alone = len(packing.pack(build_model({"int8": arrays["int8"]})))
    assert len(check(new, old)) < alone


def test_clustered_anew():
    weights = clustered((120, 500), 17, 0.8)
    old = build_model({"w": weights, "b": np.arange(9, dtype=np.float32)})
    new = build_model({"w": moved(weights, 0.05), "b": np.arange(9, dtype=np.float32) * 2})
    assert len(check(new, old)) < len(packing.pack(new)) / 3


def test_integers_quantized_anew():
    rng = np.random.default_rng(1)
    weights = np.clip(rng.normal(size=(60, 3, 3, 40)) * 30, -127, 127)
    old = build_model({"w": weights.astype(np.int8)})
    near = np.clip(weights + rng.normal(size=weights.shape) * 0.5, -127, 127)
    new = build_model({"w": near.astype(np.int8)})
    assert len(check(new, old)) < len(packing.pack(new)) / 2


@pytest.mark.parametrize(
    ("new", "old"),
    [
        (b"", b""),
        (b"", b"old"),
        (b"new", b""),
        (b"a text that comes again" * 40, b"a text that comes again" * 30),
        (bytes(range(256)) * 9, build_model({"w": np.ones((5, 9), np.float32)})),
        (build_model({"w": np.ones((50, 9), np.float32)}), bytes(range(256)) * 9),
        (
            build_model({"w": clustered((20, 30), 9, 0.6)}),
            build_model({"v": clustered((30, 20), 5, 0.6)}),
        ),
    ],
    ids=range(7),
)  # fmt: skip
def test_files_that_have_little_in_common(new, old):
    check(new, old)


def test_every_kind_of_tensor_changed():
    old = every_kind()
    new = {
        name: np.roll(values, 7) if i % 2 else values * values.dtype.type(2)
        for i, (name, values) in enumerate(old.items())
    }
    check(build_model(new), build_model(old))
    reordered = dict(reversed(list(new.items())))
    check(build_model(reordered), build_model(old))


def test_a_wrong_base_is_one_clear_error(tmp_path):
    weights = clustered((40, 50), 9, 0.5)
    old, new = build_model({"w": weights}), build_model({"w": moved(weights, 0.1)})
    patch = packing.pack(new, base=old)
    for base in (new, old[:-1], b""):
        with pytest.raises(PackedFileError, match=f"of {len(old)} bytes. Received: another file"):
            packing.unpack(patch, base=base)
    for function in (packing.unpack, packing.verify):
        with pytest.raises(PackedFileError, match="Received: no base"):
            function(patch)
    with pytest.raises(KerasCompressError, match="`base` must be bytes"):
        packing.pack(new, base="old.tflite")
    # A file that is no patch needs none, and takes any.
    assert packing.unpack(packing.pack(new), base=old) == new


def test_damaged_patches(tmp_path):
    weights = clustered((12, 20), 5, 0.6)
    old, new = build_model({"w": weights}), build_model({"w": moved(weights, 0.2)})
    patch = packing.pack(new, base=old)
    for at in range(len(patch)):
        for bit in (0, 3, 7):
            broken = bytearray(patch)
            broken[at] ^= 1 << bit
            with pytest.raises(PackedFileError):
                packing.unpack(bytes(broken), base=old)
        with pytest.raises(PackedFileError):
            packing.unpack(patch[:at], base=old)


def test_from_the_command_line(tmp_path):
    weights = clustered((40, 50), 9, 0.5)
    old, new, patch = (tmp_path / name for name in ("old.tflite", "new.tflite", "new.kcz"))
    old.write_bytes(build_model({"w": weights}))
    new.write_bytes(build_model({"w": moved(weights, 0.1)}))
    assert run("pack", new, "--base", old) == 0
    assert run("unpack", patch, "--base", old, "--check") == 0
    assert run("unpack", patch, "--base", old, "-o", tmp_path / "again") == 0
    assert (tmp_path / "again").read_bytes() == new.read_bytes()
    with pytest.raises(PackedFileError, match="is a patch"):
        run("unpack", patch, "-o", tmp_path / "none")
    assert not (tmp_path / "none").exists()
    with packing.open_packed(patch, base=old.read_bytes()) as file:
        np.testing.assert_array_equal(file.tensor("w"), moved(weights, 0.1))


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_floats_trained_on(dtype):
    rng = np.random.default_rng(2)
    weights = rng.normal(size=(30, 3, 3, 40)).astype(dtype)
    step = 1 + rng.normal(size=weights.shape) * (1e-3 if dtype == "float32" else 4e-3)
    old, new = build_model({"w": weights}), build_model({"w": (weights * step).astype(dtype)})
    assert len(check(new, old)) < 0.75 * len(packing.pack(new))
    # Signs, zeros of both signs, and numbers that are none.
    odd = (weights * step).astype(dtype)
    odd[0, 0, 0, :8] = [0.0, -0.0, np.inf, -np.inf, np.nan, -np.nan, 1e-7, -1e-7]
    odd[1] *= -1
    check(build_model({"w": odd}), old)
    check(old, build_model({"w": odd}))
