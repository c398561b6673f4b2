"""What the host tells about itself: the environment block, heat and memory of a process."""

from __future__ import annotations

import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

__all__ = ["environment", "memory_kb", "reset_peak_memory", "thermal", "utc_now"]

_CPU = Path("/sys/devices/system/cpu")
_THERMAL = Path("/sys/class/thermal")
_STATUS = Path("/proc/self/status")


def utc_now() -> str:
    """Return the time of day as ISO 8601, in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def environment() -> dict[str, Any]:
    """Return the environment block; what the host does not tell is `None`."""
    from keras_compress.version import __version__

    return {
        "os": platform.system(),
        "os_version": _os_version(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "usable_cores": _usable_cores(),
        "governor": _text(_CPU / "cpu0/cpufreq/scaling_governor"),
        "max_frequency_khz": _number(_CPU / "cpu0/cpufreq/cpuinfo_max_freq"),
        "memory_kb": _field(Path("/proc/meminfo"), "MemTotal"),
        "load_average": _load(),
        "python": sys.version.split()[0],
        "keras_compress": __version__,
    }


def thermal() -> dict[str, Any]:
    """Return the hottest sensor in degrees Celsius and the count of throttling events."""
    temperatures = [_number(zone / "temp") for zone in _glob(_THERMAL, "thermal_zone*")]
    plausible = [t / 1000 for t in temperatures if t is not None and 0 < t < 200_000]
    events = [
        _number(path) for path in _glob(_CPU, "cpu[0-9]*/thermal_throttle/core_throttle_count")
    ]
    known = [count for count in events if count is not None]
    return {
        "temperature_c": max(plausible) if plausible else None,
        "throttle_events": sum(known) if known else None,
    }


def memory_kb() -> tuple[int | None, int | None]:
    """Return this process' resident memory and its peak so far, in kB."""
    resident, peak = _field(_STATUS, "VmRSS"), _field(_STATUS, "VmHWM")
    if peak is None:
        try:
            import resource
        except ImportError:  # Windows
            return resident, None
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if sys.platform == "darwin":
            peak //= 1024
    return resident, peak


def reset_peak_memory() -> None:
    """Let the peak start anew from what is resident now, where the kernel allows it."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _os_version() -> str | None:
    if platform.system() == "Linux":
        try:
            return platform.freedesktop_os_release().get("PRETTY_NAME")
        except OSError:
            return None
    return platform.version() or None


def _cpu_name() -> str | None:
    try:
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Hardware", "cpu model"):
                return value.strip()
    except OSError:
        pass
    return platform.processor() or None


def _usable_cores() -> int | None:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _load() -> list[float] | None:
    try:
        return [round(value, 2) for value in os.getloadavg()]
    except (AttributeError, OSError):
        return None


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip() or None
    except OSError:
        return None


def _number(path: Path) -> int | None:
    text = _text(path)
    try:
        return None if text is None else int(text)
    except ValueError:
        return None


def _field(path: Path, name: str) -> int | None:
    for line in (_text(path) or "").splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0])
    return None


def _glob(folder: Path, pattern: str) -> list[Path]:
    try:
        return sorted(folder.glob(pattern))
    except OSError:
        return []
