"""The benchmark app on the phone: whether it is there, in which version, and putting it there."""

from __future__ import annotations

import re
from pathlib import Path

from keras_compress.android.adb import Adb
from keras_compress.errors import KerasCompressError
from keras_compress.version import __version__

__all__ = ["ACTIVITY", "APP_VERSION", "FILES", "PACKAGE", "ensure_app", "find_apk"]

PACKAGE = "org.kerascompress.bench"
ACTIVITY = f"{PACKAGE}/.BenchmarkActivity"
# The version of the app that this driver speaks to; android_demo/pom.xml has the same.
APP_VERSION = __version__
# The app's external-files folder, which adb's shell and the app both may use.
FILES = f"/sdcard/Android/data/{PACKAGE}/files"

_CHECKOUT_APK = Path(__file__).resolve().parents[2] / "android_demo/target/keras-compress-bench.apk"
_INSTALL_SECONDS = 300.0


def find_apk(apk: str | None) -> Path:
    """Return the APK to install: the one named, or the one that the checkout has built.

    Raises:
        KerasCompressError: If there is none.
    """
    path = _CHECKOUT_APK if apk is None else Path(apk)
    if not path.is_file():
        raise KerasCompressError(
            f"The app must be installed, and its APK is not at {path}. Build it with `bash "
            "android_demo/build.sh`, or name it with --apk."
        )
    return path


def ensure_app(adb: Adb, apk: str | None) -> bool:
    """Install the app if it is missing or of another version; return whether it was installed.

    Raises:
        KerasCompressError: If it can't be installed.
    """
    said = adb.shell(f"dumpsys package {PACKAGE}")
    found = re.search(r"versionName=(\S+)", said)
    if found and found.group(1) == APP_VERSION and apk is None:
        return False
    adb.run("install", "-r", str(find_apk(apk)), timeout=_INSTALL_SECONDS)
    return True
