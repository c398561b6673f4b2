"""Packed files in pieces: from file to file, in threads, one tensor at a time, and checks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import keras_compress
from keras_compress import packing
from keras_compress.errors import KerasCompressError, PackedFileError
from tests.packing.tflite_models import build_model, clustered, every_kind


def large_model() -> bytes:
    """More than two sections of one method, tied tensors, and fills, in about 13 MB."""
    rng = np.random.default_rng(0)
    wide = clustered((800, 1400), 17, 0.9)
    return build_model({
        "wide": wide,
        "bytes": np.clip(rng.normal(size=(200, 300)) * 20, -127, 127).astype(np.int8),
        "words": rng.integers(-3, 3, (300, 200)).astype(np.float32),
        "tied": wide[:100],
        "tied too": wide[:100],
        "nothing": np.zeros((900, 1000), np.float32),
        "nothing more": np.zeros((900, 1000), np.float32),
    })  # fmt: skip


@pytest.fixture(scope="module")
def model() -> bytes:
    return large_model()


@pytest.fixture(scope="module", params=["fast", "small", "smallest"])
def packed(request, model) -> bytes:
    return packing.pack(model, codec=request.param)


def test_large_tensors_are_divided(packed):
    seen = packing.inspect(packed)
    by_name = {tensor.name: tensor for tensor in seen.tensors}
    # All parts count to the tensor.
    assert by_name["wide"].bits_per_weight == pytest.approx(0.9, abs=0.3)
    assert sum(t.packed_bytes or 0 for t in seen.tensors) <= seen.packed_size


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_restore_the_same(packed, model, threads):
    assert packing.unpack(packed, threads=threads) == model
    buffer = bytearray(len(model) + 1)
    assert packing.unpack_into(packed, buffer, threads=threads) == len(model)
    assert buffer[:-1] == model
    packing.verify(packed, threads=threads)


def test_from_file_to_file(packed, model, tmp_path):
    source, target = tmp_path / "m.kcz", tmp_path / "m.tflite"
    source.write_bytes(packed)
    for threads in (1, 2):
        sizes = packing.unpack_file(source, target, threads=threads)
        assert (sizes.original_size, sizes.packed_size) == (len(model), len(packed))
        assert target.read_bytes() == model
        target.unlink()
    packing.verify(source)
    packing.verify(os.fspath(source))


@pytest.mark.parametrize("data", [b"", b"x", os.urandom(200_000), bytes(300_000)])
def test_what_is_no_model_in_pieces(data, tmp_path):
    source, target = tmp_path / "m.kcz", tmp_path / "m"
    source.write_bytes(packing.pack(data))
    packing.unpack_file(source, target)
    assert target.read_bytes() == data
    with packing.open_packed(source) as file:
        assert file.tensors == ()
        assert file.read(0, len(data)) == data


def test_every_tensor_by_itself(tmp_path):
    arrays = every_kind()
    model = build_model(arrays)
    for codec in ("fast", "small", "smallest"):
        path = tmp_path / "m.kcz"
        path.write_bytes(packing.pack(model, codec=codec))
        for source in (path, path.read_bytes()):
            with keras_compress.open_packed(source) as file:
                names = [t.name for t in file.tensors]
                assert set(names) == set(arrays)
                for i, name in enumerate(names):
                    values = arrays[name]
                    for key in (name, i):
                        found = file.tensor(key)
                        assert found.dtype == values.dtype and found.shape == values.shape
                        np.testing.assert_array_equal(found, values)


def test_ranges_of_the_original(packed, model):
    rng = np.random.default_rng(4)
    with packing.open_packed(packed) as file:
        for _ in range(12):
            offset = int(rng.integers(0, len(model)))
            size = min(int(rng.integers(0, 5000)), len(model) - offset)
            assert file.read(offset, size) == model[offset : offset + size]
        for offset, size in ((-1, 3), (0, len(model) + 1), (len(model), 1), (2, -1)):
            with pytest.raises(KerasCompressError, match="Only bytes of the original"):
                file.read(offset, size)


def test_a_tensor_needs_none_of_the_other_sections(packed, model, tmp_path):
    # Damage in one section leaves tensors of the others readable.
    broken = bytearray(packed)
    broken[-10] ^= 1
    source = tmp_path / "m.kcz"
    source.write_bytes(bytes(broken))
    whole = failed = 0
    with packing.open_packed(source) as file:
        for tensor in file.tensors:
            try:
                values = file.tensor(tensor.name)
            except PackedFileError as error:
                failed += 1
                assert "data section" in str(error)
                continue
            whole += 1
            assert values.tobytes() == model[tensor.offset : tensor.offset + tensor.size]
    assert whole >= 2 and failed >= 1


def test_unknown_tensors(packed):
    with packing.open_packed(packed) as file:
        for key in ("nowhere", 7, -1):
            with pytest.raises(KerasCompressError, match="one of 7 tensors"):
                file.tensor(key)


def test_damage_in_a_file_leaves_the_old_one(packed, tmp_path):
    source, target = tmp_path / "m.kcz", tmp_path / "m.tflite"
    target.write_bytes(b"old")
    for at in (len(packed) // 2, len(packed) - 3, 20, 5):
        broken = bytearray(packed)
        broken[at] ^= 4
        source.write_bytes(bytes(broken))
        with pytest.raises(PackedFileError):
            packing.unpack_file(source, target, threads=2)
        with pytest.raises(PackedFileError):
            packing.verify(source)
    for size in (0, 3, 100, len(packed) - 1):
        source.write_bytes(packed[:size])
        with pytest.raises(PackedFileError):
            packing.unpack_file(source, target)
    source.write_bytes(packed + b"more")
    with pytest.raises(PackedFileError, match="bytes follow"):
        packing.unpack_file(source, target)
    assert target.read_bytes() == b"old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.kcz", "m.tflite"]


def test_limits_and_arguments(packed, tmp_path):
    source = tmp_path / "m.kcz"
    source.write_bytes(packed)
    for limit in (0, 5):
        with pytest.raises(PackedFileError, match=f"at most {limit} bytes"):
            packing.unpack_file(source, tmp_path / "out", max_size=limit)
    with pytest.raises(KerasCompressError, match="Can't read"):
        packing.unpack_file(tmp_path / "nowhere.kcz", tmp_path / "out")
    for threads in (0, -1, 1.5):
        with pytest.raises(KerasCompressError, match="`threads` must be"):
            packing.unpack(packed, threads=threads)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_memory_is_that_of_a_section(packed, model, tmp_path):
    source = tmp_path / "m.kcz"
    source.write_bytes(packed)
    code = (
        "import re, sys\n"
        "from keras_compress import packing\n"
        "packing.unpack(packing.pack(bytes(range(250)) * 9))\n"
        "peak = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])\n"
        "start = peak()\n"
        "packing.unpack_file(sys.argv[1], sys.argv[2])\n"
        "packing.verify(sys.argv[1])\n"
        "print(1024 * (peak() - start))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(packing.__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", code, source, tmp_path / "out"],
        check=True, capture_output=True, text=True, env=environment,
    )  # fmt: skip
    grown = int(done.stdout)
    # Less than half of the output, where output and two million bytes are the promise.
    assert grown < 6_000_000 < len(model) // 2
