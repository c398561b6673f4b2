"""CIFAR-10 nets compressed with 200 unlabelled training images.

With `--price`, one price of a bit, chosen with ResNet-20 alone on 2,000 training images that are
held out here (`--tune` measures on them). With `--times` or `--agreement` the recipe searches for
the price itself: a file so many times smaller than the float32 `.tflite`, or so large a share of 50
of the 200 images answered as before. The test set is looked at once, at the end.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).parent / "results" / "post_training.json"
NETS = ("resnet20", "shufflenetv2_x0_5", "resnet56", "resnet56b")
CALIBRATION, HELD_OUT = 200, 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with load.py and models")
    parser.add_argument("--nets", nargs="+", choices=NETS, default=NETS)
    asked = parser.add_mutually_exclusive_group()
    asked.add_argument("--price", type=float, default=1e-8)
    asked.add_argument("--times", type=float, help="size below the float32 .tflite, 8 for 8 times")
    asked.add_argument("--agreement", type=float, help="share of answers kept, 0.98 for 98 %%")
    parser.add_argument("--tune", action="store_true", help="measure on held-out training images")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/cache/post_training"))
    args = parser.parse_args()

    import keras

    from keras_compress import exporter, recipes
    from keras_compress.search import RichProgress

    sys.path.insert(0, str(args.data))
    from load import cifar10

    (x_train, y_train), test = cifar10()
    order = np.random.default_rng(0).permutation(len(x_train))
    images = x_train[order[:CALIBRATION]].astype("float32")
    held = order[CALIBRATION : CALIBRATION + HELD_OUT]
    x, y = (x_train[held], y_train[held]) if args.tune else test
    x, y = x.astype("float32"), y.ravel()
    for net in args.nets:
        path = args.data / "models" / "cifar10_nets" / f"cifar10_{net}.keras"
        model = keras.models.load_model(path, compile=False)
        if args.times:
            base = len(exporter.convert(model, verify=False).tflite)
            target = recipes.PostTrainingTarget(size=int(base / args.times))
        elif args.agreement:
            target = recipes.PostTrainingTarget(agreement=args.agreement)
        else:
            target = recipes.PostTrainingTarget(price=args.price)
        begun = time.perf_counter()
        with RichProgress() as progress:
            result = recipes.post_training_compression(
                model,
                images,
                target,
                folder=args.out / net,
                progress=progress,
            )
        seconds = time.perf_counter() - begun
        before, after = (
            100 * float(np.mean(np.argmax(m.predict(x, batch_size=250, verbose=0), -1) == y))
            for m in (model, result.model)
        )
        row = {
            "target": {k: v for k, v in asdict(target).items() if v is not None},
            "trials": [asdict(trial) for trial in result.trials],
            "agreement_held_out": result.agreement,
            "float32_tflite_bytes": result.base_size,
            "packed_bytes": result.size,
            "times_smaller": result.base_size / result.size,
            "accuracy_before": before,
            "accuracy_after": after,
            "measured_on": "held-out training images" if args.tune else "test set",
            "zeros": sum(r.zeros for r in result.layers) / sum(r.weights for r in result.layers),
            "seconds": seconds,
        }
        print(net, json.dumps(row), flush=True)
        rows = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        rows[f"{net}{' tuning' if args.tune else ''}"] = row
        RESULTS.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
