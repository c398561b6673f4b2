"""Mutation scores: small faults planted one by one, and whether the tests see them.

    python benchmarks/mutants.py cover --work WORK
    python benchmarks/mutants.py python --sample 220 --work WORK --json OUT
    python benchmarks/mutants.py native --sample 80 --work WORK --json OUT
    python benchmarks/mutants.py python --again NAME --tests TEST --work WORK --json OUT
    python benchmarks/mutants.py check --work WORK --json OUT
    python benchmarks/mutants.py table --json OUT

`cover` copies the checkout into WORK and runs the tests of each folder once under coverage, which
says what tests run what line and how much processor time each takes. A sample is drawn by `--seed`,
from each part its share of the lines. A fault in Python is tried against the tests that ran its
lines, the quickest first (without `cover`: those of the files that name its module); one in C++
against most files of `tests/packing` or `tests/binary_export`, and then the native tests. Only the
copy is changed. A fault counts as seen where a test fails or where it takes ten times the
processor time that it should; one that doesn't build isn't counted. `check` runs what saw a fault
on the unchanged copy, where it must pass; what doesn't is taken out of OUT. What was tried stands
in OUT and is tried again only by `--again`: unseen faults whose line in OUT has NAME in it, against
the tests as the checkout has them now. An entry's `why`, written by hand, says why a fault that no
test sees changes nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import native_faults
import python_faults
from fault_journal import Journal
from forked_tests import PYTEST, run_forked

ROOT = Path(__file__).resolve().parents[1]
# Folders whose tests need more than Python, and tests that are of the texts alone.
LEFT_OUT = {"android", "docs"}
# Part -> the folders of its tests, where they aren't of its name.
TESTS = {
    "copying": ["copying", "engine"],
    "cli": ["cli", "recipes", "exporter", "bench", "packing", "report"],
    "root": [".", "loading", "exporter"],
}
# Test files to a fault of a file that has no coverage.
NEAREST = 3
# Tests of the packer, those first that see most in the least time.
QUICK = ("golden", "pack", "fast_models", "small_files", "noise", "general")
OTHERS = (
    "sparse_floats",
    "odd_models",
    "attacks",
    "patch_attacks",
    "many_sections",
    "bundles",
    "channel_books",
    "patches",
    "repeats",
    "codec_order",
    "blocks",
    "damage",
    "packed_file",
    "slow_reader",
    "properties",
)


def packing_tests(names: Sequence[str]) -> list[str]:
    return [f"tests/packing/test_{name}.py" for name in names]


# Part -> its sources, its tests in Python in two lots, the quick first, and its native tests,
# which take longest to build.
NATIVE = {
    "codec": ("src", packing_tests(QUICK), packing_tests(OTHERS), "native|parts|blockwise"),
    "kernels": ("binary", ["tests/binary_export"], [], "binary|emulated"),
}


def copy_tree(to: Path) -> Path:
    names = ("keras_compress", "tests", "export", "benchmarks", "examples", "docs", "android_demo")
    left_out = shutil.ignore_patterns(
        "cache", "results", "target", "build", "build-*", "__pycache__"
    )
    for name in names:
        shutil.copytree(ROOT / name, to / name, ignore=left_out)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, to / name)
    return to


def tree_of(args: argparse.Namespace) -> Path:
    """WORK's copy of the checkout, with the checkout's tests where faults are tried again."""
    tree: Path = args.work / "tree"
    if not tree.exists():
        return copy_tree(tree)
    if args.again is not None:
        for name in ("tests", "export/tests"):
            shutil.copytree(ROOT / name, tree / name, dirs_exist_ok=True)
    return tree


def cover(work: Path, only: list[str] | None) -> None:
    """Run each folder's tests once; keep, in WORK, what lines each test runs and its seconds.

    `only` names the folders; None takes all.
    """
    import coverage

    tree = work / "tree"
    if not tree.exists():
        copy_tree(tree)
    configuration = work / "coveragerc"
    configuration.write_text("[run]\nbranch = false\n")
    tests = tree / "tests"
    folders = [p for p in sorted(tests.iterdir()) if p.is_dir() and p.name not in LEFT_OUT]
    for folder in folders:
        out = work / f"{folder.name}.json"
        if out.exists() or not list(folder.glob("test_*.py")) or (only and folder.name not in only):
            continue
        data = work / f"{folder.name}.coverage"
        os.environ["COVERAGE_FILE"] = os.fspath(data)
        options = ["--cov=keras_compress", "--cov-context=test", "--cov-report="]
        options += [f"--cov-config={configuration}", f"tests/{folder.name}"]
        seconds = work / f"{folder.name}.seconds"
        started = time.monotonic()
        state = run_forked(tree, [*PYTEST, *options], out=seconds, log=seconds.with_suffix(".log"))
        found = coverage.CoverageData(basename=os.fspath(data))
        found.read()
        lines: dict[str, dict[int, list[str]]] = {}
        for name in sorted(found.measured_files()):
            contexts = found.contexts_by_lineno(name)
            lines[os.path.relpath(name, tree)] = {
                line: sorted(c for c in of_line if c) for line, of_line in contexts.items()
            }
        result = {"state": state, "lines": lines, **json.loads(seconds.read_text())}
        out.write_text(json.dumps(result))
        print(f"{folder.name}: {state} in {time.monotonic() - started:.0f} s", flush=True)


class Covered:
    """Which tests run a line, from all of WORK's folders."""

    def __init__(self, work: Path) -> None:
        self.seconds: dict[str, float] = {}
        self.lines: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
        self.folders: set[str] = set()
        for path in work.glob("*.json"):
            found = json.loads(path.read_text())
            if "lines" not in found:
                continue
            self.folders.add(path.stem)
            self.seconds |= found["seconds"]
            for name, of_lines in found["lines"].items():
                for line, contexts in of_lines.items():
                    self.lines[name][int(line)] |= set(contexts)
        self.of_file: dict[str, list[str]] = defaultdict(list)
        for test in self.seconds:
            self.of_file[test.split("::")[0]].append(test)

    def tests(self, name: str, first: int, last: int, part: str) -> list[str]:
        """The tests that run those lines, the module's and the part's own first, then the quickest.

        What ran in a test's set-up may be a fixture of all tests of its file; a line that ran
        before any test concerns all that run another line of the file.
        """
        contexts = set().union(*(self.lines[name].get(i, set()) for i in range(first, last + 1)))
        if not contexts:
            contexts = set().union(set(), *self.lines[name].values())
        found = set()
        for context in contexts:
            test, _, phase = context.partition("|")
            found.update(self.of_file[test.split("::")[0]] if phase == "setup" else [test])
        own, module = f"tests/{part}/", f"/test_{Path(name).stem}.py::"

        def order(test: str) -> float:
            return self.seconds[test] * (0.2 if module in test else 1 if own in test else 3)

        return sorted(found & self.seconds.keys(), key=order)

    def near(self, path: Path, tree: Path, part: str) -> list[str]:
        """The test files of the part that name `path`'s module or what it defines, most first.

        For files whose tests weren't run under coverage.
        """
        words = {
            path.stem.removesuffix("_command"),
            *re.findall(r"^(?:def|class) ([A-Za-z]\w+)", path.read_text(), re.M),
        }
        pattern = re.compile(rf"\b({'|'.join(sorted(words))})\b")
        counts = {}
        for name in TESTS.get(part, [part]):
            for test in sorted((tree / "tests" / name).glob("test_*.py")):
                found = len(set(pattern.findall(test.read_text())))
                # A test of the module's name is its own.
                own = 100 * (test.stem == f"test_{path.stem.removesuffix('_command')}")
                counts[test.relative_to(tree).as_posix()] = found + own
        best = sorted(counts, key=lambda name: -counts[name])
        return [name for name in best if counts[name]][:NEAREST] or best[:NEAREST]

    def within(self, tests: list[str], limit: float) -> list[str]:
        """As many of the first tests as take `limit` seconds together, at least one."""
        total, chosen = 0.0, []
        for test in tests:
            total += self.seconds[test]
            if chosen and total > limit:
                break
            chosen.append(test)
        return chosen


