"""Random channels taken out of every net of keras.applications, beside the same set to zero.

    python benchmarks/channel_groups.py [NAME ...] [--share 0.5]

Weights are random, normalizations and ConvNeXt's LayerScale so that each channel shows in the
result. Each net has a process of its own. Writes benchmarks/results/channel_groups.json, keeping
what is there of other nets.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import subprocess
import sys
import time
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "channel_groups.json"
TOLERANCE = 1e-5


def constructors() -> list[str]:
    import keras

    found = vars(keras.applications)
    return sorted(n for n, f in found.items() if inspect.isfunction(f) and n[0].isupper())


def measure(name: str, share: float) -> dict[str, object]:
    import keras
    import numpy as np

    from keras_compress.channel_pruning import ChannelPlan, find_groups
    from keras_compress.channel_pruning.verification import run, zero_channels

    build = getattr(keras.applications, name)
    side = 96 if "Inception" in name or name == "Xception" else 64
    settings = {"weights": None, "input_shape": (side, side, 3), "classes": 10}
    if "classifier_activation" in inspect.signature(build).parameters:
        settings["classifier_activation"] = None
    keras.utils.set_random_seed(1)
    model = build(**settings)
    generator = np.random.default_rng(0)
    for layer in model.layers:
        for variable in layer.variables:
            if "seed" in variable.path:
                continue
            scale = "variance" in variable.name or "gamma" in variable.name
            if scale or type(layer).__name__ == "LayerScale":
                variable.assign(generator.uniform(0.5, 1.5, variable.shape))
            elif len(variable.shape) == 1 and variable.trainable:
                variable.assign(generator.normal(0, 0.3, variable.shape))
    find_groups(model)  # the first call imports what it needs
    start = time.perf_counter()
    groups = find_groups(model)
    analysis = time.perf_counter() - start
    kept = {}
    for group in groups.values():
        mask = generator.random(group.size) >= share
        mask = mask if group.holds(mask) else np.ones(group.size, bool)
        kept[group.name] = mask
    plan = ChannelPlan.of(groups, kept)
    start = time.perf_counter()
    small = plan.apply(model)
    surgery = time.perf_counter() - start
    x = generator.uniform(
        0, 255 if "NeXt" in name or "Eff" in name or "V3" in name else 1, (2, side, side, 3)
    )
    x = x.astype("float32")
    full, found = run(model, x)[0], run(small, x)[0]
    zero_channels(groups.analysis, groups.keep_mask(kept), model)
    zeroed = run(model, x)[0]
    scale = float(np.abs(zeroed).max())
    made = sum(len(v) for r in groups.analysis.records.values() for v in r.produced.values())
    return {
        "calls": len(groups.analysis.graph.nodes),
        "groups": len(groups),
        "channels": made,
        "removable": int(sum(group.makes.sum() for group in groups.values())),
        "parameters": int(model.count_params()),
        "parameters_left": int(small.count_params()),
        "difference": float(np.abs(found - zeroed).max() / scale),
        "effect": float(np.abs(full - zeroed).max() / scale),
        "analysis_seconds": round(analysis, 3),
        "surgery_seconds": round(surgery, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="constructors; all by default")
    parser.add_argument("--share", type=float, default=0.5, help="of channels removed (0.5)")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one, arguments.share)))
        return
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in arguments.names or constructors():
        command = [sys.executable, __file__, "--one", name, "--share", str(arguments.share)]
        quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        done = subprocess.run(command, capture_output=True, text=True, env=quiet, check=False)
        if done.returncode:
            print(f"{name:20} FAILED {done.stderr.strip().splitlines()[-1][:200]}", flush=True)
            continue
        row = json.loads(done.stdout.strip().splitlines()[-1])
        results[name] = row
        RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
        right = row["difference"] < TOLERANCE < row["effect"]
        print(
            f"{name:20} {'exact' if right else 'OFF':6} {row['difference']:.1e} of an effect of "
            f"{row['effect']:.1e}; {row['removable']} of {row['channels']} channels in "
            f"{row['groups']} groups; {row['parameters']:,} to {row['parameters_left']:,} "
            f"parameters; {row['analysis_seconds']} s and {row['surgery_seconds']} s",
            flush=True,
        )
    exact = [n for n, row in results.items() if row["difference"] < TOLERANCE < row["effect"]]
    print(f"{len(exact)} of {len(results)} exact")


if __name__ == "__main__":
    main()
