"""SqueezeNet with Deep Compression, made smaller with unlabelled photos.

    python benchmarks/squeezenet_photos.py --data FOLDER [--folds 2] [--size BYTES | --price PRICE]
        [--classes FILE]

FOLDER holds `models/squeezenet/squeezenet_v1.0_deepcompression_decoded.keras`, the released net of
shared values, and 200 `photos/`. The recipe gets all but one fold of the photos, and the answers
are counted on that one, which it never sees, through the `.tflite` file; so for each fold, so that
all together have an answer on all 200. A price is to be chosen by the size it leads to. FILE has
the names of ImageNet's classes, a line each, as torchvision lists them: then accuracies are told,
too, by the names of the photos.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from pathlib import Path

import keras
import numpy as np
from cache_folder import CACHE

from keras_compress import recipes
from keras_compress.recipes.accuracy import tflite_accuracy
from keras_compress.recipes.unlabelled_images import load_unlabelled
from keras_compress.search import RichProgress

RESULTS = Path(__file__).parent / "results" / "squeezenet_photos.json"
NET = "models/squeezenet/squeezenet_v1.0_deepcompression_decoded.keras"
# Means of blue, green and red (`docs/loading.md`).
MEANS = np.array([104, 117, 123], "float32")


def labels_of(folder: Path, classes: Path) -> np.ndarray:
    """Return the class of each photo, `n01440764_tench.jpg`, in the order of the photos."""

    def plain(name: str) -> str:
        return re.sub("[^a-z]", "", name.lower())

    places = {plain(name): place for place, name in enumerate(classes.read_text().splitlines())}
    return np.array([places[plain(p.stem.partition("_")[2])] for p in sorted(folder.iterdir())])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--folds", type=int, default=2, help="(2)")
    asked_for = parser.add_mutually_exclusive_group()
    asked_for.add_argument("--size", type=int, default=470_000, help="most bytes (470000)")
    asked_for.add_argument("--price", type=float, help="one run at this price of a bit")
    parser.add_argument("--classes", type=Path)
    args = parser.parse_args()
    net = keras.models.load_model(args.data / NET, compile=False)
    photos = load_unlabelled(args.data / "photos", net)[..., ::-1] - MEANS
    target = recipes.PostTrainingTarget(size=args.size)
    if args.price:
        target = recipes.PostTrainingTarget(price=args.price)
    rows = []
    for fold in range(args.folds):
        here = np.arange(len(photos)) % args.folds == fold
        given, asked = photos[~here], photos[here]
        answers = np.argmax(net.predict(asked, batch_size=20, verbose=0), axis=-1)
        folder = CACHE / "squeezenet_photos" / f"fold{fold}"
        begun = time.perf_counter()
        with RichProgress() as progress:
            result = recipes.post_training_compression(
                net, given, target, folder=folder, held_out=0.04, batch_size=20, progress=progress
            )
        tflite = (folder / "model.tflite").read_bytes()
        same = tflite_accuracy(tflite, asked, answers)
        right = {}
        if args.classes:
            labels = labels_of(args.data / "photos", args.classes)[here]
            right = {
                "right_before": int((answers == labels).sum()),
                "right_after": round(len(asked) * tflite_accuracy(tflite, asked, labels)),
            }
        rows.append(
            {
                "photos_given": len(given),
                "packed_bytes": result.size,
                "float32_tflite_bytes": result.base_size,
                "photos_asked": len(asked),
                "same_answers": round(len(asked) * same),
                **right,
                "price": args.price
                or next(t.price for t in result.trials if t.size == result.size),
                "zeros": round(
                    sum(r.zeros for r in result.layers) / sum(r.weights for r in result.layers), 3
                ),
                "seconds": round(time.perf_counter() - begun),
            }
        )
        print(json.dumps(rows[-1]), flush=True)
        known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        known[f"{args.folds} folds"] = rows
        RESULTS.write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    main()
