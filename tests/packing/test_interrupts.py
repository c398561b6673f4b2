"""Ctrl-C in every long call: the call ends early, the process lives, and nothing is left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from keras_compress import packing
from tests.packing.tflite_models import build_model, clustered

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")

# Every long call in one process, as a notebook's kernel makes them: once to its end, for its time
# and its result; interrupted at several moments; and once more, to the same result.
_NOTEBOOK = """
import json, os, pathlib, signal, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
import keras_compress as kc
from keras_compress import packing

folder = pathlib.Path(sys.argv[1])
model, old = (folder / "m.tflite").read_bytes(), (folder / "old.tflite").read_bytes()
kcz, patch = (folder / "m.kcz").read_bytes(), (folder / "patch.kcz").read_bytes()
room = bytearray(len(model))


def tensors():
    with packing.open_packed(folder / "m.kcz") as file:
        return [file.tensor(t.name).tobytes() for t in file.tensors]


def in_threads():
    # The main thread waits for threads of its own, which an interrupt doesn't reach.
    with ThreadPoolExecutor(2) as pool:
        work = [pool.submit(kc.unpack, kcz, threads=2) for _ in range(2)]
        try:
            return [each.result() for each in work]
        finally:
            assert [each.result() for each in work] == [model, model]


def files(threads):
    packing.unpack_file(folder / "m.kcz", folder / "out.tflite", threads=threads)
    return (folder / "out.tflite").read_bytes()


calls = {
    "pack": lambda: kc.pack(model, codec="smallest"),
    "pack a patch": lambda: kc.pack(model, base=old),
    "pack a file": lambda: packing.pack_file(folder / "m.tflite", folder / "out.kcz"),
    "unpack": lambda: kc.unpack(kcz),
    "unpack, threads": lambda: kc.unpack(kcz, threads=3),
    "unpack a patch": lambda: kc.unpack(patch, base=old),
    "unpack into": lambda: (packing.unpack_into(kcz, room, threads=2), bytes(room))[1],
    "unpack a file": lambda: files(1),
    "unpack a file, threads": lambda: files(2),
    "verify": lambda: packing.verify(kcz),
    "verify a file": lambda: packing.verify(folder / "m.kcz", threads=2),
    "inspect": lambda: kc.inspect(model, codec="smallest").tensors,
    "inspect a packed file": lambda: kc.inspect(kcz).tensors,
    "read tensors": tensors,
    "in threads": in_threads,
}
chosen = {name: calls[name] for name in json.loads(sys.argv[2])}
before = set(os.listdir(folder)) | {"out.kcz", "out.tflite"}


for name, call in chosen.items():
    start = time.perf_counter()
    wanted = call()
    whole = time.perf_counter() - start
    shares = []
    for share in (0.05, 0.4):
        sent = []

        def interrupt():
            sent.append(time.perf_counter())
            os.kill(os.getpid(), signal.SIGINT)

        timer = threading.Timer(share * whole, interrupt)
        try:
            timer.start()
            call()
            timer.cancel()
        except KeyboardInterrupt:
            shares.append([(time.perf_counter() - sent[0]), whole])
        timer.join()
        assert set(os.listdir(folder)) <= before, os.listdir(folder)
    assert call() == wanted, name
    print(json.dumps([name, shares]), flush=True)
"""

_CALLS = (
    ["pack"],
    ["pack a patch", "pack a file"],
    ["unpack", "unpack, threads", "unpack a patch", "unpack into"],
    ["unpack a file", "unpack a file, threads", "verify", "verify a file"],
    ["inspect", "inspect a packed file", "read tensors"],
    ["in threads"],
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    rng = np.random.default_rng(3)
    tensors = {f"w{i}": clustered((120, 300), 9 + i, 0.5, seed=i) for i in range(2)}
    tensors |= {"q": rng.integers(-90, 90, (120, 300)).astype(np.int8)}
    tensors |= {"f": rng.normal(size=(90, 200)).astype(np.float32)}
    model = build_model(tensors)
    old = build_model({**tensors, "f": tensors["f"] + np.float32(1e-4), "q": tensors["q"] // 2})
    folder = tmp_path_factory.mktemp("models")
    (folder / "m.tflite").write_bytes(model)
    (folder / "old.tflite").write_bytes(old)
    (folder / "m.kcz").write_bytes(packing.pack(model, codec="smallest"))
    (folder / "patch.kcz").write_bytes(packing.pack(model, base=old))
    return folder


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(packing.__file__).parents[2])}


@pytest.mark.parametrize("calls", _CALLS, ids=lambda calls: calls[0])
def test_a_notebook_lives_on(calls, folder):
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", _NOTEBOOK, folder, json.dumps(calls)],
        capture_output=True, text=True, env=_environment(), check=False,
    )  # fmt: skip
    assert done.returncode == 0 and done.stderr == "", done.stderr
    found = dict(json.loads(line) for line in done.stdout.splitlines())
    assert list(found) == calls
    for name, interrupted in found.items():
        # Not stopped, it would have taken what was left of the call: over half of it, each time.
        if name != "in threads":
            assert interrupted and min(took / whole for took, whole in interrupted) < 0.5, name
