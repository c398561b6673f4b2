"""Where scripts keep what they train and cache between runs: `benchmarks/work/`, not in git."""

from __future__ import annotations

from pathlib import Path

WORK = Path(__file__).resolve().parent / "work"
