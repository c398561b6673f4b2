"""Makes the models and the labelled images that come with the app: the demo's nets on the digits.

    python android_demo/make_assets.py

trains them anew (two to three minutes) and writes `app/src/main/assets/`. The baseline stays a
plain `.tflite`, so that one of each format is there to be timed.
"""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np

from keras_compress.exporter import convert
from keras_compress.packing import pack
from keras_compress.recipes import load_digits, settings_for
from keras_compress.recipes.training import train
from keras_compress.search import Progress
from keras_compress.storage import write_files

ASSETS = Path(__file__).parent / "app/src/main/assets"
LEVELS = 16  # scikit-learn's digits have 17 grey levels, 0 to 16


def main() -> None:
    keras.utils.set_random_seed(0)
    data = load_digits()
    settings = settings_for(data)
    trained = train(data, settings, Progress())
    calibration = {
        "representative_data": data.x_train[: settings.calibration_images],
        "samples": data.x_test[: settings.calibration_images],
    }
    plain = convert(trained.baseline, precision="float32", **calibration).tflite
    clustered = convert(trained.clustered, precision="float32", **calibration).tflite
    small = convert(trained.clustered, precision="int8", per_channel=False, **calibration).tflite
    pixels = np.round(data.x_test * LEVELS).astype(np.uint8)
    labels = {
        "source": f"{data.source}, held-out part",
        "shape": list(data.image_shape),
        "classes": data.classes,
        "maximum": LEVELS,
        "labels": [int(label) for label in data.y_test],
    }
    contents = {
        "digits_float32.tflite": plain,
        "digits_clustered.kcz": pack(clustered),
        "digits_int8.kcz": pack(small),
        "digits.bin": pixels.tobytes(),
        "digits.json": json.dumps(labels),
    }
    write_files(ASSETS, contents)
    for name, content in contents.items():
        print(f"{name}: {len(content):,} bytes")


if __name__ == "__main__":
    main()
