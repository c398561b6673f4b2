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


def accuracy(data: bytes, x: np.ndarray, y: np.ndarray) -> float:
    """Return the share of right answers, in percent, of a model with one input and result."""
    from ai_edge_litert.interpreter import Interpreter

    model = Interpreter(model_content=data, num_threads=2)
    model.allocate_tensors()
    source, result = model.get_input_details()[0], model.get_output_details()[0]
    scale, zero = source["quantization"]
    if source["dtype"] != np.float32:
        limits = np.iinfo(source["dtype"])
        x = np.clip(np.rint(x / scale) + zero, limits.min, limits.max).astype(source["dtype"])
    right = 0
    for image, answer in zip(x, y, strict=True):
        model.set_tensor(source["index"], image[None])
        model.invoke()
        right += int(np.argmax(model.get_tensor(result["index"])) == answer)
    return 100 * right / len(x)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with load.py and models")
    parser.add_argument("--nets", nargs="+", choices=NETS, default=NETS)
    args = parser.parse_args()

    import keras

    from keras_compress import exporter, pack

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
                "accuracy": accuracy(data, x, y),
                "tflite_bytes": len(data),
                "packed_bytes": len(pack(data)),
                "seconds": time.perf_counter() - begun,
            }
            print(f"{net:20} {precision:8} {quantizer:11} {json.dumps(row)}", flush=True)
            rows.setdefault(net, {})[f"{precision} {quantizer}"] = row
            RESULTS.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
