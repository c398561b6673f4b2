"""The record of rate-aware training as a full-int8 file: small, fast and right in one.

    python benchmarks/quantization_aware_small.py --data FOLDER

`benchmarks/results/deep_compression/resnet8.kcz` holds ResNet8 in float32, each kernel a few
multiples of one step, as rate-aware training left it (`deep_compression.md`). Here its layers are
put on 8-bit integers by that very step, ranges of activations are measured on 512 training images,
and the file is packed: the integers are the multiples that the packer coded before. Nothing is
trained and nothing chosen, and the 10,000 test images are looked at once, through the `.tflite`
that the packed file unpacks to. FOLDER holds `load.py` and CIFAR-10.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import keras
import numpy as np
from cifar_batches import agreement, load, share
from deep_compression_training import fold_normalization
from quantization_aware import int8_results, results_of

import keras_compress
from keras_compress import architectures, exporter, quantization
from keras_compress.tflite.runtime import load_runtime, make_interpreter

RESULTS = Path(__file__).parent / "results"
CALIBRATION = 512


def record_net() -> keras.Model:
    """Return the net of the packed record, ending in logits."""
    packed = (RESULTS / "deep_compression" / "resnet8.kcz").read_bytes()
    interpreter = make_interpreter(load_runtime(), keras_compress.unpack(packed))
    interpreter.allocate_tensors()
    found = {}
    for operator in interpreter._get_ops_details():
        if operator["op_name"] in ("CONV_2D", "FULLY_CONNECTED"):
            kernel, bias = (interpreter.get_tensor(i) for i in operator["inputs"][1:3])
            found.setdefault(kernel.shape, []).append((kernel, bias))
    net = fold_normalization(architectures.resnet8(classifier_activation=None))
    for layer in net.layers:
        if layer.weights:
            *rest, units = layer.kernel.shape
            kernel, bias = found[(units, *rest)].pop(0)
            layer.set_weights([np.moveaxis(kernel, 0, -1), bias])
    return net


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    args = parser.parse_args()
    train, held, test = load(args.data)
    net = record_net()
    config = quantization.QuantizationConfig(
        weights=quantization.WeightQuantizer(bits=6, range="learned", per_channel=False),
        first=quantization.WeightQuantizer(per_channel=False),
    )
    model = quantization.prepare(net, config, train[0][:CALIBRATION].astype(np.float32))
    exported = exporter.convert(model, precision="int8", verify=False)
    packed = keras_compress.pack(exported.tflite, codec="smallest")
    simulated = results_of(model, test[0])
    received, step = int8_results(keras_compress.unpack(packed), test[0])
    record = {
        "float_held_out": share(results_of(net, held[0]), held[1]),
        "int8_held_out": share(results_of(model, held[0]), held[1]),
        "test": share(received, test[1]),
        "tflite_bytes": len(exported.tflite),
        "packed_bytes": len(packed),
        **agreement(received, simulated, step),
    }
    print(json.dumps(record, indent=1))
    (RESULTS / "quantization_aware_small.json").write_text(json.dumps(record, indent=1) + "\n")
    (RESULTS / "quantization_aware_small.kcz").write_bytes(packed)


if __name__ == "__main__":
    main()
