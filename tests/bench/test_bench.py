"""Timing on this machine: what is measured, in which order, and what is refused."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

import keras_compress
from keras_compress import bench as bench_module
from keras_compress.bench import bench, load_result
from keras_compress.bench.process import WorkerProcess
from keras_compress.bench.schema import load_schema
from keras_compress.errors import KerasCompressError, ModelFileError

QUICK = {"num_runs": 20, "min_secs": 0.05, "warmup_runs": 2}


@pytest.fixture(scope="module")
def result(tflite_files):
    return bench(
        [tflite_files["small.tflite"], tflite_files["small.kcz"]],
        baseline=tflite_files["large.tflite"],
        **QUICK,
    )


def test_result_follows_the_written_schema(result):
    schema = load_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(result.to_dict(), schema)


def test_every_measure_is_there_and_plausible(result, tflite_files):
    assert [model.name for model in result.models] == [
        "large.tflite",
        "small.tflite",
        "small.kcz",
    ]
    for model in result.to_dict()["models"]:
        latency = model["latency_metrics"]
        ordered = ["min_ms", "p5_ms", "median_ms", "p90_ms", "p95_ms", "max_ms"]
        values = [latency[name] for name in ordered]
        assert values == sorted(values) and values[0] > 0
        assert latency["min_ms"] <= latency["avg_ms"] <= latency["max_ms"]
        assert latency["init_ms"] > 0 and latency["later_init_ms"] > 0
        assert latency["first_inference_ms"] > 0
        assert model["misc_metrics"]["num_runs"] >= 20
        assert model["misc_metrics"]["num_warmup_runs"] == 3
        stored = tflite_files[model["name"]].read_bytes()
        assert model["decode"]["file_bytes"] == len(stored)
        assert model["sha256"] == hashlib.sha256(stored).hexdigest()


def test_decoding_is_apart_from_initialization(result):
    plain, packed = result.model("small.tflite"), result.model("small.kcz")
    assert plain.decode_ms == 0 and packed.decode_ms > 0
    fields = packed.to_dict()["decode"]
    assert fields["model_bytes"] == plain.file_bytes > packed.file_bytes
    assert fields["later_decode_ms"] > 0


def test_the_larger_model_is_slower(result):
    large, small = result.model("large.tflite"), result.model("small.tflite")
    assert large.is_baseline and result.baseline.name == "large.tflite"
    assert large.median_ms > 3 * small.median_ms
    comparison = small.comparison
    assert comparison["latency_ratio"] == pytest.approx(large.median_ms / small.median_ms)
    assert comparison["latency_ratio_low"] > 2
    assert comparison["size_ratio"] == large.file_bytes / small.file_bytes
    # On a busy machine starting up may take longer, which is a warning.
    assert comparison["verdict"] in ("PASS", "PASS_WITH_WARNING")
    assert not any("times as long" in reason for reason in comparison["reasons"])
    assert large.comparison is None


def test_the_verdict_on_a_slower_model(tflite_files):
    found = bench(
        {"quick": tflite_files["small.tflite"], "slow": tflite_files["large.tflite"]},
        baseline="quick",
        **QUICK,
    )
    comparison = found.model("slow").comparison
    assert comparison["verdict"] == "FAIL"
    assert "times as long" in comparison["reasons"][0]


def test_models_take_turns_in_changing_order(tflite_files, monkeypatch):
    asked = []
    ask = WorkerProcess.ask

    def spy(self, command, **arguments):
        asked.append((command, self.name))
        return ask(self, command, **arguments)

    monkeypatch.setattr(WorkerProcess, "ask", spy)
    names = {"a": tflite_files["small.tflite"], "b": tflite_files["small.tflite"]}
    found = bench(names, num_runs=20, min_secs=0, warmup_runs=0, seed=3)
    turns = [name for command, name in asked if command == "run"]
    assert len(turns) == 20
    rounds = [turns[i : i + 2] for i in range(0, 20, 2)]
    assert all(sorted(pair) == ["a", "b"] for pair in rounds)
    assert ["a", "b"] in rounds and ["b", "a"] in rounds
    order = found.settings["order"]
    assert [["ab"[i] for i in positions] for positions in order] == rounds
    for model in found.to_dict()["models"]:
        assert [entry["num_runs"] for entry in model["rounds"]] == [2] * 10


def test_delegate_asked_and_used(tflite_files):
    path = tflite_files["small.tflite"]
    asked = bench(path, **QUICK).to_dict()["models"][0]["delegate"]
    assert asked["asked"] == asked["used"] == "xnnpack"
    assert asked["delegated_nodes"] == asked["nodes"] > 0 and asked["partitions"] == 1
    without = bench(path, delegate="none", **QUICK).to_dict()["models"][0]["delegate"]
    assert without["used"] == "none" and without["delegated_nodes"] == 0


def test_a_runtime_that_does_not_tell_is_unknown():
    from keras_compress.bench.delegation import describe_delegation

    assert describe_delegation(object(), "xnnpack")["used"] == "unknown"


def test_environment(result):
    told = result.environment
    assert told["os"] and told["cores"] == os.cpu_count()
    assert told["runtime"]["name"] == "ai-edge-litert"
    assert "temperature_c" in told["thermal_before"]


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_memory_is_each_models_own(result):
    memory = {m["name"]: m["memory_metrics"] for m in result.to_dict()["models"]}
    for fields in memory.values():
        assert 0 < fields["init_footprint_kb"] <= fields["overall_footprint_kb"] + 64
        assert fields["peak_footprint_kb"] >= fields["overall_footprint_kb"] - 64


def test_models_as_bytes(tflite_files):
    data = tflite_files["small.tflite"].read_bytes()
    packed = tflite_files["small.kcz"].read_bytes()
    found = bench({"plain": data, "packed": packed}, baseline=data, **QUICK)
    assert [m.name for m in found.models] == ["plain", "packed"]
    assert found.model("plain").is_baseline


def test_files_of_one_name_stay_apart(tflite_files, tmp_path):
    other = tmp_path / "small.tflite"
    other.write_bytes(tflite_files["small.tflite"].read_bytes())
    found = bench([tflite_files["small.tflite"], other], **QUICK)
    assert [m.name for m in found.models] == [str(tflite_files["small.tflite"]), str(other)]
    beside = bench(tflite_files["small.tflite"], baseline=other, **QUICK)
    assert [m.name for m in beside.models] == [str(other), str(tflite_files["small.tflite"])]
    twice = bench([other, other], **QUICK)
    assert [m.name for m in twice.models] == ["small.tflite", "small.tflite (2)"]


def test_max_secs_ends_a_run(tflite_files):
    found = bench(
        tflite_files["large.tflite"], num_runs=10**7, min_secs=0, max_secs=0.2, warmup_runs=1
    )
    assert 10 <= found.to_dict()["models"][0]["misc_metrics"]["num_runs"] < 10**6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threads": 0}, "threads"),
        ({"threads": 100_000}, "cores"),
        ({"threads": 1.5}, "threads"),
        ({"num_runs": 0}, "num_runs"),
        ({"warmup_runs": -1}, "warmup_runs"),
        ({"min_secs": -1}, "min_secs"),
        ({"min_secs": float("nan")}, "min_secs"),
        ({"min_secs": 9, "max_secs": 1}, "max_secs"),
        ({"delegate": "gpu"}, "delegate"),
    ],
)
def test_settings_out_of_range(tflite_files, options, message):
    with pytest.raises(KerasCompressError, match=message):
        bench(tflite_files["small.tflite"], **options)


def test_no_models():
    with pytest.raises(KerasCompressError, match="at least one"):
        bench([])


def test_bad_files(tflite_files, tmp_path):
    whole = tflite_files["small.tflite"].read_bytes()
    packed = bytearray(tflite_files["small.kcz"].read_bytes())
    packed[len(packed) // 2] ^= 0x55
    cases = {
        "empty.tflite": (b"", "empty"),
        "page.tflite": (b"<html>404 not found</html>", "identifier"),
        "cut.tflite": (whole[: len(whole) // 2], "can't run|crashed"),
        "damaged.kcz": (bytes(packed), "damaged"),
        "cut.kcz": (bytes(packed[: len(packed) // 3]), "damaged|early"),
    }
    for name, (data, message) in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(KerasCompressError, match=message):
            bench(tmp_path / name, **QUICK)
    with pytest.raises(KerasCompressError, match="Can't read"):
        bench(tmp_path / "missing.tflite")


def test_a_crash_of_the_runtime_is_an_error_not_an_end(tflite_files):
    with WorkerProcess("boom.tflite", timeout=30) as worker:
        os.kill(worker._process.pid, 11)
        with pytest.raises(ModelFileError, match=r"crashed on boom\.tflite.*SIGSEGV"):
            worker.ask("run", runs=1, min_secs=0, max_secs=1, settle=0)


def test_a_model_that_hangs_is_given_up(tflite_files):
    with WorkerProcess("slow.tflite", timeout=0.5) as worker:
        os.kill(worker._process.pid, 19)  # SIGSTOP
        with pytest.raises(ModelFileError, match="no answer"):
            worker.ask("run", runs=1, min_secs=0, max_secs=1, settle=0)
    assert worker._process.poll() is not None


def test_no_worker_is_left_behind(tflite_files, tmp_path, monkeypatch):
    started = []
    begin = WorkerProcess.__init__

    def spy(self, *args, **kwargs):
        begin(self, *args, **kwargs)
        started.append(self._process)

    monkeypatch.setattr(WorkerProcess, "__init__", spy)
    bad = tmp_path / "cut.tflite"
    bad.write_bytes(tflite_files["small.tflite"].read_bytes()[:2000])
    with pytest.raises(ModelFileError):
        bench([tflite_files["small.tflite"], bad], **QUICK)
    assert len(started) == 2 and all(process.poll() is not None for process in started)


def test_tensorflow_is_never_imported(tflite_files, tmp_path):
    """Neither by the parent nor by the worker: a poisoned tensorflow and keras go unnoticed."""
    for name in ("tensorflow", "keras"):
        (tmp_path / f"{name}.py").write_text(f"raise AssertionError('{name} was imported')")
    script = (
        "import sys; from keras_compress.bench import bench;"
        f"r = bench({str(tflite_files['small.kcz'])!r}, num_runs=5, min_secs=0);"
        "assert not {'tensorflow', 'keras'} & set(sys.modules);"
        "print(r.models[0].median_ms)"
    )
    here = Path(keras_compress.__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{here}"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert float(done.stdout) > 0


def test_results_are_written_and_read(result, tmp_path):
    result.write(tmp_path / "r.json")
    again = load_result(tmp_path / "r.json")
    assert again.to_dict() == result.to_dict()
    json.dumps(again.to_dict(), allow_nan=False)


def test_public_names_are_sorted_and_there():
    assert bench_module.__all__ == sorted(bench_module.__all__)
    assert all(getattr(bench_module, name) is not None for name in bench_module.__all__)
