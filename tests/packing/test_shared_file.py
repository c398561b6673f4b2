"""One packed file and several users: threads that share it, files that change, disks that fill."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from keras_compress import packing
from keras_compress.errors import KerasCompressError, PackedFileError
from keras_compress.packing import native
from tests.packing.tflite_models import build_model, clustered


@pytest.fixture(scope="module")
def model() -> bytes:
    rng = np.random.default_rng(7)
    tensors = {f"w{i}": clustered((90, 70), 5 + i, 0.6, seed=i) for i in range(6)}
    tensors |= {f"q{i}": rng.integers(-50, 50, (40, 30)).astype(np.int8) for i in range(6)}
    tensors |= {f"f{i}": rng.normal(size=(30, 20)).astype(np.float32) for i in range(6)}
    # Larger than a compact file, which has one checksum for all, may be.
    tensors["large"] = rng.normal(size=(200, 120)).astype(np.float32)
    return build_model({**tensors, "nothing": np.zeros(5000, np.float32)})


@pytest.mark.parametrize("from_disk", [True, False], ids=["file", "bytes"])
def test_threads_read_from_one_opened_file(model, tmp_path, from_disk, monkeypatch):
    library, inside, most = native.library(), [], []

    class Watched:
        """The library, with an eye on who is reading a range."""

        def __getattr__(self, name):
            return getattr(library, name)

        @staticmethod
        def kc_file_read(*arguments):
            inside.append(1)
            time.sleep(0.001)  # whoever is let in besides comes in now
            most.append(len(inside))
            status = library.kc_file_read(*arguments)
            inside.pop()
            return status

    monkeypatch.setattr(native, "library", Watched)
    packed = packing.pack(model, codec="fast")
    path = tmp_path / "m.kcz"
    path.write_bytes(packed)
    with packing.open_packed(path if from_disk else packed) as file:
        file_tensors = file.tensors

        def work(seed: int) -> int:
            rng = random.Random(seed)
            for _ in range(20):
                # Tensors of one section, of several, and bytes between them.
                tensor = rng.choice(file_tensors)
                wanted = model[tensor.offset : tensor.offset + tensor.size]
                assert file.tensor(tensor.name).tobytes() == wanted
                at = rng.randrange(len(model) - 900)
                assert file.read(at, 900) == model[at : at + 900]
            return seed

        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(work, range(4))) == list(range(4))
    # The library lets only one thread at a time read ranges of a file.
    assert len(most) >= 160 and max(most) == 1


def test_threads_find_damage_and_name_its_section(model, tmp_path):
    packed = bytearray(packing.pack(model, codec="fast"))
    packed[-9] ^= 1
    path = tmp_path / "m.kcz"
    path.write_bytes(packed)
    for threads in (1, 2, 4):
        with pytest.raises(PackedFileError, match=r"checksum does not match \(data section \d\)"):
            packing.verify(path, threads=threads)
        with pytest.raises(PackedFileError, match=r"\(data section \d\)"):
            packing.unpack(bytes(packed), threads=threads)


def test_bytes_are_checked_whole_when_they_are_opened(model):
    # Of a file on disk, only what is asked for is read; bytes are at hand, and all checked.
    packed = bytearray(packing.pack(model, codec="fast"))
    packed[-9] ^= 1
    with pytest.raises(PackedFileError, match=r"\(data section \d\)"):
        packing.open_packed(bytes(packed))


def test_a_buffer_too_small_is_left_alone(model):
    packed = packing.pack(model, codec="fast")
    buffer = bytearray(b"?" * (len(model) - 1))
    with pytest.raises(PackedFileError, match=f"at most {len(model) - 1} bytes"):
        packing.unpack_into(packed, buffer)
    assert buffer == b"?" * (len(model) - 1)


def test_a_patch_into_a_buffer(model):
    old = model[:-3000] + bytes(3000)
    patch = packing.pack(model, base=old)
    buffer = bytearray(len(model))
    assert packing.unpack_into(patch, buffer, base=old) == len(model)
    assert buffer == model
    with pytest.raises(PackedFileError, match="Received: no base"):
        packing.unpack_into(patch, buffer)


def test_a_file_that_is_cut_while_it_is_open(model, tmp_path):
    path = tmp_path / "m.kcz"
    path.write_bytes(packing.pack(model, codec="fast"))
    with packing.open_packed(path) as file:
        names = [tensor.name for tensor in file.tensors if tensor.name != "nothing"]
        os.truncate(path, path.stat().st_size // 3)
        failed = 0
        for name in names:
            try:
                file.tensor(name)
            except KerasCompressError as error:
                assert "m.kcz was cut short while it was read" in str(error)
                failed += 1
        assert failed > 0
        # What needs no section is still there.
        assert not file.tensor("nothing").any()


_FULL = """
import resource, sys
from keras_compress import packing
from keras_compress.errors import KerasCompressError
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
for work in (
    lambda: packing.unpack_file(sys.argv[1], sys.argv[2], threads=2),
    lambda: packing.pack_file(sys.argv[3], sys.argv[4], any_file=True),
):
    try:
        work()
    except KerasCompressError as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits are Linux's")
def test_a_full_disk_leaves_the_old_files(model, tmp_path):
    source, target, noise, kept = (tmp_path / name for name in ("m.kcz", "m", "noise", "n.kcz"))
    source.write_bytes(packing.pack(model, codec="fast"))
    noise.write_bytes(os.urandom(30_000))
    target.write_bytes(b"old")
    kept.write_bytes(b"old")
    done = subprocess.run(
        [sys.executable, "-c", _FULL, source, target, noise, kept],
        check=True, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(packing.__file__).parents[2])},
    )  # fmt: skip
    assert len(done.stdout.splitlines()) == 2
    assert done.stdout.count("File too large") == 2
    assert target.read_bytes() == kept.read_bytes() == b"old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m", "m.kcz", "n.kcz", "noise"]
