"""Integers after training by TensorFlow's converter and by ai-edge-quantizer, on CIFAR-10 nets.

300 training images calibrate both. Nothing is chosen by the result: the test set is looked at once.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).parent / "results" / "post_training_quantizers.json"
NETS = ("resnet20", "shufflenetv2_x0_5", "resnet56")
QUANTIZERS = ("tensorflow", "ai-edge")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with load.py and models")
    parser.add_argument("--nets", nargs="+", choices=NETS, default=NETS)
    args = parser.parse_args()

    import keras

    from keras_compress import exporter, pack
    from keras_compress.recipes.accuracy import tflite_accuracy

    sys.path.insert(0, str(args.data))
    from load import cifar10

    (x_train, _), (x, y) = cifar10()
    x, y = x.astype("float32"), y.ravel()
    drawn = np.random.default_rng(0).permutation(len(x_train))[:300]
    calibration = x_train[drawn].astype("float32")
    rows = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for net in args.nets:
        path = args.data / "models" / "cifar10_nets" / f"cifar10_{net}.keras"
        model = keras.models.load_model(path, compile=False)
        ways = [("float32", "tensorflow"), ("int16x8", "tensorflow")]
        ways += [("int8", quantizer) for quantizer in QUANTIZERS]
        for precision, quantizer in ways:
            begun = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", exporter.ExportWarning)
                data = exporter.convert(
                    model,
                    precision=precision,
                    quantizer=quantizer,
                    representative_data=None if precision == "float32" else calibration,
                    verify=False,
                ).tflite
            row = {
                "accuracy": 100 * tflite_accuracy(data, x, y, threads=2),
                "tflite_bytes": len(data),
                "packed_bytes": len(pack(data)),
                "seconds": time.perf_counter() - begun,
            }
            print(f"{net:20} {precision:8} {quantizer:11} {json.dumps(row)}", flush=True)
            rows.setdefault(net, {})[f"{precision} {quantizer}"] = row
            RESULTS.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
