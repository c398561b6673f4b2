"""A writer killed at any moment leaves the old file or the new one, never a half."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from keras_compress import packing
from tests.packing.tflite_models import build_model, clustered

_WRITER = """
import sys
from keras_compress import packing
source, packed, target = sys.argv[1:]
print("ready", flush=True)
while True:
    packing.pack_file(source, packed, codec="fast")
    packing.unpack_file(packed, target)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_writer_leaves_whole_files(tmp_path):
    old = build_model({"w": clustered((90, 70), 5, 0.5)})
    new = build_model({"w": clustered((300, 400), 17, 0.5)})
    source, packed, target = (tmp_path / name for name in ("new.tflite", "m.kcz", "m.tflite"))
    source.write_bytes(new)
    kept = packing.pack(old)
    environment = {**os.environ, "PYTHONPATH": str(Path(packing.__file__).parents[2])}
    for moment in range(8):
        packed.write_bytes(kept)
        target.write_bytes(old)
        command = [sys.executable, "-c", _WRITER, source, packed, target]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as writer:
            writer.stdout.readline()
            time.sleep(0.004 * moment)
            writer.kill()
        assert packing.unpack(packed.read_bytes()) in (old, new)
        assert target.read_bytes() in (old, new)
