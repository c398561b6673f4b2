"""`bench --android` from the outside: the driver, a stand-in adb, and the app's core behind it."""

from __future__ import annotations

import json
import time

import jsonschema
import pytest

from keras_compress.android import android_bench, merge_results
from keras_compress.android.adb import find_adb
from keras_compress.android.session import _PhoneRun
from keras_compress.bench.comparison import compare
from keras_compress.bench.schema import load_schema
from keras_compress.cli.main import main
from keras_compress.errors import KerasCompressError
from tests.android.conftest import ASSETS, require

QUICK = {"num_runs": 10, "min_secs": 0.02, "max_secs": 1.0, "warmup_runs": 1}
MODEL = ASSETS / "digits_int8.kcz"
PLAIN = ASSETS / "digits_float32.tflite"


def test_push_run_pull_merge_and_report(live_phone, tmp_path, capsys):
    (live_phone.folder / "installed").unlink()
    apk = tmp_path / "app.apk"
    apk.write_bytes(b"stands for the APK")
    out = tmp_path / "out"
    quick = ["--num-runs", "10", "--min-secs", "0.02", "--max-secs", "1", "--warmup-runs", "1"]
    arguments = [str(MODEL), "--baseline", str(PLAIN), "--apk", str(apk), "--out", str(out)]
    code = main(["bench", "--android", *arguments, *quick, "--json", "-"])
    printed = json.loads(capsys.readouterr().out)
    assert code == 0
    assert [model["name"] for model in printed["models"]] == [
        "digits_float32.tflite (stand-in JVM)",
        "digits_int8.kcz (stand-in JVM)",
        "digits_float32.tflite (this machine)",
        "digits_int8.kcz (this machine)",
    ]
    report = json.loads((out / "report.json").read_text())
    assert report["bench"] == printed
    page = (out / "report.html").read_text()
    assert "stand-in JVM" in page and "this machine" in page
    phone = printed["parts"]["phone"]
    jsonschema.validate(phone, load_schema())
    assert phone["environment"]["serial"] == "phone1"
    assert phone["environment"]["runtime"]["version"] == "2.16.1"
    packed = phone["models"][1]
    assert packed["accuracy"]["top1"] > 0.97 and packed["decode"]["decode_ms"] > 0
    # Both sides judge by the same rules.
    assert packed["comparison"]["baseline"] == "digits_float32.tflite"
    expected = compare(packed, phone["models"][0])
    found = packed["comparison"]
    assert found["verdict"] == expected["verdict"] and found["reasons"] == expected["reasons"]
    for key in ("latency_ratio", "latency_ratio_low", "latency_ratio_high", "size_ratio"):
        assert found[key] == pytest.approx(expected[key])
    assert "install -r" in live_phone.calls()
    assert live_phone.leftovers() == []


def test_a_pulled_cable_is_said_and_the_next_try_goes_on(live_phone):
    live_phone.fault(gone_at="pull")
    with pytest.raises(KerasCompressError, match="the finished result is fetched"):
        android_bench(MODEL, **QUICK)
    pushes = live_phone.calls().count(" push ")
    result = android_bench(MODEL, **QUICK)
    assert result.models[0].name == "digits_int8.kcz"
    assert live_phone.calls().count(" push ") == pushes == 1
    assert live_phone.leftovers() == []


def test_a_cable_pulled_while_copying_costs_only_what_had_not_arrived(live_phone):
    # The second file is asked for when the first has arrived.
    live_phone.fault(gone_at="1_digits_int8")
    with pytest.raises(KerasCompressError, match="files that arrived whole are not copied again"):
        android_bench(MODEL, baseline=PLAIN, **QUICK)
    assert live_phone.calls().count(" push ") == 1
    android_bench(MODEL, baseline=PLAIN, **QUICK)
    assert live_phone.calls().count(" push ") == 2
    assert live_phone.leftovers() == []


def test_a_cable_pulled_while_it_runs_does_not_end_the_run(live_phone):
    settings = {**QUICK, "min_secs": 2.0, "max_secs": 9.0}
    live_phone.fault(gone_at="pidof")
    with pytest.raises(KerasCompressError, match="the phone goes on by itself"):
        android_bench(MODEL, **settings)
    starts = live_phone.calls().count("am start")
    android_bench(MODEL, **settings)
    assert live_phone.calls().count("am start") == starts == 2
    assert live_phone.leftovers() == []


def test_a_result_that_the_phone_has_no_room_for_is_said(live_phone):
    """The limit stands for a storage that is full once the models are there."""
    require("prlimit")
    java = json.loads((live_phone.folder / "java.json").read_text())
    limited = ["prlimit", "--fsize=2048", java[0], "-XX:-UsePerfData", *java[1:]]
    (live_phone.folder / "java.json").write_text(json.dumps(limited))
    with pytest.raises(KerasCompressError, match=r"On the phone: Can't write .*storage full"):
        android_bench(MODEL, **QUICK)
    assert live_phone.leftovers() == []


