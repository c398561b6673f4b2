"""Where scripts keep what they train and cache between runs: `benchmarks/cache/`, not in git."""

from __future__ import annotations

from pathlib import Path

CACHE = Path(__file__).resolve().parent / "cache"
