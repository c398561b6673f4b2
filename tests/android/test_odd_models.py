"""Models that are whole and still no good, given to the app's core and the engine of the APK."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ai_edge_litert.schema_py_generated import BuiltinOperator

from keras_compress.android import android_bench
from keras_compress.errors import KerasCompressError
from tests.android import odd_models as odd
from tests.android.conftest import ASSETS, require

QUICK = "--accuracy=false --rounds=1 --num_runs=2 --min_secs=0 --max_secs=1 --warmup_runs=0"
CUSTOM = {"code": BuiltinOperator.CUSTOM, "custom": "NoSuchOperator"}

REFUSED = {
    "missing_operator": (odd.addition([1, 4], **CUSTOM), r"NoSuchOperator.*--use_binary"),
    "newer_operator": (odd.addition([1, 4], version=99), "version '99'"),
    "unknown_operator": (odd.addition([1, 4], code=9999), "9999"),
    "operator_outside": (odd.addition([1, 4], index=7), "opcode_index 7"),
    "two_gigabytes": (odd.addition([1, 1 << 29]), "takes 6442450944"),
    "two_gigabytes_inside": (odd.large_inside(1 << 29), "takes 2147483652"),
    "more_than_64_bits": (odd.addition([(1 << 31) - 1] * 4), "may take at most"),
    "negative_shape": (odd.addition([-1, 4]), "overflowed"),
    "one_input_of_two": (odd.addition([1, 4], inputs=[0]), "NumInputs"),
    "no_output": (odd.addition([1, 4], outputs=[]), "NumOutputs"),
    "weights_of_another_rank": (odd.convolution(weights=[1]), "filter->dims->size"),
    "stride_of_nothing": (odd.pooling(stride=0, window=2), "stride_height > 0"),
    "shape_that_does_not_fit": (odd.reshaped_at_run_time(), "num_output_elements"),
    "row_outside": (odd.lookup(7), "out of bounds"),
    "in_place": (odd.in_place(), "inconsistent"),
    "without_inputs": (odd.without_inputs(), "[Ii]nputs"),
    "of_text": (odd.of_text(), "Inputs must be numbers"),
}
RUN = {
    "shape_of_any_batch": odd.addition([1, 4], [-1, 4]),
    "answers_of_unknown_number": odd.answers_of_unknown_number(),
    "plain": odd.addition([1, 4]),
}


def run(jvm_app: list[str], folder: Path, names: list[str], *options: str) -> int:
    """Run the models of `folder` one after the other in one process; return its exit status."""
    lines = [f"--graph={name}.tflite --run_id={name} {QUICK}" for name in names]
    command = [jvm_app[0], *options, *jvm_app[1:], str(folder), str(ASSETS), *lines]
    log = {**os.environ, "KC_ENGINE_LOG": str(folder / "engine.log")}
    return subprocess.run(command, capture_output=True, timeout=300, env=log).returncode


def result(folder: Path, name: str) -> dict[str, Any]:
    return json.loads((folder / f"results/{name}.json").read_text())


@pytest.fixture(scope="module")
def tried(jvm_app, tmp_path_factory) -> Path:
    """The app's folder after all of them, the good ones last."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "models").mkdir()
    models = {**{name: data for name, (data, _) in REFUSED.items()}, **RUN}
    for name, data in models.items():
        (folder / f"models/{name}.tflite").write_bytes(data)
    # 1: some failed. Anything else would be a process that did not live to see the last.
    assert run(jvm_app, folder, list(models)) == 1
    return folder


@pytest.mark.parametrize("name", REFUSED)
def test_what_cant_run_is_one_sentence_in_its_result(tried, name):
    found = result(tried, name)
    assert re.search(REFUSED[name][1], found["error"]), found["error"]
    assert f"{name}.tflite" in found["error"] and "\n" not in found["error"]
    assert found["models"] == []


@pytest.mark.parametrize("name", RUN)
def test_shapes_known_only_when_it_runs_are_timed_and_said(tried, name):
    (model,) = result(tried, name)["models"]
    assert model["latency_metrics"]["median_ms"] > 0
    said = any("known only when it runs" in line for line in model.get("warnings", []))
    assert said == (name != "plain")


def test_changed_bytes_end_in_a_result_or_in_a_crash_that_names_the_model(jvm_app, tmp_path):
    (tmp_path / "models").mkdir()
    good = (ASSETS / "digits_float32.tflite").read_bytes()
    chance = random.Random(7)
    names = [f"n{number}" for number in range(40)]
    for name in names:
        changed = bytearray(good)
        for _ in range(chance.choice((1, 2, 4))):
            # The tables lie at both ends; the middle is weights.
            place = chance.choice((chance.randrange(2000), -1 - chance.randrange(6000)))
            changed[place] = chance.choice((0, 1, 127, 255, chance.randrange(256)))
        (tmp_path / f"models/{name}.tflite").write_bytes(changed)
    left, refused = names, 0
    while left:
        if run(jvm_app, tmp_path, left) in (0, 1):
            break
        states = [json.loads(path.read_text()) for path in tmp_path.glob("results/*.status")]
        (crashed,) = [state["run"] for state in states if state["state"] == "running"]
        assert not (tmp_path / f"results/{crashed}.json").exists()
        (tmp_path / f"results/{crashed}.status").unlink()
        left = left[left.index(crashed) + 1 :]
        names.remove(crashed)
    for name in names:
        refused += "error" in result(tmp_path, name)
    assert 0 < refused < len(names)


def test_no_memory_for_the_file_is_said(jvm_app, tmp_path):
    (tmp_path / "models").mkdir()
    for name, asset in (("plain", "digits_float32.tflite"), ("packed", "digits_int8.kcz")):
        (tmp_path / f"models/{name}.tflite").write_bytes((ASSETS / asset).read_bytes())
    assert run(jvm_app, tmp_path, ["plain", "packed"], "-XX:MaxDirectMemorySize=100k") == 1
    for name in ("plain", "packed"):
        assert "no memory for the" in result(tmp_path, name)["error"]


def test_no_memory_for_the_tensors_is_said(jvm_app, tmp_path):
    """The machine promises more than it then gives, as phones do."""
    require("prlimit")
    (tmp_path / "models").mkdir()
    (tmp_path / "models/large.tflite").write_bytes(odd.large_inside(1 << 29))
    small = ["-Dfree_memory=8000000000", "-Xmx64m", "-XX:+UseSerialGC"]
    small += ["-XX:ReservedCodeCacheSize=32m", "-XX:CompressedClassSpaceSize=32m"]
    limited = ["prlimit", "--as=2000000000", "java", *small, *jvm_app[1:]]
    assert run(limited, tmp_path, ["large"]) == 1
    said = result(tmp_path, "large")["error"]
    assert "large.tflite" in said and "not enough memory for its tensors" in said


def test_a_model_that_crashes_the_runtime_ends_its_run_and_not_the_app(live_phone, tmp_path):
    evil = tmp_path / "evil.tflite"
    evil.write_bytes(odd.convolution(weights=[1, 1, 1, 1], channels=4))
    settings = {"num_runs": 2, "min_secs": 0.0, "max_secs": 1.0}
    with pytest.raises(KerasCompressError, match=r"crashed on the phone at: Loading.*evil"):
        android_bench(evil, **settings)
    assert live_phone.leftovers() == []
    good = tmp_path / "good.tflite"
    good.write_bytes(RUN["plain"])
    (model,) = android_bench(good, **settings).models
    assert model.name == "good.tflite"
