"""Mutation scores: small faults planted one by one, and whether the tests see them.

    python benchmarks/mutants.py python --parts engine pruning --sample 40 --json OUT
    python benchmarks/mutants.py native --sample 60 --json OUT

A sample is drawn by `--seed`, from each part as many as its share of lines. A fault in Python is
tried against the tests that ran its lines, by one run of the part's tests under coverage; one in
C++ against the native tests and those of `tests/packing` or the binary ones. The checkout is
copied, and only the copy is changed. A fault counts as seen where a test fails, where it takes ten
times as long as it should, or where nothing builds. What was tried stands in OUT and isn't tried
again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import native_faults
import python_faults

ROOT = Path(__file__).resolve().parents[1]
# Part -> its tests, beyond the folder of its name.
TESTS = {
    "engine": ["tests/engine", "tests/pruning", "tests/clustering", "tests/rate"],
    "compat": ["tests/compat"],
    "cli": ["tests/cli", "tests/packing", "tests/recipes", "tests/exporter", "tests/bench"],
    "exporter": ["tests/exporter", "tests/binary_export"],
    ".": ["tests/test_storage.py", "tests/exporter", "tests/packing"],
}
_PYTEST = ["-x", "-q", "-p", "no:cacheprovider", "-o", "addopts=--import-mode=importlib"]


class Recorder:
    """A pytest plugin that keeps the seconds each test took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration


def run_forked(tree: Path, arguments: list[str], limit: float, out: Path | None = None) -> str:
    """Run pytest on `tree` in a fork, which has the libraries imported: passed, failed, late.

    This process must not have imported `keras_compress`, which the fork takes from `tree`.
    """
    pid = os.fork()
    if pid == 0:
        os.setsid()
        os.chdir(tree)
        os.environ["PYTHONPATH"] = os.fspath(tree)
        sys.path.insert(0, os.fspath(tree))
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        import pytest

        recorder = Recorder()
        code = int(pytest.main(arguments, plugins=[recorder]))
        if out is not None:
            out.write_text(json.dumps(recorder.seconds))
        os._exit(code)
    end = time.monotonic() + limit
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return "passed" if status == 0 else "failed"
        time.sleep(0.05)
    os.killpg(pid, 9)
    os.waitpid(pid, 0)
    return "late"


def copy_tree(to: Path) -> Path:
    names = ("keras_compress", "tests", "export", "benchmarks", "examples", "docs")
    for name in names:
        shutil.copytree(ROOT / name, to / name, ignore=shutil.ignore_patterns("work"))
    for name in ("pyproject.toml", "README.md", "android_demo"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, to / name)
    return to


def covering(tree: Path, part: str, work: Path) -> tuple[dict[str, Any], dict[str, float]]:
    """File -> line -> tests that ran it, and the seconds of each test."""
    import coverage

    tests = TESTS.get(part, [f"tests/{part}"])
    data, seconds = work / f"{part}.coverage", work / f"{part}.json"
    os.environ["COVERAGE_FILE"] = os.fspath(data)
    configuration = work / "coveragerc"
    configuration.write_text("[run]\nbranch = false\n")
    options = ["--cov=keras_compress", "--cov-context=test", "--cov-report="]
    plain = [word for word in _PYTEST if word != "-x"]
    state = run_forked(
        tree, [*plain, *options, f"--cov-config={configuration}", *tests], 3600, seconds
    )
    if state != "passed":
        raise SystemExit(f"{part}: the tests must pass before anything is planted ({state})")
    found = coverage.CoverageData(basename=os.fspath(data))
    found.read()
    lines: dict[str, Any] = {}
    for name in found.measured_files():
        contexts = found.contexts_by_lineno(name)
        lines[os.path.relpath(name, tree)] = {
            line: {context.split("|")[0] for context in tests_of if context}
            for line, tests_of in contexts.items()
        }
    return lines, json.loads(seconds.read_text())


def sample(files: list[Path], faults_in: Any, count: int, seed: int) -> list[tuple[Path, Any]]:
    """`count` faults, no two on one line, a file's share being that of its lines with faults."""
    by_line: dict[tuple[Path, int], list[Any]] = {}
    for path in files:
        for fault in faults_in(path.read_text()):
            by_line.setdefault((path, fault.line), []).append(fault)
    rng = random.Random(seed)
    chosen = rng.sample(sorted(by_line), min(count, len(by_line)))
    return [(path, rng.choice(by_line[path, line])) for path, line in chosen]


