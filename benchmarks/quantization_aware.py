"""Quantization-aware training of nets on CIFAR-10, as a full-int8 file.

    python benchmarks/quantization_aware.py accuracy --data FOLDER [--net NET --epochs N ...]
    python benchmarks/quantization_aware.py control --data FOLDER [the same]
    python benchmarks/quantization_aware.py step --data FOLDER

FOLDER holds `load.py`, CIFAR-10 and, below `models/`, MLPerf Tiny's ResNet8
(`mlperf_tiny/pretrainedResnet.h5`), which is the default, and `cifar10_nets/`, which are given
normalized images: their own `Rescaling` is taken off. `accuracy` trains the float net on integers,
chooses the epoch on 5,000 images that it isn't trained on here by what the simulation says of them,
and looks at the 10,000 test images once, through the `.tflite` file. The published ResNet8 saw
these 5,000 before, so that their accuracy is no estimate of the test's. Each epoch is kept in
`benchmarks/cache/`, so that a stopped run goes on where it was. `control` trains the float net on
the same images as long. `step` times one training step beside plain `fit` in interleaved rounds, on
made-up images (tfmot's: `quantization_aware_tfmot.py`).
"""

from __future__ import annotations

import json
import math
import time
import warnings
from pathlib import Path

import keras
import numpy as np
from cache_folder import CACHE
from cifar_batches import Batches, agreement, file_results, load, share, training_arguments
from paired_steps import time_steps

import keras_compress
from keras_compress import exporter, quantization
from keras_compress.tflite.runtime import load_runtime, make_interpreter

RESULTS = Path(__file__).parent / "results"
CALIBRATION = 512


NETS = ("resnet8", "resnet20", "resnet56", "resnet56b", "shufflenetv2_x0_5")


class Images(Batches, keras.utils.PyDataset):
    """The batches of an epoch, as Keras 3 wants them."""

    def __init__(self, *args, normalize):
        keras.utils.PyDataset.__init__(self)
        Batches.__init__(self, *args)
        self.normalize = normalize

    def __getitem__(self, index):
        x, y = Batches.__getitem__(self, index)
        return self.normalize(x), y


def float_net(folder: Path, name: str = "resnet8"):
    """Return a net without the normalization of its images, and what normalizes them."""
    file = f"cifar10_nets/cifar10_{name}.keras"
    if name == "resnet8":
        file = "mlperf_tiny/pretrainedResnet.h5"
    net = keras.models.load_model(folder / "models" / file, compile=False)
    first = net.layers[1]
    if not isinstance(first, keras.layers.Rescaling):
        return net, lambda x: x.astype(np.float32)
    rest = keras.Model(first.output, net.outputs[0])
    return rest, lambda x: np.asarray(first(x.astype(np.float32)))


def gives_logits(net) -> bool:
    """Return whether a float net has no softmax at its end."""
    return getattr(net.layers[-1], "activation", None) is not keras.activations.softmax


def compile_net(model, rate, *, from_logits: bool):
    model.compile(
        keras.optimizers.Adam(rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits),
        metrics=["accuracy"],
    )


def results_of(model, x) -> np.ndarray:
    return np.concatenate(
        [model.predict_on_batch(x[i : i + 250].astype(np.float32)) for i in range(0, len(x), 250)]
    )


def int8_results(data: bytes, x) -> tuple[np.ndarray, float]:
    """What a full-int8 file says of `x`, in real numbers, and the step of its results."""
    return file_results(make_interpreter(load_runtime(), data), x)


