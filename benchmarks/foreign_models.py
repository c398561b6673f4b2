"""Sizes of files of foreign kinds, a line a kind: each codec beside gzip, zstd, xz and brotli.

    python benchmarks/foreign_models.py FOLDER [--json OUT] [--each N] [--workers 2] [--journal J]

FOLDER has a folder a kind, as `make_foreign_models.py` writes them. Every packed file is unpacked
and compared. A file counts as lost to a codec where the best of the four others is smaller, and as
out of order where a codec that may take longer made the larger file.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

from pack_models import CODECS, others

from keras_compress import packing, search, storage


def measure(file: str) -> dict[str, Any]:
    """Sizes of one file, and the processor time that `auto`'s takes to unpack."""
    path = Path(file)
    data = path.read_bytes()
    sizes = {name: len(compress(data)) for name, (compress, _) in others(quick=True).items()}
    row: dict[str, Any] = {"kind": path.parent.name, "file": path.name, "raw": len(data)}
    row["best_other"] = min(sizes.values())
    for codec in CODECS:
        packed = packing.pack(data, codec=codec)
        started = time.process_time()
        if packing.unpack(packed) != data:
            raise SystemExit(f"{path}: {codec} is not lossless")
        if codec == "auto":
            row["auto_unpack_s"] = round(time.process_time() - started, 4)
        sizes[codec] = len(packed)
    return {**row, "sizes": sizes}


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Of the files of one kind."""
    ratios = {c: [r["sizes"][c] / r["best_other"] for r in rows] for c in CODECS}
    ordered = ("smallest", "auto", "small", "fast")
    return {
        "files": len(rows),
        "lost": {c: sum(ratio > 1 for ratio in ratios[c]) for c in CODECS},
        "mean": {c: round(math.exp(sum(map(math.log, ratios[c])) / len(rows)), 4) for c in CODECS},
        "worst_auto": round(max(ratios["auto"]), 4),
        "out_of_order": sum(
            any(r["sizes"][a] > r["sizes"][b] for a, b in itertools.pairwise(ordered)) for r in rows
        ),
        "longest_auto_unpack_s": max(r["auto_unpack_s"] for r in rows),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", type=Path, default=None, metavar="OUT")
    parser.add_argument("--each", type=int, default=None, help="only so many files of a kind")
    parser.add_argument("--kinds", nargs="*", default=None)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--journal", type=Path, default=None, help="go on from what it has")
    args = parser.parse_args()
    kinds = sorted(p.name for p in args.folder.iterdir() if p.is_dir())
    kinds = [k for k in kinds if args.kinds is None or k in args.kinds]
    by_kind = [sorted((args.folder / k).glob("*.tflite"))[: args.each] for k in kinds]
    # In turn, so that a run which is stopped has seen something of each kind.
    in_turn = itertools.chain.from_iterable(itertools.zip_longest(*by_kind))
    files = [path for path in in_turn if path is not None]
    # Sizes of another build of the library are of another search.
    builds = sorted(Path(packing.__file__).parent.glob("libkeras_compress.*"))
    built = [hashlib.sha256(path.read_bytes()).hexdigest() for path in builds]
    journal = search.Journal(args.journal, search.fingerprint("foreign models", built))
    names = [str(path) for path in files]
    trials = search.run_trials(measure, names, workers=args.workers, journal=journal)
    rows = [trial.result for trial in trials]
    print(
        f"{'kind':<20}{'files':>6}  over the best of four: "
        + "".join(f"{c:>10}" for c in CODECS)
        + "  lost: "
        + "".join(f"{c:>9}" for c in CODECS)
        + "  disorder  worst  unpack s"
    )
    kinds_summary = {}
    for kind in [*kinds, "all"]:
        one = summary([r for r in rows if kind in (r["kind"], "all")])
        kinds_summary[kind] = one
        print(
            f"{kind:<20}{one['files']:>6}" + " " * 25
            + "".join(f"{one['mean'][c]:>10.4f}" for c in CODECS) + " " * 8
            + "".join(f"{one['lost'][c]:>9}" for c in CODECS)
            + f"{one['out_of_order']:>10}{one['worst_auto']:>7.3f}"
            + f"{one['longest_auto_unpack_s']:>10.3f}"
        )  # fmt: skip
    losses = [r for r in rows if r["sizes"]["auto"] > r["best_other"]]
    for row in sorted(losses, key=lambda r: -r["sizes"]["auto"] / r["best_other"])[:20]:
        print(f"lost: {row['kind']}/{row['file']}: {row['sizes']}")
    if args.json:
        document = {"schema_version": 1, "kinds": kinds_summary, "lost": losses}
        storage.write_atomic(args.json, json.dumps(document, indent=1) + "\n")
    return 1 if losses else 0


if __name__ == "__main__":
    sys.exit(main())
