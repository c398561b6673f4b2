"""What `android_demo/build.sh --test` leaves, and a phone made of it."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).resolve().parents[2] / "android_demo"
TARGET = DEMO / "target"
ASSETS = DEMO / "app/src/main/assets"


def require(*programs: str) -> None:
    missing = [name for name in programs if shutil.which(name) is None]
    if missing:
        pytest.skip(
            f"{', '.join(missing)} not installed; android_demo/build.sh says what is needed"
        )


@pytest.fixture(scope="session")
def apk() -> Path:
    path = TARGET / "keras-compress-bench.apk"
    if not path.exists():
        pytest.skip("the APK is not built: bash android_demo/build.sh")
    return path


@pytest.fixture(scope="session")
def jvm_app() -> list[str]:
    """The command that starts the app's core on the JVM, but for its three arguments."""
    require("java")
    class_path = TARGET / "test.classpath"
    classes = TARGET / "test-classes/org/kerascompress/bench/core/JvmPhone.class"
    if not class_path.exists() or not classes.exists():
        pytest.skip("the app's core is not built: bash android_demo/build.sh --test")
    parts = [TARGET / "test-classes", TARGET / "classes", class_path.read_text().strip()]
    return [
        "java",
        "-Xshare:auto",
        "-XX:TieredStopAtLevel=1",
        # A model may crash the runtime: the JVM's own report of it would land in the checkout.
        "-XX:+SuppressFatalErrorMessage",
        f"-Djava.library.path={TARGET / 'host'}",
        "-cp",
        ":".join(map(str, parts)),
        "org.kerascompress.bench.core.JvmPhone",
    ]


class Phone:
    """The folder behind the stand-in adb."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = folder / "sdcard/Android/data/org.kerascompress.bench/files"

    def fault(self, **faults: object) -> None:
        (self.folder / "faults.json").write_text(json.dumps(faults))

    def calls(self) -> str:
        return (self.folder / "calls").read_text()

    def leftovers(self) -> list[str]:
        """Files in the app's folder; its table of all runs is meant to stay."""
        found = (path for path in self.files.rglob("*") if path.is_file())
        return sorted(path.name for path in found if path.name != "results.csv")


@pytest.fixture
def phone(tmp_path, monkeypatch) -> Phone:
    """A phone without the app's Java behind it: enough for all that goes wrong before."""
    folder = tmp_path / "phone"
    folder.mkdir()
    programs = tmp_path / "bin"
    programs.mkdir()
    adb = programs / "adb"
    script = Path(__file__).with_name("fake_adb.py")
    adb.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, str(script)])} "$@"\n')
    adb.chmod(0o755)
    monkeypatch.setenv("FAKE_PHONE", str(folder))
    monkeypatch.setenv("ASSETS", str(ASSETS))
    monkeypatch.setenv("PATH", f"{programs}:/usr/local/bin:/usr/bin:/bin")
    (folder / "installed").write_text("0.1.0")
    return Phone(folder)


@pytest.fixture
def live_phone(phone, jvm_app) -> Phone:
    (phone.folder / "java.json").write_text(json.dumps(jvm_app))
    return phone