def accuracy(args) -> None:
    train, held, test = load(args.data)
    net, normalize = float_net(args.data, args.net)
    held, test = (normalize(held[0]), held[1]), (normalize(test[0]), test[1])
    name = f"{args.net}_{args.bits}bit_{args.images}x{args.epochs}_rate{args.rate}_seed{args.seed}"
    folder = CACHE / "quantization_aware" / name
    folder.mkdir(parents=True, exist_ok=True)
    log_path = folder / "log.json"
    log = json.loads(log_path.read_text()) if log_path.exists() else []

    steps = min(args.images, len(train[0])) // args.batch
    calibration = normalize(train[0][:CALIBRATION])
    if log:
        model = keras.models.load_model(folder / f"epoch{len(log)}.keras")
    else:
        ends = quantization.WeightQuantizer()
        learned = "learned" if args.bits < 8 else "max"
        config = quantization.QuantizationConfig(
            weights=quantization.WeightQuantizer(bits=args.bits, range=learned),
            first=ends,
            last=ends,
            freeze_statistics_after=steps * args.epochs // 2,
        )
        keras.utils.set_random_seed(args.seed)
        model = quantization.prepare(net, config, calibration)
        compile_net(model, args.rate, from_logits=gives_logits(net))
    start = len(log)
    if not log:
        first = share(results_of(model, held[0]), held[1])
        print(f"before training: {first} % of the held-out images, simulated", flush=True)
    for epoch in range(start, args.epochs):
        began = time.perf_counter()
        cosine = CosineRate(args.rate, steps * args.epochs, steps * epoch)
        data = Images(*train, args.batch, args.images, args.seed, epoch, normalize=normalize)
        history = model.fit(data, verbose=0, callbacks=[cosine]).history
        line = {
            "epoch": epoch + 1,
            "loss": round(history["loss"][-1], 4),
            "held_out": share(results_of(model, held[0]), held[1]),
            "seconds": round(time.perf_counter() - began, 1),
        }
        model.save(folder / f"epoch{epoch + 1}.keras")
        log.append(line)
        log_path.write_text(json.dumps(log))
        print(line, flush=True)

    best = max(log, key=lambda line: line["held_out"])
    model = keras.models.load_model(folder / f"epoch{best['epoch']}.keras")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", exporter.ExportWarning)
        after = exporter.convert(
            net, precision="int8", representative_data=calibration[:300], verify=False
        )
        trained = exporter.convert(model, precision="int8", verify=False)
    simulated = results_of(model, test[0])
    received, step = int8_results(trained.tflite, test[0])
    record = {
        "net": args.net,
        "bits": args.bits,
        "images": min(args.images, len(train[0])),
        "epochs": args.epochs,
        "batch": args.batch,
        "rate": args.rate,
        "seed": args.seed,
        "log": log,
        "float_test": share(results_of(net, test[0]), test[1]),
        "after_training_test": share(int8_results(after.tflite, test[0])[0], test[1]),
        "trained_test": share(received, test[1]),
        **agreement(received, simulated, step),
        "tflite_bytes": len(trained.tflite),
        "packed_bytes": len(keras_compress.pack(trained.tflite)),
    }
    add_record(record)


def control(args) -> None:
    train, _, test = load(args.data)
    net, normalize = float_net(args.data, args.net)
    test = normalize(test[0]), test[1]
    compile_net(net, args.rate, from_logits=gives_logits(net))
    keras.utils.set_random_seed(args.seed)
    steps = min(args.images, len(train[0])) // args.batch
    for epoch in range(args.epochs):
        cosine = CosineRate(args.rate, steps * args.epochs, steps * epoch)
        data = Images(*train, args.batch, args.images, args.seed, epoch, normalize=normalize)
        net.fit(data, verbose=0, callbacks=[cosine])
    calibration = normalize(train[0][:CALIBRATION])
    after = exporter.convert(
        net, precision="int8", representative_data=calibration[:300], verify=False
    )
    add_record(
        {
            "net": f"{args.net}, trained on in float",
            "bits": 32,
            "images": min(args.images, len(train[0])),
            "epochs": args.epochs,
            "batch": args.batch,
            "rate": args.rate,
            "seed": args.seed,
            "float_test": share(results_of(net, test[0]), test[1]),
            "after_training_test": share(int8_results(after.tflite, test[0])[0], test[1]),
        }
    )


def add_record(record) -> None:
    print(json.dumps(record, indent=1))
    path = RESULTS / "quantization_aware.json"
    known = json.loads(path.read_text()) if path.exists() else []
    same = ("net", "bits", "images", "epochs", "seed", "rate")
    known = [each for each in known if any(each[key] != record[key] for key in same)]
    path.write_text(json.dumps([*known, record], indent=1) + "\n")


class CosineRate(keras.callbacks.Callback):
    """A learning rate that falls to nothing over the whole training, wherever it goes on."""

    def __init__(self, rate, steps, done):
        super().__init__()
        self.rate, self.steps, self.done = rate, steps, done

    def on_train_batch_begin(self, batch, logs=None):
        place = min(1.0, (self.done + batch) / self.steps)
        self.model.optimizer.learning_rate = self.rate * 0.5 * (1 + math.cos(math.pi * place))


def step(args) -> None:
    generator = np.random.default_rng(0)
    x = generator.integers(0, 256, (args.batch, 32, 32, 3)).astype("float32")
    y = generator.integers(0, 10, args.batch)
    net, _ = float_net(args.data, args.net)
    nets = {"plain": net, "quantized": quantization.prepare(net, calibration_data=x)}
    for each in nets.values():
        compile_net(each, 1e-4, from_logits=gives_logits(net))
    record = time_steps(nets, x, y, args.rounds)
    print(json.dumps(record))
    (RESULTS / "quantization_aware_step.json").write_text(json.dumps(record) + "\n")


def main() -> None:
    tasks = {"accuracy": accuracy, "control": control, "step": step}
    parser = training_arguments(__doc__, tuple(tasks))
    parser.add_argument("--net", choices=NETS, default="resnet8")
    parser.add_argument("--bits", type=int, default=8)
    args = parser.parse_args()
    tasks[args.what](args)


if __name__ == "__main__":
    main()
