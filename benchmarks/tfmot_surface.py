"""Makes the calls of `tests/compat/surface.py` on tfmot and on its face here, and counts.

PYTHONPATH=.:PEER TF_USE_LEGACY_KERAS=1 python benchmarks/tfmot_surface.py theirs
python benchmarks/tfmot_surface.py ours
python benchmarks/tfmot_surface.py table

Each side runs in a process of its own: PEER has tensorflow-model-optimization 0.8.1 and tf-keras.
`theirs` writes what tfmot answered to `tests/compat/tfmot_surface.json`, `ours` what is answered
here to `benchmarks/cache/`; `table` compares, prints what differs and a table by kind, and writes
`benchmarks/results/tfmot_surface.json`.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
warnings.simplefilter("ignore")

GOLDEN = ROOT / "tests" / "compat" / "tfmot_surface.json"
OURS = ROOT / "benchmarks" / "cache" / "tfmot_surface.json"
RESULTS = ROOT / "benchmarks" / "results" / "tfmot_surface.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=["theirs", "ours", "table"])
    parser.add_argument("--kind", action="append", help="only these kinds of calls")
    arguments = parser.parse_args()
    if arguments.step == "table":
        table()
        return
    ask(arguments.step, arguments.kind)


def ask(side: str, only: list[str] | None) -> None:
    """Make the calls on one side and keep what it answers."""
    from tests.compat.surface import calls, outcome

    if side == "theirs":
        import tensorflow_model_optimization as tfmot
        import tf_keras as keras
    else:
        import keras

        from keras_compress.compat import tfmot
    path = GOLDEN if side == "theirs" else OURS
    answers = json.loads(path.read_text()) if path.exists() else {}
    made = calls(keras, tfmot.sparsity.keras, tfmot.clustering.keras)
    for kind in only or list(made):
        answers[kind] = {name: outcome(call) for name, call in made[kind].items()}
        path.parent.mkdir(exist_ok=True)
        rows = [
            f"{json.dumps(k)}: {json.dumps(v, separators=(',', ':'))}" for k, v in answers.items()
        ]
        path.write_text("{" + ",\n".join(rows) + "}\n")


def table() -> None:
    """Compare the answers of both sides."""
    from tests.compat.surface import alike

    theirs, ours = json.loads(GOLDEN.read_text()), json.loads(OURS.read_text())
    rows = {}
    for kind, given in ours.items():
        if kind not in theirs:
            continue
        differ = [name for name in given if not alike(given[name], theirs[kind].get(name))]
        rows[kind] = {"calls": len(given), "agree": len(given) - len(differ), "differ": differ}
        for name in differ:
            for side, answers in (("tfmot", theirs), ("ours", ours)):
                print(f"{kind}: {name}: {side} {json.dumps(answers[kind].get(name))[:300]}")
    print("\n| kind | calls | agree |\n|---|---|---|")
    for kind, row in rows.items():
        print(f"| {kind} | {row['calls']} | {row['agree']} |")
    total = [sum(row[name] for row in rows.values()) for name in ("calls", "agree")]
    print(f"| all | {total[0]} | {total[1]} ({total[1] / total[0]:.1%}) |")
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
