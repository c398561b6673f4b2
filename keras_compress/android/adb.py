"""Talking to a phone through `adb`: finding it, choosing the device, and saying what went wrong."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from keras_compress.errors import KerasCompressError

__all__ = ["Adb", "DeviceGoneError", "find_adb"]

_SDK_VARIABLES = ("ANDROID_HOME", "ANDROID_SDK_ROOT")
_USUAL_SDKS = ("~/Android/Sdk", "~/Library/Android/sdk", "~/AppData/Local/Android/Sdk")

# What adb says when the device is no longer there, whatever was asked of it.
_GONE = re.compile(
    r"device '[^']*' not found|no devices/emulators found|device offline|"
    r"error: closed|protocol fault|connection reset|device still connecting",
    re.IGNORECASE,
)
_CAUSES = (
    (
        r"No space left on device|INSTALL_FAILED_INSUFFICIENT_STORAGE|not enough space",
        "The phone's storage is full. Free some and run the command again.",
    ),
    (
        r"INSTALL_FAILED_UPDATE_INCOMPATIBLE",
        "The app on the phone is signed with another key, so it can't be updated. Remove it with "
        "`adb uninstall org.kerascompress.bench` (its history goes with it) and try again.",
    ),
    (
        r"INSTALL_FAILED_VERSION_DOWNGRADE",
        "The app on the phone is newer than the APK. Remove it with `adb uninstall "
        "org.kerascompress.bench`, or update keras-compress.",
    ),
    (
        r"INSTALL_FAILED_NO_MATCHING_ABIS",
        "The app has code for arm64-v8a and x86_64 phones. This one is neither.",
    ),
    (
        r"INSTALL_FAILED_USER_RESTRICTED|INSTALL_FAILED_ABORTED",
        "The phone refused the installation. Allow 'Install via USB' in its developer options "
        "and confirm on its screen.",
    ),
    (
        r"device unauthorized|device is unauthorized",
        "The phone does not trust this computer yet. Unlock it, confirm 'Allow USB debugging' on "
        "its screen, and run the command again.",
    ),
)


class DeviceGoneError(KerasCompressError):
    """The phone is no longer connected."""


def find_adb() -> str:
    """Return the path of `adb`: of the `PATH`, or of an Android SDK in a usual place.

    Raises:
        KerasCompressError: If there is none.
    """
    found = shutil.which("adb")
    if found:
        return found
    folders = [os.environ[name] for name in _SDK_VARIABLES if os.environ.get(name)]
    for folder in (*folders, *_USUAL_SDKS):
        for name in ("adb", "adb.exe"):
            path = Path(folder).expanduser() / "platform-tools" / name
            if path.is_file():
                return str(path)
    raise KerasCompressError(
        "Timing on a phone needs `adb`, and it is neither on the PATH nor in an Android SDK. "
        "Install it (`apt install adb`, `brew install android-platform-tools`), or set "
        "ANDROID_HOME to the SDK's folder."
    )


class Adb:
    """One device.

    Args:
        path: The `adb` program.
        serial: The device, as `adb devices` lists it. Defaults to `None` (the only one there is).

    Raises:
        KerasCompressError: If there is no such device, several and none is named, or the device
            does not trust this computer.
    """

    def __init__(self, path: str, serial: str | None = None) -> None:
        self.path = path
        self.serial = _choose(self._devices(), serial)

    def _devices(self) -> list[tuple[str, str]]:
        done = self._call([self.path, "devices"], timeout=60)
        lines = done.stdout.splitlines()
        pairs = (line.split(None, 1) for line in lines[1:] if "\t" in line or "  " in line)
        return [(pair[0], pair[1].strip()) for pair in pairs if len(pair) == 2]

    def run(self, *arguments: str, timeout: float = 60.0) -> str:
        """Run `adb` for this device and return what it wrote.

        Raises:
            DeviceGoneError: If the device is no longer there.
            KerasCompressError: If adb failed; the message says why and what to do.
        """
        done = self._call([self.path, "-s", self.serial, *arguments], timeout=timeout)
        said = f"{done.stdout}\n{done.stderr}"
        failed = done.returncode != 0 or (arguments[0] == "install" and "Failure [" in said)
        if failed:
            raise self._error(said, arguments)
        return done.stdout

    def shell(self, command: str, *, timeout: float = 60.0) -> str:
        """Run a shell command on the device."""
        return self.run("shell", command, timeout=timeout)

    def read(self, path: str) -> str | None:
        """Return a small file of the device, `None` if it isn't there."""
        try:
            return self.shell(f"cat {path}")
        except DeviceGoneError:
            raise
        except KerasCompressError:
            return None

    def exists(self, path: str) -> bool:
        """Return whether the device has a file or folder at `path`."""
        return self.shell(f"[ -e {path} ] && echo yes || echo no").strip() == "yes"

    def _error(self, said: str, arguments: Sequence[str]) -> KerasCompressError:
        if _GONE.search(said):
            return DeviceGoneError(f"The phone {self.serial} is no longer connected.")
        for pattern, message in _CAUSES:
            if re.search(pattern, said, re.IGNORECASE):
                return KerasCompressError(message)
        line = " ".join(said.split())[:300] or "nothing said"
        return KerasCompressError(f"`adb {arguments[0]}` failed: {line}")

    def _call(self, command: Sequence[str], *, timeout: float) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                command,
                capture_output=True,
                text=True,
                encoding="utf-8",
                errors="replace",
                timeout=timeout,
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired:
            raise DeviceGoneError(
                f"adb gave no answer within {timeout:.0f} seconds: the cable is loose, or the "
                "phone hangs."
            ) from None
        except OSError as error:
            raise KerasCompressError(
                f"Can't run adb at {self.path}: {error.strerror or error}."
            ) from error


def _choose(devices: list[tuple[str, str]], serial: str | None) -> str:
    listed = ", ".join(f"{name} ({state.split()[0]})" for name, state in devices) or "none"
    if serial is not None:
        state = dict(devices).get(serial)
        if state is None:
            raise KerasCompressError(
                f"`--serial` must name a connected phone. Received: {serial}; connected: {listed}."
            )
        devices = [(serial, state)]
    if not devices:
        raise KerasCompressError(
            "No phone is connected. Plug one in, switch on USB debugging in its developer "
            "options, and check with `adb devices`."
        )
    ready = [(name, state) for name, state in devices if state.split()[0] == "device"]
    if len(ready) > 1:
        raise KerasCompressError(f"Several phones are connected: {listed}. Name one with --serial.")
    if not ready:
        name, state = devices[0]
        if state.startswith("unauthorized"):
            raise KerasCompressError(
                f"The phone {name} does not trust this computer yet. Unlock it, confirm 'Allow USB "
                "debugging' on its screen, and run the command again."
            )
        if state.startswith("no permissions"):
            raise KerasCompressError(
                f"This computer may not open the phone {name}: on Linux add the udev rules of "
                "your distribution (`apt install android-sdk-platform-tools-common`)."
            )
        raise KerasCompressError(
            f"The phone {name} is {state.split()[0]}. Plug it in anew, or run `adb reconnect`."
        )
    return ready[0][0]