def test_a_crash_of_the_app_is_one_message(live_phone):
    live_phone.fault(crash=True)
    with pytest.raises(KerasCompressError, match="crashed on the phone at: Loading"):
        android_bench(MODEL, **QUICK)
    assert live_phone.leftovers() == []


def test_a_damaged_model_and_a_full_storage(live_phone, tmp_path):
    bad = bytearray(MODEL.read_bytes())
    bad[len(bad) // 2] ^= 255
    path = tmp_path / 'it\'s "bad" $HOME.kcz'
    path.write_bytes(bad)
    with pytest.raises(KerasCompressError, match="On the phone: A packed model must be whole"):
        android_bench(path, **QUICK)
    assert live_phone.leftovers() == []
    live_phone.fault(full=True)
    with pytest.raises(KerasCompressError, match="storage is full"):
        android_bench(MODEL, **QUICK)
    assert live_phone.leftovers() == []


def test_a_run_that_takes_too_long_is_ended(live_phone):
    settings = {**QUICK, "min_secs": 60.0, "max_secs": 90.0}
    with pytest.raises(KerasCompressError, match="took over 2 seconds"):
        android_bench(MODEL, **settings, timeout=2.0)
    time.sleep(0.2)
    assert live_phone.leftovers() == []


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        ({"devices": []}, "No phone is connected"),
        ({"devices": ["a\tdevice", "b\tdevice"]}, "Several phones.*--serial"),
        ({"devices": ["a\tunauthorized"]}, "does not trust this computer"),
        ({"devices": ["a\toffline"]}, "is offline"),
        ({"devices": ["a\tno permissions (udev)"]}, "udev"),
        ({"gone_at": "dumpsys"}, "no longer connected.*begins anew"),
    ],
)
def test_what_is_wrong_with_the_connection_is_said(phone, faults, message):
    phone.fault(**faults)
    with pytest.raises(KerasCompressError, match=message):
        android_bench(MODEL, **QUICK)


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        ("INSTALL_FAILED_INSUFFICIENT_STORAGE", "storage is full"),
        ("INSTALL_FAILED_UPDATE_INCOMPATIBLE: signatures", "another key"),
        ("INSTALL_FAILED_NO_MATCHING_ABIS", "arm64-v8a"),
        ("INSTALL_FAILED_SOMETHING_NEW", "SOMETHING_NEW"),
    ],
)
def test_a_refused_installation_is_explained(phone, tmp_path, failure, message):
    phone.fault(install=failure)
    apk = tmp_path / "app.apk"
    apk.write_bytes(b"x")
    with pytest.raises(KerasCompressError, match=message):
        android_bench(MODEL, apk=str(apk), **QUICK)


def test_input_is_checked_before_the_phone_is_asked(phone, tmp_path):
    text = tmp_path / "page.tflite"
    text.write_text("<html>not found</html>")
    for arguments, message in (
        ({"models": text}, "identifier"),
        ({"models": tmp_path / "none.tflite"}, "Can't read"),
        ({"models": []}, "at least one"),
        ({"models": MODEL, "delegate": "npu"}, "delegate"),
        ({"models": MODEL, "max_secs": float("inf")}, "max_secs"),
    ):
        with pytest.raises(KerasCompressError, match=message):
            android_bench(**arguments)
    assert not (phone.folder / "calls").exists()
    phone.fault(devices=["a\tdevice"])
    with pytest.raises(KerasCompressError, match="connected: a"):
        android_bench(MODEL, serial="b")


def test_no_adb_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("ANDROID_HOME", raising=False)
    monkeypatch.delenv("ANDROID_SDK_ROOT", raising=False)
    with pytest.raises(KerasCompressError, match="apt install adb"):
        find_adb()
    tool = tmp_path / "sdk/platform-tools/adb"
    tool.parent.mkdir(parents=True)
    tool.write_text("")
    monkeypatch.setenv("ANDROID_HOME", str(tmp_path / "sdk"))
    assert find_adb() == str(tool)


def test_the_same_run_has_the_same_name_and_another_has_another():
    class Named:
        serial = "x"

    def name(data: bytes, setting: str) -> str:
        run = _PhoneRun(Named(), [("m", MODEL, data)], [setting], False, 1.0, print)
        return run.id

    assert name(b"a", "--num_runs=1") == name(b"a", "--num_runs=1")
    assert len({name(b"a", "x"), name(b"b", "x"), name(b"a", "y")}) == 3


def test_without_a_host_the_phone_stands_alone():
    class Result:
        pass

    phone = Result()
    assert merge_results(phone, None) is phone
