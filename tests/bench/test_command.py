"""`keras-compress bench` from the outside: output, files, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from keras_compress.bench import load_result

QUICK = ["--num-runs", "10", "--min-secs", "0.02", "--warmup-runs", "1"]


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "keras_compress", "bench", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        env=None,
    )


def test_tables(tflite_files):
    done = run(tflite_files["small.kcz"], "--baseline", tflite_files["large.tflite"], *QUICK)
    assert done.returncode == 0, done.stderr
    for word in ("small.kcz", "large.tflite", "baseline", "Unpack", "ai-edge-litert"):
        assert word in done.stdout
    assert done.stderr == ""


def test_json_to_stdout_and_to_a_file(tflite_files, tmp_path):
    done = run(tflite_files["small.tflite"], *QUICK, "--json", "-")
    assert done.returncode == 0 and json.loads(done.stdout)["schema_version"] == 1
    bare = run(tflite_files["small.tflite"], *QUICK, "--json")
    assert json.loads(bare.stdout)["models"][0]["name"] == "small.tflite"
    target = tmp_path / "r.json"
    to_file = run(tflite_files["small.tflite"], *QUICK, "--json", target)
    assert to_file.returncode == 0 and "small.tflite" in to_file.stdout
    assert load_result(target).models[0].name == "small.tflite"


def test_a_model_is_not_overwritten_by_its_result(tflite_files, tmp_path):
    victim = tmp_path / "victim.tflite"
    victim.write_bytes(b"precious")
    done = run(tflite_files["small.tflite"], "--json", victim)
    assert done.returncode == 1 and victim.read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["missing.tflite"], 1, "Can't read"),
        (["{text}"], 1, "identifier"),
        (["{small}", "--threads", "0"], 2, "at least 1"),
        (["{small}", "--threads", "100000"], 2, "cores"),
        (["{small}", "--seed", "-1"], 2, "at least 0"),
        (["{small}", "--max-secs", "nan"], 2, "must be"),
        (["{small}", "--warmup-runs", "-1"], 2, "at least 0"),
        (["{small}", "--min-secs", "9", "--max-secs", "2"], 2, "above --max-secs"),
        (["{small}", "--delegate", "gpu"], 2, "--android"),
        (["{small}", "--android", "--base", "x"], 2, "for this machine"),
        (["{small}", "--input-shape", "1,0"], 2, "1,224,224,3"),
        (["{small}", "--input-shape", "1", "--input-shape", "2"], 2, "each once"),
        (["{small}", "--json", "{folder}"], 1, "Can't write"),
        (["{small}", "--threads", "many"], 2, "whole number"),
        ([], 2, "MODEL"),
    ],
)
def test_bad_input_is_one_line(tflite_files, tmp_path, arguments, code, message):
    (tmp_path / "readme.txt").write_text("words and more words")
    names = {
        "text": tmp_path / "readme.txt",
        "small": tflite_files["small.tflite"],
        "folder": tmp_path,
    }
    done = run("--num-runs", "5", "--min-secs", "0", *[a.format(**names) for a in arguments])
    assert done.returncode == code
    assert message in done.stderr and "Traceback" not in done.stderr
    assert code == 2 or len(done.stderr.strip().splitlines()) == 1
