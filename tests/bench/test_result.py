"""The result schema, its reader, and the numbers that go into it."""

from __future__ import annotations

import copy
import json

import jsonschema
import numpy as np
import pytest

from keras_compress.bench import BenchmarkResult, load_result
from keras_compress.bench.comparison import compare
from keras_compress.bench.samples import describe, ratio_interval
from keras_compress.bench.schema import check, load_schema
from keras_compress.errors import KerasCompressError


def document() -> dict:
    """A result as a phone might write it: other fields, and much that is not told."""
    return {
        "schema_version": 1,
        "created": "2026-11-22T12:00:00Z",
        "settings": {
            "num_threads": 4,
            "warmup_runs": 1,
            "num_runs": 50,
            "min_secs": 1,
            "max_secs": 150.0,
            "delegate": "gpu",
            "rounds": 1,
        },
        "environment": {"os": "Android", "board": "shiba", "governor": None},
        "battery": {"temperature_c": 31.5},
        "models": [
            {
                "name": "net.kcz",
                "format": "kcz",
                "latency_metrics": {
                    "avg_ms": 2.0,
                    "min_ms": 1.5,
                    "max_ms": 9.0,
                    "stddev_ms": 0.5,
                    "median_ms": 1.9,
                    "p5_ms": 1.6,
                    "p25_ms": 1.7,
                    "p90_ms": 2.4,
                    "p95_ms": 2.6,
                    "init_ms": 12.0,
                    "first_inference_ms": 4.0,
                    "average_warm_up_ms": 4.0,
                },
                "memory_metrics": {"peak_mem_mb": None, "pss_kb": 40123},
                "misc_metrics": {"model_size_mb": 0.5, "num_runs": 50, "num_warmup_runs": 1},
                "delegate": {"asked": "gpu", "used": "unknown"},
            }
        ],
    }


def test_unknown_fields_are_kept(tmp_path):
    (tmp_path / "phone.json").write_text(json.dumps(document()))
    found = load_result(tmp_path / "phone.json")
    assert found.to_dict() == document()
    found.write(tmp_path / "again.json")
    assert json.loads((tmp_path / "again.json").read_text()) == document()
    model = found.model("net.kcz")
    assert (model.median_ms, model.decode_ms, model.file_bytes) == (1.9, 0.0, 500_000)
    with pytest.raises(KerasCompressError, match=r"'other'.*net\.kcz"):
        found.model("other")


def test_what_was_read_cannot_be_changed_from_outside():
    given = document()
    found = BenchmarkResult(given)
    given["models"].clear()
    found.to_dict()["models"].clear()
    assert len(found.models) == 1


def _damaged():
    for place, value in [
        (("schema_version",), "1"),
        (("schema_version",), 0),
        (("schema_version",), True),
        (("models",), {}),
        (("models", 0), []),
        (("models", 0, "name"), 7),
        (("models", 0, "format"), "onnx"),
        (("models", 0, "latency_metrics", "median_ms"), None),
        (("models", 0, "latency_metrics", "median_ms"), -1.0),
        (("models", 0, "misc_metrics", "num_runs"), 1.5),
        (("models", 0, "delegate", "nodes"), "many"),
        (("environment", "load_average"), ["a"]),
        (("environment", "thermal_before"), {"temperature_c": "hot"}),
    ]:
        changed = document()
        target = changed
        for key in place[:-1]:
            target = target[key]
        target[place[-1]] = value
        yield changed
    for place in [("models",), ("settings", "delegate"), ("models", 0, "delegate", "used")]:
        changed = document()
        target = changed
        for key in place[:-1]:
            target = target[key]
        del target[place[-1]]
        yield changed


@pytest.mark.parametrize("changed", list(_damaged()))
def test_the_reader_refuses_what_the_schema_refuses(changed):
    assert not jsonschema.Draft202012Validator(load_schema()).is_valid(changed)
    with pytest.raises(KerasCompressError, match="benchmark result"):
        BenchmarkResult(changed)


def test_the_reader_accepts_what_the_schema_accepts():
    check(document())
    jsonschema.validate(document(), load_schema())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json",
        "[]",
        "null",
        "{}",
        "[" * 100_000,
        '{"schema_version": NaN}',
        json.dumps(document()).replace("1.9", "Infinity"),
    ],
)
def test_hostile_text(tmp_path, text):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(KerasCompressError):
        load_result(tmp_path / "r.json")


def test_binary_and_missing_files(tmp_path):
    (tmp_path / "r.json").write_bytes(bytes(range(256)))
    with pytest.raises(KerasCompressError, match="JSON"):
        load_result(tmp_path / "r.json")
    with pytest.raises(KerasCompressError, match="Can't read"):
        load_result(tmp_path / "missing.json")


def test_newer_versions_are_refused_by_name():
    newer = document() | {"schema_version": 2, "models": "of another form"}
    with pytest.raises(KerasCompressError, match="Update keras-compress"):
        BenchmarkResult(newer)


def test_percentiles_are_measured_numbers():
    times = np.arange(1, 101) * 1_000_000
    np.random.default_rng(0).shuffle(times)
    found = describe(times)
    assert (found["p5_ms"], found["median_ms"], found["p90_ms"], found["p95_ms"]) == (5, 50, 90, 95)
    assert (found["min_ms"], found["max_ms"], found["avg_ms"]) == (1, 100, 50.5)
    assert found["stddev_ms"] == pytest.approx(np.arange(1, 101).std())
    assert set(describe([5_000_000]).values()) == {5.0, 0.0}


def test_the_interval_ignores_one_bad_round_on_either_side():
    assert ratio_interval([2.0] * 10, [1.0] * 10) == (2.0, 2.0)
    assert ratio_interval([2.0] * 8 + [90.0, 0.01], [1.0] * 10) == (2.0, 2.0)
    assert ratio_interval([1.0, 3.0], [1.0, 1.0]) == (1.0, 3.0)


def test_the_interval_covers_the_true_ratio():
    generator = np.random.default_rng(0)
    hits = 0
    for _ in range(500):
        noise = np.exp(generator.normal(0, 0.2, 10))
        low, high = ratio_interval(list(1.5 * noise), [1.0] * 10)
        hits += low <= 1.5 <= high
    assert hits / 500 > 0.95


def _entry(median: float, size: int = 1000, init: float = 1.0) -> dict:
    return {
        "name": "m",
        "latency_metrics": {
            "median_ms": median,
            "avg_ms": median,
            "init_ms": init,
            "average_warm_up_ms": median,
        },
        "decode": {"decode_ms": 0.0, "file_bytes": size},
        "rounds": [{"num_runs": 5, "median_ms": median * f} for f in np.linspace(0.99, 1.01, 10)],
    }


@pytest.mark.parametrize(
    ("model", "verdict", "reason"),
    [
        (_entry(0.5), "PASS", None),
        (_entry(1.03), "PASS", None),
        (_entry(1.5), "FAIL", "times as long"),
        (_entry(1.0, size=2000), "PASS_WITH_WARNING", "2.00 times as large"),
        (_entry(1.0, init=9.0), "PASS_WITH_WARNING", "8.0 ms longer"),
    ],
)
def test_verdicts(model, verdict, reason):
    baseline = copy.deepcopy(_entry(1.0))
    found = compare(model, baseline)
    assert found["verdict"] == verdict
    assert (reason is None and not found["reasons"]) or reason in " ".join(found["reasons"])
    assert found["latency_ratio"] == pytest.approx(1.0 / model["latency_metrics"]["median_ms"])
