"""How near a full-int8 file is to its simulation in Keras, on five nets and whole test sets.

    python benchmarks/quantization_agreement.py --data FOLDER [--nets ...] [--bits 8 4]

Each net is prepared with ranges measured on 512 training images and not trained: what is asked is
whether simulation and file say the same, not whether they are right. With 4 bits steps are learned
ones and the first and the last layer have 8. FOLDER holds `load.py`, CIFAR-10, `mnist.npz` and
`models/`. The nets of CIFAR-10 are given normalized images, without the `Rescaling`
that they begin with, for which there is no operator on integers. LeNet-5 is the packed record of
`deep_compression.md` and reads MNIST. A row is written
as soon as it is there, and what is there isn't run again.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import keras
import numpy as np
from cifar_batches import agreement, load, share
from quantization_aware import CALIBRATION, NETS, float_net, int8_results, results_of

import keras_compress
from keras_compress import architectures, exporter, quantization
from keras_compress.tflite.runtime import load_runtime, make_interpreter

RESULTS = Path(__file__).parent / "results"


def packed_lenet() -> keras.Model:
    """Return LeNet-5 with the kernels of its packed record."""
    packed = (RESULTS / "deep_compression" / "lenet_5.kcz").read_bytes()
    interpreter = make_interpreter(load_runtime(), keras_compress.unpack(packed))
    interpreter.allocate_tensors()
    found = [
        [interpreter.get_tensor(i) for i in operator["inputs"][1:3]]
        for operator in interpreter._get_ops_details()
        if operator["op_name"] in ("CONV_2D", "FULLY_CONNECTED")
    ]
    net = architectures.lenet_5(classifier_activation=None)
    layers = [layer for layer in net.layers if layer.weights]
    for layer, (kernel, bias) in zip(layers, found, strict=True):
        layer.set_weights([np.moveaxis(kernel, 0, -1), bias])
    return net


def mnist(folder: Path):
    sys.path.insert(0, str(folder))
    from load import mnist as load_mnist

    (x, _), (x_test, y_test) = load_mnist()
    return x[..., None] / 255.0, (x_test[..., None] / 255.0, y_test)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--nets", nargs="+", choices=("lenet_5", *NETS), default=("lenet_5", *NETS))
    parser.add_argument("--bits", nargs="+", type=int, default=[8, 4])
    parser.add_argument("--images", type=int, default=10000, help="of the test set, the first ones")
    args = parser.parse_args()
    path = RESULTS / "quantization_agreement.json"
    rows = json.loads(path.read_text()) if path.exists() else []
    cifar = load(args.data)
    for name in args.nets:
        if name == "lenet_5":
            x, test = mnist(args.data)
        else:
            (x, _), _, test = cifar
        images, labels = (each[: args.images] for each in test)
        for bits in args.bits:
            asked = {"net": name, "bits": bits, "images": len(images)}
            if any(asked.items() <= row.items() for row in rows):
                continue
            ends = quantization.WeightQuantizer()
            config = quantization.QuantizationConfig(
                weights=quantization.WeightQuantizer(
                    bits=bits, range="learned" if bits < 8 else "max"
                ),
                first=ends,
                last=ends,
            )
            if name == "lenet_5":
                net, calibration, given = packed_lenet(), x[:CALIBRATION].astype(np.float32), images
            else:
                net, normalize = float_net(args.data, name)
                calibration, given = normalize(x[:CALIBRATION]), normalize(images)
            model = quantization.prepare(net, config, calibration)
            data = exporter.convert(model, precision="int8", verify=False).tflite
            simulated = results_of(model, given)
            received, step = int8_results(data, given)
            row = {
                **asked,
                **agreement(received, simulated, step),
                "simulated_test": share(simulated, labels),
                "file_test": share(received, labels),
            }
            print(json.dumps(row), flush=True)
            rows.append(row)
            path.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