def sample(
    files: list[Path], faults_in: Any, count: int, seed: int, part_of: Any
) -> list[tuple[str, Path, Any]]:
    """`count` faults, no two on one line, a part's share being that of its lines with faults."""
    by_part: dict[str, dict[tuple[Path, int], list[Any]]] = defaultdict(dict)
    for path in files:
        for fault in faults_in(path.read_text()):
            by_part[part_of(path)].setdefault((path, fault.line), []).append(fault)
    everything = sum(map(len, by_part.values()))
    chosen = []
    for part, lines in sorted(by_part.items()):
        rng = random.Random(f"{seed} {part}")
        share = max(4, round(count * len(lines) / everything))
        for place in rng.sample(sorted(lines), min(share, len(lines))):
            chosen.append((part, place[0], rng.choice(lines[place])))
    # Mixed, so that a run which is stopped has seen something of each part.
    random.Random(seed).shuffle(chosen)
    return chosen


def named(path: Path, tree: Path, fault: Any) -> tuple[str, str]:
    where = path.relative_to(tree).as_posix()
    return where, f"{where}:{fault.line}: {fault.before!r} -> {fault.after!r}"


def tried(work: Path, tests: list[str], processor: float) -> tuple[str, str]:
    """Run `tests` on WORK's tree up to the first failure: the state, and what failed."""
    out = work / "found.json"
    out.unlink(missing_ok=True)
    # What waits for ever takes no processor time.
    limits = {"processor": processor, "wall": 60 + 2 * processor}
    state = run_forked(work / "tree", [*PYTEST, "-x", *tests], out=out, **limits)
    failed = json.loads(out.read_text())["failed"] if out.exists() else []
    return state, failed[0] if failed else ""


