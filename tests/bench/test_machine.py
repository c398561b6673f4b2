"""What the host tells, and what it doesn't."""

from __future__ import annotations

import datetime

from keras_compress.bench import machine


def test_heat_is_read_from_the_kernel(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "_THERMAL", tmp_path / "thermal")
    monkeypatch.setattr(machine, "_CPU", tmp_path / "cpu")
    assert machine.thermal() == {"temperature_c": None, "throttle_events": None}
    for number, text in enumerate(["41000", "67500", "-274000", "nonsense"]):
        zone = tmp_path / "thermal" / f"thermal_zone{number}"
        zone.mkdir(parents=True)
        (zone / "temp").write_text(text + "\n")
    for number in range(2):
        core = tmp_path / "cpu" / f"cpu{number}" / "thermal_throttle"
        core.mkdir(parents=True)
        (core / "core_throttle_count").write_text("3\n")
    assert machine.thermal() == {"temperature_c": 67.5, "throttle_events": 6}


def test_governor_where_there_is_one(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "_CPU", tmp_path)
    assert machine.environment()["governor"] is None
    (tmp_path / "cpu0/cpufreq").mkdir(parents=True)
    (tmp_path / "cpu0/cpufreq/scaling_governor").write_text("performance\n")
    (tmp_path / "cpu0/cpufreq/cpuinfo_max_freq").write_text("3500000\n")
    found = machine.environment()
    assert (found["governor"], found["max_frequency_khz"]) == ("performance", 3_500_000)


def test_the_time_is_utc():
    told = datetime.datetime.fromisoformat(machine.utc_now())
    now = datetime.datetime.now(datetime.UTC)
    assert told.utcoffset() == datetime.timedelta(0)
    assert abs((now - told).total_seconds()) < 5


def test_memory_grows_with_what_is_held():
    before, _ = machine.memory_kb()
    held = bytearray(64 * 1024 * 1024)
    held[::4096] = bytes(len(held) // 4096)
    after, peak = machine.memory_kb()
    if before is not None:
        assert after - before > 50_000 and peak >= after
    else:
        assert peak > 64 * 1024
