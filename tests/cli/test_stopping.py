"""A command that is ended from outside leaves no process, no file and no run on a phone."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from keras_compress.cli import stopping
from keras_compress.packing import other_compressors
from keras_compress.search.workers import run_in_workers
from tests.packing.tflite_models import build_model
from tests.processes import descendants, environment, is_alive, wait_for

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs Linux's /proc")

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


def start(*arguments, cwd=None, **more):
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "keras_compress", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd,
        env=environment(**more),
        # pytest-xdist's workers may have been told to ignore a signal.
        restore_signals=True, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )  # fmt: skip


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_packing(number, tmp_path):
    model = build_model({"f": np.random.default_rng(0).normal(size=(2500, 2500)).astype("f4")})
    (tmp_path / "m.tflite").write_bytes(model)
    with start("pack", "m.tflite", "--codec", "smallest", cwd=tmp_path) as process:
        time.sleep(0.8)
        process.send_signal(number)
        said = process.communicate()[1]
    assert process.returncode == 128 + number, said
    assert said == "keras-compress: error: Stopped.\n"
    assert os.listdir(tmp_path) == ["m.tflite"]


@pytest.mark.parametrize("number", [*SIGNALS[:2], signal.SIGKILL], ids=lambda number: number.name)
def test_timing(number, tflite_files, tmp_path):
    with start(
        "bench", tflite_files["small.tflite"], tflite_files["small.kcz"], "--num-runs", 10**9,
        TMPDIR=str(tmp_path),
    ) as process:  # fmt: skip
        assert wait_for(lambda: len(descendants(process.pid)) == 2)
        workers = descendants(process.pid)
        time.sleep(0.3)
        process.send_signal(number)
        said = process.communicate()[1]
    if number != signal.SIGKILL:
        assert process.returncode == 128 + number, said
        assert said == "keras-compress: error: Stopped.\n"
    # Even where the parent could do nothing, its workers end at once.
    assert wait_for(lambda: not any(map(is_alive, workers)), 5)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("number", SIGNALS[:2], ids=lambda number: number.name)
def test_a_run_on_a_phone(number, phone, tflite_files, tmp_path):
    phone.fault(no_start=True)
    (tmp_path / "scratch").mkdir()
    with start(
        "bench", "--android", "--no-host", tflite_files["small.tflite"], "--out", tmp_path / "out",
        TMPDIR=str(tmp_path / "scratch"),
    ) as process:  # fmt: skip
        calls = phone.folder / "calls"
        assert wait_for(lambda: calls.exists() and "am start" in calls.read_text())
        process.send_signal(number)
        said = process.communicate()[1]
    assert process.returncode == 128 + number, said
    assert "Traceback" not in said
    assert "force-stop" in phone.calls().split("am start")[-1]
    assert phone.leftovers() == [] and os.listdir(tmp_path / "scratch") == []
    assert not (tmp_path / "out").exists()


def test_trials_on_worker_processes():
    running = run_in_workers(time.sleep, [0.0, 600, 600, 600], workers=2)
    assert next(running) == (0, None)
    started = time.monotonic()
    running.close()
    assert time.monotonic() - started < 20
    # They have been told to end; a busy machine takes a moment for it.
    while multiprocessing.active_children() and time.monotonic() - started < 30:
        time.sleep(0.1)
    assert not [p for p in multiprocessing.active_children() if "Spawn" in type(p).__name__]


def test_other_compressors_are_not_waited_for(monkeypatch):
    begun: list[str] = []

    def slow(data: bytes) -> int:
        begun.append("slow")
        time.sleep(3)
        return 1

    compressors = {"first": slow, "second": slow}
    monkeypatch.setattr(other_compressors, "_installed", lambda: (compressors, ()))
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        other_compressors.compared_sizes(b"data")
    assert time.monotonic() - started < 2
    time.sleep(3.5)
    assert begun == ["slow"]


def test_what_goes_wrong_in_another_compressor_is_raised(monkeypatch):
    def fails(data: bytes) -> int:
        raise MemoryError

    monkeypatch.setattr(other_compressors, "_installed", lambda: ({"one": fails}, ()))
    with pytest.raises(MemoryError):
        other_compressors.compared_sizes(b"data")


def test_inspect_stops_at_once_while_it_compares(tmp_path):
    # 24 MB of noise: packed in a second, and half a minute for brotli at its best.
    noise = np.random.default_rng(0).integers(0, 256, (6000, 4000)).astype(np.uint8)
    (tmp_path / "m.tflite").write_bytes(build_model({"w": noise}))
    hook = (
        "import os, sys\n"
        "from keras_compress.packing import other_compressors as other\n"
        "run = other._run\n"
        "def told(*arguments):\n"
        # Threads that are ended with the process hold no lock of Python's own output.
        "    os.write(1, b'comparing\\n')\n"
        "    run(*arguments)\n"
        "other._run = told\n"
        "from keras_compress.cli.main import main\n"
        "sys.exit(main(['inspect', 'm.tflite', '--codec', 'fast', '--compare']))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-P", "-c", hook], cwd=tmp_path, env=environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout.readline() == "comparing\n"
        process.send_signal(signal.SIGTERM)
        started = time.monotonic()
        said = process.communicate()[1]
    assert process.returncode == 143, said
    assert time.monotonic() - started < 3


def test_a_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopping.stoppable():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_second_request_does_not_keep_things_from_being_taken_back():
    taken_back = []
    with pytest.raises(KeyboardInterrupt) as stopped, stopping.stoppable():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            taken_back.append(True)
    assert taken_back and stopping.exit_code(stopped.value) == 143
    assert stopping.exit_code(KeyboardInterrupt()) == 130
    assert json.dumps(stopped.value.args) == '["SIGTERM"]'