def check(args: argparse.Namespace, journal: Journal) -> None:
    """Take faults out of the journal that were seen by a test which fails without them too."""
    rows = [row for row in journal.rows.values() if "::" in row.get("by", "")]
    out = args.work / "found.json"
    tests = sorted({row["by"] for row in rows})
    if tests:
        run_forked(args.work / "tree", [*PYTEST, *tests], out=out)
        failing = set(json.loads(out.read_text())["failed"])
        journal.remove(key for key, row in journal.rows.items() if row.get("by") in failing)


def python(args: argparse.Namespace, journal: Journal) -> None:
    tree = tree_of(args)
    covered = Covered(args.work)
    package = tree / "keras_compress"

    def part_of(path: Path) -> str:
        return path.relative_to(package).parts[0] if path.parent != package else "root"

    files = sorted(package.rglob("*.py"))
    for part, path, fault in sample(
        files, python_faults.faults_in, args.sample, args.seed, part_of
    ):
        if args.parts and part not in args.parts:
            continue
        where, key = named(path, tree, fault)
        if not journal.wants(key, args.again):
            continue
        # What other folders' tests run in passing says little.
        known = part in covered.folders
        tests = covered.tests(where, fault.line, fault.end_line, part) if known else []
        chosen = covered.within(tests, args.seconds)
        expected = sum(covered.seconds[test] for test in chosen)
        if args.tests:
            chosen, expected = args.tests, args.seconds
        elif not chosen:
            chosen, expected = covered.near(path, tree, part), 20.0
        path.write_text(fault.source)
        try:
            state, by = tried(args.work, chosen, 20 + 10 * expected)
        finally:
            path.write_text(fault.original)
        journal.save(key, part=part, state=state, by=by)


def native(args: argparse.Namespace, journal: Journal) -> None:
    tree = tree_of(args)
    build = args.work / "build"
    # Most of the time goes into compiling: neither a release nor unoptimized.
    options = ["-DKC_INPLACE=ON", "-DKC_TESTS=ON", "-DCMAKE_BUILD_TYPE=None"]
    options += ["-DCMAKE_CXX_FLAGS=-O1"]
    subprocess.run(
        ["cmake", "-S", tree / "export", "-B", build, *options], check=True, capture_output=True
    )

    def run(*command: Any) -> bool:
        return subprocess.run(command, capture_output=True).returncode == 0

    def make(*target: str) -> bool:
        return run("cmake", "--build", build, "-j1", *target)

    def native_tests(names: str) -> bool:
        return run("ctest", "--test-dir", build, "--timeout", "600", "-R", names)

    def found(part: str) -> tuple[str, str]:
        _, quick, others, names = NATIVE[part]
        if not make("--target", "keras_compress"):
            return "does not build", ""
        for tests in [args.tests] if args.tests else [quick, others]:
            state, by = tried(args.work, tests, 1000) if tests else ("passed", "")
            if state != "passed":
                return state, by
        if not make():
            return "does not build", ""
        return ("passed", "") if native_tests(names) else ("failed", "ctest")

    if not (make() and native_tests("")):
        raise SystemExit("the native tests must pass before anything is planted")
    export = tree / "export"
    files = [p for p in sorted(export.rglob("*")) if p.suffix in (".cc", ".h")]
    parts = {folder: part for part, (folder, *_) in NATIVE.items()}
    files = [p for p in files if p.relative_to(export).parts[0] in parts]

    def part_of(path: Path) -> str:
        return parts[path.relative_to(export).parts[0]]

    for part, path, fault in sample(
        files, native_faults.faults_in, args.sample, args.seed, part_of
    ):
        if args.parts and part not in args.parts:
            continue
        _, key = named(path, tree, fault)
        if not journal.wants(key, args.again):
            continue
        path.write_text(fault.source)
        try:
            state, by = found(part)
        finally:
            path.write_text(fault.original)
        journal.save(key, part=part, state=state, by=by)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=("cover", "python", "native", "check", "table"))
    parser.add_argument("--parts", nargs="+", help="only these; of cover: folders of tests")
    parser.add_argument("--again", metavar="NAME", help="unseen faults with NAME, once more")
    parser.add_argument("--tests", nargs="+", help="tests in Python to try, not those chosen")
    parser.add_argument("--sample", type=int, default=220, help="faults in all parts together")
    parser.add_argument("--seconds", type=float, default=60, help="of tests to a fault, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=ROOT / "benchmarks/cache/mutants")
    parser.add_argument("--json", type=Path, metavar="OUT")
    args = parser.parse_args()
    args.work = args.work.resolve()
    args.work.mkdir(parents=True, exist_ok=True)
    if args.action != "table":
        # Imported once; the tests run in forks.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        import ai_edge_litert.interpreter  # noqa: F401
        import keras  # noqa: F401
        import pytest  # noqa: F401
    if args.action == "cover":
        cover(args.work, args.parts)
        return 0
    if args.json is None:
        parser.error("--json is needed")
    journal = Journal(args.json)
    if args.action != "table":
        {"python": python, "native": native, "check": check}[args.action](args, journal)
    print(journal.table())
    return 0


if __name__ == "__main__":
    sys.exit(main())
