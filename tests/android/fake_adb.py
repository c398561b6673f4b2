"""A stand-in for adb, with a phone behind it: a folder for its storage and the app's own Java core,
run on this machine's JVM, for its app. Faults are switched on in the phone's `faults.json`.

The phone's shell is this machine's, with `am`, `pidof` and `dumpsys` of its own, so the driver's
commands are run and not only compared.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

PHONE = Path(os.environ["FAKE_PHONE"])
PACKAGE = "org.kerascompress.bench"
FILES = PHONE / "sdcard/Android/data" / PACKAGE / "files"


def faults() -> dict:
    path = PHONE / "faults.json"
    return json.loads(path.read_text()) if path.exists() else {}


def drop(name: str) -> None:
    left = {key: value for key, value in faults().items() if key != name}
    (PHONE / "faults.json").write_text(json.dumps(left))


def fail(text: str, code: int = 1) -> None:
    print(text, file=sys.stderr)
    raise SystemExit(code)


def local(path: str) -> Path:
    return PHONE / path.lstrip("/")


def java_id() -> int | None:
    path = PHONE / "app.pid"
    if not path.exists():
        return None
    number = int(path.read_text())
    try:
        state = Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return None
    return None if state == "Z" else number


def force_stop() -> None:
    number = java_id()
    if number is not None:
        os.kill(number, signal.SIGKILL)


def am(words: list[str]) -> None:
    if words[0] == "force-stop":
        return force_stop()
    if "-S" in words:
        force_stop()
    if not (PHONE / "installed").exists():
        fail("Error type 3\nError: Activity class does not exist.")
    line = words[words.index("--es") + 2]
    if "no_start" in faults():
        return print("Starting: Intent\nStatus: ok")
    FILES.mkdir(parents=True, exist_ok=True)
    java = subprocess.Popen(
        [*json.loads((PHONE / "java.json").read_text()), str(FILES), os.environ["ASSETS"], line],
        stdin=subprocess.DEVNULL,
        stdout=(PHONE / "logcat").open("a"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env={**os.environ, "KC_ENGINE_LOG": str(PHONE / f"engine-{time.time_ns()}.log")},
    )
    (PHONE / "app.pid").write_text(str(java.pid))
    if "crash" in faults() and "--prepare" not in line:
        for _ in range(600):
            if any("Loading" in path.read_text() for path in FILES.glob("results/*.status")):
                break
            time.sleep(0.05)
        java.kill()
        java.wait()
    print("Starting: Intent\nStatus: ok\nComplete")


def shell(command: str) -> int:
    folder = PHONE / "bin"
    folder.mkdir(exist_ok=True)
    for name in ("am", "pidof", "dumpsys"):
        script = folder / name
        if not script.exists():
            me = shlex.join([sys.executable, __file__, "--as", name])
            script.write_text(f'#!/bin/sh\nexec {me} "$@"\n')
            script.chmod(0o755)
    command = command.replace("/sdcard/", f"{PHONE}/sdcard/")
    path = f"{folder}:{os.environ['PATH']}"
    return subprocess.run(["sh", "-c", command], env={**os.environ, "PATH": path}).returncode


def main(words: list[str]) -> int:
    if words[:1] == ["--as"]:
        name, rest = words[1], words[2:]
        if name == "am":
            am(rest)
        elif name == "pidof":
            print(java_id() or "")
        elif (PHONE / "installed").exists():
            print(f"    versionName={(PHONE / 'installed').read_text()}")
        return 0
    with (PHONE / "calls").open("a") as calls:
        calls.write(shlex.join(words) + "\n")
    known = faults()
    if words == ["devices"]:
        print("List of devices attached")
        for line in known.get("devices", ["phone1\tdevice"]):
            print(line)
        return 0
    command, rest = words[2], words[3:]
    gone = known.get("gone_at")
    if gone is not None and gone in shlex.join(words[2:]):
        drop("gone_at")
        fail(f"adb: device '{words[1]}' not found")
    if command == "install":
        if "install" in known:
            print(f"Failure [{known['install']}]")
            return 1
        (PHONE / "installed").write_text("0.1.0")
        print("Success")
        return 0
    if command == "push":
        if "full" in known:
            local(rest[1]).write_bytes(Path(rest[0]).read_bytes()[:10])
            fail(f"adb: error: failed to copy '{rest[0]}': remote No space left on device")
        shutil.copyfile(rest[0], local(rest[1]))
        return 0
    if command == "pull":
        if not local(rest[0]).exists():
            fail(f"adb: error: failed to stat remote object '{rest[0]}': No such file")
        shutil.copyfile(local(rest[0]), rest[1])
        return 0
    if command == "shell":
        return shell(" ".join(rest))
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