def python_part(part: str, args: argparse.Namespace, done: dict[str, Any], save: Any) -> None:
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        tree = copy_tree(work / "tree")
        folder = ROOT / "keras_compress" / part
        files = sorted(folder.glob("*.py") if part == "." else folder.rglob("*.py"))
        chosen = sample(files, python_faults.faults_in, args.sample, args.seed)
        lines, seconds = covering(tree, part, work)
        for path, fault in chosen:
            where = path.relative_to(ROOT).as_posix()
            key = f"{where}:{fault.line}: {fault.before!r} -> {fault.after!r}"
            if key in done:
                continue
            tests = set().union(
                *(lines.get(where, {}).get(i, set()) for i in range(fault.line, fault.end_line + 1))
            )
            tests_of_part = TESTS.get(part, [f"tests/{part}"])
            ordered = sorted(tests, key=lambda test: seconds.get(test, 0)) or tests_of_part
            expected = sum(seconds.get(test, 0) for test in tests) or sum(seconds.values())
            target = tree / where
            target.write_text(fault.source)
            state = run_forked(tree, [*_PYTEST, *ordered], 30 + 10 * expected)
            target.write_text(path.read_text())
            save(key, part, state, len(tests))


def native_part(part: str, args: argparse.Namespace, done: dict[str, Any], save: Any) -> None:
    folder = {"codec": "src", "kernels": "binary"}[part]
    tests = {
        "codec": ["tests/packing"],
        "kernels": ["tests/binary_export"],
    }[part]
    with tempfile.TemporaryDirectory() as name:
        tree = copy_tree(Path(name, "tree"))
        build = Path(name, "build")
        configure = [
            "cmake",
            "-S",
            tree / "export",
            "-B",
            build,
            "-DKC_INPLACE=ON",
            "-DKC_TESTS=ON",
        ]
        subprocess.run([*configure, "-DCMAKE_BUILD_TYPE=Release"], check=True, capture_output=True)

        def make() -> bool:
            command = ["cmake", "--build", build, "-j1"]
            return subprocess.run(command, capture_output=True).returncode == 0

        def native() -> bool:
            command = ["ctest", "--test-dir", build, "--timeout", "120"]
            return subprocess.run(command, capture_output=True).returncode == 0

        started = time.monotonic()
        if not (make() and native()) or run_forked(tree, [*_PYTEST, *tests], 3600) != "passed":
            raise SystemExit(f"{part}: the tests must pass before anything is planted")
        limit = 30 + 5 * (time.monotonic() - started)
        files = sorted((ROOT / "export" / folder).glob("*.[ch]*"))
        files = [p for p in files if p.suffix in (".cc", ".h")]
        for path, fault in sample(files, native_faults.faults_in, args.sample, args.seed):
            where = path.relative_to(ROOT).as_posix()
            key = f"{where}:{fault.line}: {fault.before!r} -> {fault.after!r}"
            if key in done:
                continue
            target = tree / where
            target.write_text(fault.source)
            if not make():
                state = "does not build"
            elif not native():
                state = "failed"
            else:
                state = run_forked(tree, [*_PYTEST, *tests], limit)
            target.write_text(path.read_text())
            save(key, part, state, 0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("language", choices=("python", "native"))
    parser.add_argument("--parts", nargs="+", required=True)
    parser.add_argument("--sample", type=int, default=30, help="faults in each part")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, required=True, metavar="OUT")
    args = parser.parse_args()
    done: dict[str, Any] = json.loads(args.json.read_text()) if args.json.exists() else {}

    def save(key: str, part: str, state: str, tests: int) -> None:
        done[key] = {"part": part, "state": state, "tests": tests}
        partial = args.json.with_suffix(".partial")
        partial.write_text(json.dumps(done, indent=1) + "\n")
        partial.replace(args.json)
        print(f"{state:>14}  {key}", flush=True)

    if args.language == "python":
        # Imported once; each fault is tried in a fork.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        import ai_edge_litert.interpreter  # noqa: F401
        import keras  # noqa: F401
        import pytest  # noqa: F401
    for part in args.parts:
        (python_part if args.language == "python" else native_part)(part, args, done, save)
        rows = [row for row in done.values() if row["part"] == part]
        counted = [row for row in rows if row["state"] != "does not build"]
        seen = sum(row["state"] != "passed" for row in counted)
        print(f"{part}: {seen} of {len(counted)} seen")
    return 0


if __name__ == "__main__":
    sys.exit(main())
