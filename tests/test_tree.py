"""What the tree holds: nothing that a script made or cached, and no folder nobody asked for."""

from __future__ import annotations

import subprocess
import zlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LARGEST = 500_000
TOP = {
    ".ci", ".clang-format", ".clang-tidy", ".github", ".gitignore", ".pre-commit-config.yaml",
    "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md", "RELEASE.md", "SECURITY.md",
    "android_demo", "benchmarks", "docs", "examples", "export", "keras_compress", "mkdocs.yml",
    "pyproject.toml", "tests",
}  # fmt: skip


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    """Files that git tracks, or that a commit would add."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    names = [name for name in done.stdout.decode().split("\0") if name]
    assert names
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def test_no_large_file(tracked):
    assert [p for p in tracked if p.stat().st_size > LARGEST] == []


def test_a_checkout_is_small(tracked):
    # What a clone without history brings over the line, and what it takes on disk.
    assert sum(len(zlib.compress(p.read_bytes())) for p in tracked) < 3_000_000
    assert sum(p.stat().st_size for p in tracked) < 7_000_000


def test_nothing_unknown_on_top(tracked):
    assert {p.relative_to(ROOT).parts[0] for p in tracked} - TOP == set()
