"""Time of a training step with each technique, over a plain `fit` step.

Everything runs in one process, round about: a stretch of steps of each variant, then again, so
that a change of the machine's speed meets all alike. What is timed is the whole of a step as
`fit` takes it, callbacks included, from the beginning of one batch to that of the next.

    python benchmarks/step_time.py --json benchmarks/results/step_time.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from rich.console import Console
from rich.table import Table

from keras_compress import architectures, clustering, distillation, pruning, rate
from keras_compress.distillation.cache import data_fingerprint

GOALS = {"pruning": (1.05, 1.03), "clustering": (1.25, 1.10), "rate-aware": (1.25, 1.25)}


class StepTimer(keras.callbacks.Callback):
    """Collects the seconds from each batch's begin to the next one's."""

    def __init__(self):
        super().__init__()
        self.seconds = []
        self._last = None

    def on_epoch_begin(self, epoch, logs=None):
        self._last = None

    def on_train_batch_begin(self, batch, logs=None):
        now = time.perf_counter()
        if self._last is not None:
            self.seconds.append(now - self._last)
        self._last = now


def variants(total_steps: int):
    """Return name -> (model, callbacks), all from the same weights."""
    keras.utils.set_random_seed(0)
    plain = compile_model(architectures.resnet8())
    schedule = pruning.PolynomialDecay(0.5, 0.9, begin_step=0, end_step=total_steps)
    prune = pruning.PruningConfig(schedule, frequency=100)
    # The first convolution holds 432 values: enough for 16 clusters.
    cluster = clustering.ClusteringConfig(n_clusters=16)
    bits = rate.RateConfig(rate_weight=1e-6, ramp_steps=total_steps // 3)

    entropy = clustering.ClusteringConfig(n_clusters=16, rate_weight=0.003)
    surgery = pruning.SurgeryConfig(schedule=schedule, frequency=100)
    soft = distillation.SoftTargets(from_logits=False, teacher_from_logits=False)

    def copy():
        clone = keras.models.clone_model(plain)
        clone.set_weights(plain.get_weights())
        return compile_model(clone)

    def distiller(teacher):
        return compile_model(distillation.Distiller(teacher, copy(), soft))

    return {
        "plain": (plain, []),
        "pruning, callback": (copy(), [pruning.PruningCallback(prune)]),
        "pruning, wrapper": (pruning.prepare(plain, prune), [pruning.PruningCallback(prune)]),
        "pruning, surgery": (
            pruning.prepare_surgery(plain, surgery),
            [pruning.SurgeryCallback(surgery)],
        ),
        "clustering, callback": (copy(), [clustering.ClusteringCallback(cluster)]),
        "clustering, wrapper": (clustering.prepare(plain, cluster), []),
        "clustering, reassigned": (
            clustering.prepare_reassignment(plain, entropy),
            [clustering.ReassignmentCallback(entropy)],
        ),
        # A teacher as large as the student, and one whose outputs were kept.
        "distillation, teacher runs": (distiller(copy()), []),
        "distillation, from a cache": (distiller(None), []),
        "rate-aware, wrapper": (rate.prepare(plain, bits), [rate.RateCallback(bits)]),
    }


def compile_model(model):
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--steps", type=int, default=40, help="steps of a variant in a round")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--only", default="", help="techniques beside plain, by comma")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()

    generator = np.random.default_rng(0)
    x = generator.uniform(0, 255, (args.steps * args.batch_size, 32, 32, 3)).astype("float32")
    y = generator.integers(0, 10, len(x))
    outputs = generator.dirichlet(np.ones(10), len(x)).astype("float32")
    kept = distillation.TeacherCache((outputs,), (("softmax",),), "", data_fingerprint(x))
    models = {
        name: variant
        for name, variant in variants(args.rounds * args.steps).items()
        if name == "plain" or name.startswith(tuple(args.only.split(",")))
    }
    times = {name: [] for name in models}
    for turn in range(args.rounds + 1):
        for name, (model, callbacks) in models.items():
            timer = StepTimer()
            model.fit(
                kept.inputs(x) if name == "distillation, from a cache" else x,
                y,
                batch_size=args.batch_size,
                verbose=0,
                shuffle=False,
                callbacks=[timer, *callbacks],
            )
            if turn:  # the first round compiles
                times[name].append(timer.seconds)

    plain = np.array([np.median(stretch) for stretch in times["plain"]])
    table = Table(title=f"Training step of ResNet8, batch {args.batch_size}, CPU")
    for column in ("variant", "median ms", "over plain", "p25 to p75 of rounds", "goal"):
        table.add_column(column, justify="left" if column == "variant" else "right")
    results = {}
    for name, stretches in times.items():
        medians = np.array([np.median(stretch) for stretch in stretches])
        ratio = float(np.median(medians / plain))
        low, high = np.percentile(medians / plain, [25, 75])
        goal = GOALS.get(name.split(",")[0])
        results[name] = {
            "median_ms": float(np.median(medians) * 1e3),
            "over_plain": ratio,
            "over_plain_p25_p75": [float(low), float(high)],
        }
        table.add_row(
            name,
            f"{np.median(medians) * 1e3:.2f}",
            f"{ratio:.3f}",
            f"{low:.3f} to {high:.3f}",
            f"{goal[0]} ({goal[1]})" if goal else "",
        )
    Console().print(table)
    if args.json:
        record = {
            "command": "python benchmarks/step_time.py",
            "settings": {"rounds": args.rounds, "steps": args.steps, "batch": args.batch_size},
            "keras": keras.__version__,
            "backend": keras.backend.backend(),
            "cpu": platform.processor() or platform.machine(),
            "results": results,
        }
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
