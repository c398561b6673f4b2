"""`android_bench`: models pushed to a phone, timed there, and the result brought back whole."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
import shlex
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from keras_compress.android.adb import Adb, DeviceGoneError, find_adb
from keras_compress.android.app import ACTIVITY, FILES, PACKAGE, ensure_app
from keras_compress.bench import BenchmarkResult, load_result
from keras_compress.errors import KerasCompressError
from keras_compress.packing.pack import MAGIC
from keras_compress.storage import read_file

__all__ = ["android_bench"]

_PUSH_SECONDS = 600.0
_POLL_SECONDS = 0.5
# Seconds that the app may take to begin, and to load, warm up and measure its accuracy.
_START_SECONDS = 30.0
_SLACK_SECONDS = 120.0
_ROUNDS = 10
_DELEGATES = ("xnnpack", "none", "gpu", "binary")

Progress = Callable[[str, int, int], None]


def android_bench(
    models: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    baseline: str | os.PathLike[str] | None = None,
    serial: str | None = None,
    apk: str | None = None,
    threads: int = 1,
    warmup_runs: int = 5,
    num_runs: int = 50,
    min_secs: float = 1.0,
    max_secs: float = 150.0,
    delegate: str = "xnnpack",
    cool_down_secs: float = 0.0,
    seed: int = 0,
    timeout: float | None = None,
    progress: Progress | None = None,
) -> BenchmarkResult:
    """Time models on an Android phone, in turns, in the app of `android_demo/`.

    The same command, given again after the cable was pulled, goes on where it stopped: a run
    under way is waited for, a finished one is fetched. Ctrl-C ends it on the phone, too.

    Args:
        models: Paths of `.tflite` and `.kcz` files.
        baseline: The model that others are compared with. Defaults to `None`.
        serial: The phone, as `adb devices` lists it. Defaults to `None` (the only one).
        apk: The APK to install. Defaults to `None`: the one built in this checkout, if the app is
            missing on the phone or of another version.
        threads: Threads of the runtime. Defaults to `1`.
        warmup_runs: Runs before timing, the first not counted. Defaults to `5`.
        num_runs: Fewest timed runs of each model. Defaults to `50`.
        min_secs: Least seconds of timed runs of each model. Defaults to `1.0`.
        max_secs: Most seconds of timed runs of each model. Defaults to `150.0`.
        delegate: `"xnnpack"`, `"none"`, `"gpu"` or `"binary"`. Defaults to `"xnnpack"`.
        cool_down_secs: Seconds of rest before each turn of a model. Defaults to `0.0`.
        seed: Seeds inputs and the order of turns. Defaults to `0`.
        timeout: Seconds after which the run is given up. Defaults to `None`: what the settings
            allow at most, and two minutes.
        progress: Called with a line, the steps done and the steps in all. Defaults to `None`.

    Returns:
        A `BenchmarkResult`, as `bench` returns.

    Raises:
        KerasCompressError: If there is no phone or more than one, it has no room, the app can't be
            installed, crashes or refuses a model, or the time is over. Nothing is half-written.
    """
    files = _collect(models, baseline)
    for name, seconds in (
        ("min_secs", min_secs),
        ("max_secs", max_secs),
        ("cool_down_secs", cool_down_secs),
    ):
        if not 0 <= seconds < math.inf:
            raise KerasCompressError(
                f"`{name}` must be a number of seconds from 0. Received: {name}={seconds!r}."
            )
    if delegate not in _DELEGATES:
        raise KerasCompressError(
            f"`delegate` must be one of {', '.join(_DELEGATES)}. Received: {delegate!r}."
        )
    settings = [
        f"--num_threads={threads}",
        f"--warmup_runs={warmup_runs}",
        f"--num_runs={num_runs}",
        f"--min_secs={min_secs:g}",
        f"--max_secs={max_secs:g}",
        f"--rounds={_ROUNDS}",
        f"--seed={seed}",
        f"--use_xnnpack={str(delegate != 'none').lower()}",
        f"--use_gpu={str(delegate == 'gpu').lower()}",
        f"--use_binary={str(delegate == 'binary').lower()}",
        f"--cool_down_secs={cool_down_secs:g}",
    ]
    if timeout is None:
        turns = len(files) * (2 * max_secs + _ROUNDS * cool_down_secs)
        timeout = turns + _SLACK_SECONDS
    tell = progress or (lambda line, done, total: None)
    adb = Adb(find_adb(), serial)
    run = _PhoneRun(adb, files, settings, baseline is not None, timeout, tell)
    try:
        return run.execute(apk)
    except DeviceGoneError as error:
        raise KerasCompressError(
            f"{error} It happened while {run.stage}. Connect it again and repeat the command: "
            f"{run.outlook}."
        ) from error
    except KeyboardInterrupt:
        run.stop()
        raise


class _PhoneRun:
    """One run: its folder on the phone is named for its models and settings."""

    def __init__(
        self,
        adb: Adb,
        files: list[tuple[str, Path, bytes]],
        settings: list[str],
        has_baseline: bool,
        timeout: float,
        tell: Progress,
    ) -> None:
        self.adb, self.files, self.settings = adb, files, settings
        self.has_baseline, self.timeout, self.tell = has_baseline, timeout, tell
        digest = hashlib.sha256("\n".join([*settings, str(has_baseline)]).encode())
        for name, _, data in files:
            digest.update(name.encode() + b"\0" + hashlib.sha256(data).digest())
        self.id = f"pc-{digest.hexdigest()[:20]}"
        self.folder = f"{FILES}/models/{self.id}"
        self.status_file = f"{FILES}/results/{self.id}.status"
        self.result_file = f"{FILES}/results/{self.id}.json"
        self.places = [
            f"{number}_{re.sub(r'[^A-Za-z0-9._-]', '_', name)}"
            for number, (name, _, _) in enumerate(files)
        ]
        self.stage = "looking for the app"
        self.outlook = "it begins anew"

    def execute(self, apk: str | None) -> BenchmarkResult:
        self.tell("Looking for the app", 0, 1)
        self.stage = "installing the app"
        ensure_app(self.adb, apk)
        self.stage = "looking for an earlier run"
        status = self._status()
        if status is not None and self._state(status)[0] in ("running", "done"):
            self.tell("Going on with the run that is there", 0, 1)
        else:
            self._prepare()
            self._push()
            self._start()
        self.stage = "the models were timed"
        self.outlook = "the phone goes on by itself, and the run is taken up where it then is"
        self._wait()
        self.stage = "the result was fetched"
        self.outlook = "the finished result is fetched"
        result = self._fetch()
        self._clean()
        return result

    def stop(self) -> None:
        """End the run on the phone and take back what was written there, if that can be."""
        with contextlib.suppress(KerasCompressError):
            self._clean()

    def _launch(self, words: Sequence[str]) -> None:
        # -S ends what an earlier start left; -W waits until the activity is there.
        line = " ".join(words)
        said = self.adb.shell(
            f"am start -S -W -n {ACTIVITY} --es args {shlex.quote(line)}", timeout=120
        )
        if "Error" in said or "Exception" in said:
            raise KerasCompressError(
                f"The app can't be started: {' '.join(said.split())[:300]}. Unlock the phone; if "
                "that is not it, install the app anew with --apk."
            )

    def _prepare(self) -> None:
        # The app makes its own folders: what the shell makes there first, some phones keep from it.
        self.stage = "the app was started"
        self.tell("Starting the app", 0, 1)
        ready = f"{FILES}/results/{self.id}-ready.json"
        self._launch(["--prepare", f"--run_id={self.id}-ready"])
        end = time.monotonic() + _START_SECONDS
        while not self.adb.exists(ready):
            if time.monotonic() > end:
                raise KerasCompressError(
                    f"The app gave no sign within {_START_SECONDS:.0f} seconds. Unlock the phone "
                    "and run the command again."
                )
            time.sleep(_POLL_SECONDS / 5)
        facts = json.loads(self.adb.read(ready) or "{}")
        self.adb.shell(f"rm -f {FILES}/results/{self.id}-ready.*")
        if "error" in facts:
            raise KerasCompressError(f"The app can't run on this phone: {facts['error']}")

    def _push(self) -> None:
        self.stage = "models were copied to the phone"
        self.outlook = "files that arrived whole are not copied again"
        self.adb.shell(f"mkdir -p {self.folder}")
        try:
            for number, (place, (name, path, data)) in enumerate(
                zip(self.places, self.files, strict=True)
            ):
                self.tell(f"Copying {name}", number, len(self.files))
                target = f"{self.folder}/{place}"
                if self._sum(target) != hashlib.sha256(data).hexdigest():
                    # Under another name until it is whole.
                    self.adb.run("push", str(path), f"{target}.part", timeout=_PUSH_SECONDS)
                    self.adb.shell(f"mv {target}.part {target}")
        except DeviceGoneError:
            raise
        except KerasCompressError:
            self._clean()
            raise

    def _sum(self, path: str) -> str | None:
        said = self.adb.shell(f"[ -e {path} ] && sha256sum {path} || true").split()
        return said[0] if said else None

    def _start(self) -> None:
        self.stage = "the run was started"
        # A result of the same name may be left from a run that failed.
        self.adb.shell(f"rm -f {self.status_file} {self.result_file}")
        words = [f"--graph={self.id}/{place}" for place in self.places]
        if self.has_baseline:
            words[0] = words[0].replace("--graph=", "--baseline=")
            if len(words) == 1:
                words.append(f"--graph={self.id}/{self.places[0]}")
        self._launch([*words, *self.settings, f"--run_id={self.id}"])

    def _status(self) -> dict[str, Any] | None:
        text = self.adb.read(self.status_file)
        try:
            found = json.loads(text) if text else None
        except ValueError:
            return None
        return found if isinstance(found, dict) else None

    def _state(self, status: dict[str, Any]) -> tuple[str, str]:
        """Return the run's state and words; a run whose process is gone has `"crashed"`."""
        if status.get("state") == "running" and not self._alive():
            # It may have finished since the status was read.
            status = self._status() or status
            if status.get("state") == "running":
                return "crashed", str(status.get("line"))
        return str(status.get("state")), str(status.get("line"))

    def _alive(self) -> bool:
        return bool(self.adb.shell(f"pidof {PACKAGE}:bench || true").strip())

    def _wait(self) -> None:
        began = time.monotonic()
        while True:
            status = self._status()
            waited = time.monotonic() - began
            if status is None:
                if waited > _START_SECONDS:
                    self._clean()
                    raise KerasCompressError(
                        f"The app began no run within {_START_SECONDS:.0f} seconds. Unlock the "
                        "phone, keep its screen on, and run the command again."
                    )
            else:
                state, line = self._state(status)
                if state == "done":
                    return
                if state == "crashed":
                    self._clean()
                    raise KerasCompressError(
                        f"The app crashed on the phone at: {line}. The model is damaged, holds "
                        "what the runtime can't run, or takes more memory than the phone has."
                    )
                if state in ("failed", "cancelled"):
                    self._clean()
                    raise KerasCompressError(f"On the phone: {line}")
                self.tell(line, _count(status, "done"), max(_count(status, "total"), 1))
            if waited > self.timeout:
                self._clean()
                raise KerasCompressError(
                    f"The run took over {self.timeout:.0f} seconds and was ended. Ask for fewer "
                    "runs with --num-runs and --max-secs."
                )
            time.sleep(_POLL_SECONDS)

    def _fetch(self) -> BenchmarkResult:
        with tempfile.TemporaryDirectory(prefix="keras_compress_") as folder:
            target = Path(folder) / "result.json"
            self.adb.run("pull", self.result_file, str(target), timeout=_PUSH_SECONDS)
            document = load_result(target).to_dict()
        found = document["models"]
        if len(found) != len(self.files):
            raise KerasCompressError(
                f"The phone's result must have {len(self.files)} models. Received: {len(found)}."
            )
        shown = {entry["name"]: name for entry, (name, _, _) in zip(found, self.files, strict=True)}
        for entry, (name, _, data) in zip(found, self.files, strict=True):
            if entry.get("sha256") != hashlib.sha256(data).hexdigest():
                raise KerasCompressError(
                    f"The phone must time the file it was given. Received: a result for another "
                    f"{name}. Run the command again."
                )
            entry["name"] = name
            if "comparison" in entry:
                before = entry["comparison"]["baseline"]
                entry["comparison"]["baseline"] = shown.get(before, before)
        document["environment"]["serial"] = self.adb.serial
        return BenchmarkResult(document)

    def _clean(self) -> None:
        self.adb.shell(
            f"am force-stop {PACKAGE}; rm -rf {self.folder} {self.status_file} {self.result_file}"
        )


def _count(status: dict[str, Any], name: str) -> int:
    value = status.get(name)
    return value if isinstance(value, int) else 0


def _collect(
    models: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    baseline: str | os.PathLike[str] | None,
) -> list[tuple[str, Path, bytes]]:
    """Return name, path and bytes of each file, the baseline first."""
    from keras_compress.tflite.schema import check_model_bytes

    listed = [models] if isinstance(models, str | os.PathLike) else list(models)
    if not listed:
        raise KerasCompressError("`models` must hold at least one model. Received: none.")
    ordered = ([baseline] if baseline is not None else []) + listed
    paths: list[Path] = []
    for item in ordered:
        path = Path(item)
        if path.absolute() not in [known.absolute() for known in paths]:
            paths.append(path)
    names = [path.name for path in paths]
    files = []
    for path in paths:
        data = read_file(path)
        name = path.name if names.count(path.name) == 1 else str(path)
        if not data.startswith(MAGIC):
            check_model_bytes(data, name=name)
        files.append((name, path, data))
    return files
