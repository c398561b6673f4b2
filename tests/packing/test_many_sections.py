"""Files of very many sections, and how much memory a single read of a large file takes."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from keras_compress import packing
from keras_compress.errors import PackedFileError
from tests.packing.kcz_writer import Plan, write_kcz
from tests.packing.tflite_models import build_model
from tests.processes import environment


def divided(sections: int, size: int = 3) -> tuple[bytes, bytes]:
    """A model with one tensor, and a packed file in which each `size` bytes have a section."""
    values = (np.arange(sections * size) * 7 % 251).astype(np.uint8)
    model = build_model({"w": values})
    at = model.index(values.tobytes())
    plan = Plan()
    for k in range(sections):
        plan.record(at if k == 0 else 0, size, 0x80)
    data = values.tobytes()
    parts = [data[size * k : size * k + size] for k in range(sections)]
    skeleton = model[:at] + model[at + len(data) :]
    return model, write_kcz(plan, skeleton, parts, model)


@pytest.mark.parametrize("sections", [1023, 1025, 2048, 2049, 65536])
def test_as_many_sections_as_there_may_be(sections, tmp_path):
    model, packed = divided(sections)
    path = tmp_path / "m.kcz"
    path.write_bytes(packed)
    assert packing.unpack(packed) == model
    packing.unpack_file(path, tmp_path / "m.tflite", threads=2)
    assert (tmp_path / "m.tflite").read_bytes() == model
    at = model.index(bytes([0, 7, 14, 21, 28, 35, 42]))
    with packing.open_packed(path) as file:
        last = at + 3 * sections - 4
        assert file.read(last, 4) == model[last : last + 4]
        assert file.read(at + 1, 9) == model[at + 1 : at + 10]
        np.testing.assert_array_equal(
            file.tensor("w"), (np.arange(3 * sections) * 7 % 251).astype(np.uint8)
        )


def test_one_section_more_than_there_may_be():
    with pytest.raises(PackedFileError, match="damaged"):
        packing.unpack(divided(65537)[1])


@pytest.mark.parametrize("sections", [1025, 2049])
def test_a_long_table_that_is_cut_or_changed(sections):
    model, packed = divided(sections)
    table = 20 + sections
    for end in (30, 1000, table - 1, table + 3, len(packed) - 1):
        with pytest.raises(PackedFileError):
            packing.unpack(packed[:end])
    for place in (25, table // 2, table - 10, table + 100, len(packed) - 6):
        broken = bytearray(packed)
        broken[place] ^= 1
        with pytest.raises(PackedFileError):
            packing.unpack(bytes(broken))
    assert packing.unpack(packed) == model


# What each way of reading takes beyond what the process took before, in kB.
_PEAKS = """
import json, re, sys
from keras_compress import packing

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])

path, small = sys.argv[1:3]
with packing.open_packed(small) as file:  # the library and its tables
    file.tensor("t0")
packing.verify(small)
taken = {}
def measured(name, work):
    before = peak()
    work()
    taken[name] = peak() - before
file = packing.open_packed(path)
measured("open", lambda: file.tensors)
measured("16 bytes", lambda: file.read(file.original_size // 2, 16))
measured("a tensor", lambda: file.tensor("t1").sum())
measured("verify", lambda: packing.verify(path))
measured("to a file", lambda: packing.unpack_file(path, path + ".tflite"))
file.close()
measured("all", lambda: packing.unpack(open(path, "rb").read()))
print(json.dumps(taken))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("codec", ["fast", "small"])
def test_a_single_read_takes_the_memory_of_a_section(codec, tmp_path):
    rng = np.random.default_rng(0)
    # Noise around zero: coded, hardly smaller, quick to pack.
    count, size = (24, 1_000_000) if codec == "fast" else (6, 1_000_000)
    tensors = {
        f"t{k}": np.clip(rng.normal(size=(1000, size // 1000)) * 40, -127, 127).astype(np.int8)
        for k in range(count)
    }
    model = build_model(tensors)
    (tmp_path / "m.kcz").write_bytes(packing.pack(model, codec=codec))
    few = build_model({"t0": tensors["t0"][:300]})
    (tmp_path / "few.kcz").write_bytes(packing.pack(few, codec=codec))
    done = subprocess.run(
        [sys.executable, "-P", "-c", _PEAKS, tmp_path / "m.kcz", tmp_path / "few.kcz"],
        capture_output=True, text=True, check=True, env=environment(),
    )  # fmt: skip
    taken = json.loads(done.stdout)
    whole = len(model) // 1024
    assert taken["open"] < 1500, taken
    assert taken["16 bytes"] < 3000, taken
    assert taken["a tensor"] < 1000 + 3000, taken
    assert taken["verify"] < 4000 and taken["to a file"] < 4000, taken
    assert taken["all"] > 0.8 * whole, taken
