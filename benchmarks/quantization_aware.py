"""Quantization-aware training of MLPerf Tiny's ResNet8 on CIFAR-10, as a full-int8 file.

    python benchmarks/quantization_aware.py accuracy --data FOLDER [--epochs N --images N ...]
    python benchmarks/quantization_aware.py control --data FOLDER [the same]
    python benchmarks/quantization_aware.py step --data FOLDER

FOLDER holds `load.py`, CIFAR-10 and `models/mlperf_tiny/pretrainedResnet.h5`. `accuracy` trains the
published float net on integers, chooses the epoch on 5,000 images that it isn't trained on here by
what the simulation says of them, and looks at the 10,000 test images once, through the `.tflite`
file. The published net saw these 5,000 before, so that their accuracy is no estimate of the test's.
Each epoch is kept in `benchmarks/cache/`, so that a stopped run goes on where it was. `control`
trains the float net on the same images as long. `step` times one training step beside plain `fit`
in interleaved rounds, on made-up images (tfmot's: `quantization_aware_tfmot.py`).
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
import warnings
from pathlib import Path

import keras
import numpy as np
from cache_folder import CACHE
from paired_steps import time_steps

import keras_compress
from keras_compress import exporter, quantization
from keras_compress.tflite.runtime import load_runtime, make_interpreter

RESULTS = Path(__file__).parent / "results"
HELD_OUT = 5000
CALIBRATION = 512


class Images(keras.utils.PyDataset):
    """Batches of CIFAR-10's bytes as floats, shuffled anew each epoch, flipped and shifted."""

    def __init__(self, x, y, batch, images, seed, epoch):
        super().__init__()
        self.x, self.y, self.batch = x, y, batch
        self.generator = np.random.default_rng((seed, epoch))
        self.order = self.generator.permutation(len(x))[:images]

    def __len__(self):
        return len(self.order) // self.batch

    def __getitem__(self, index):
        rows = self.order[index * self.batch : (index + 1) * self.batch]
        x = self.x[rows].astype(np.float32)
        generator = np.random.default_rng((int(rows[0]), index))
        padded = np.pad(x, ((0, 0), (3, 3), (3, 3), (0, 0)), mode="edge")
        for i, (dy, dx) in enumerate(generator.integers(0, 7, (len(x), 2))):
            x[i] = padded[i, dy : dy + 32, dx : dx + 32]
        flip = generator.random(len(x)) < 0.5
        x[flip] = x[flip, :, ::-1]
        return x, self.y[rows]


def load(folder: Path):
    sys.path.insert(0, str(folder))
    from load import cifar10

    (x, y), (x_test, y_test) = cifar10()
    order = np.random.default_rng(0).permutation(len(x))
    held, rest = order[:HELD_OUT], order[HELD_OUT:]
    return (x[rest], y[rest]), (x[held], y[held]), (x_test, y_test)


def float_net(folder: Path) -> keras.Model:
    return keras.models.load_model(folder / "models/mlperf_tiny/pretrainedResnet.h5", compile=False)


def compile_net(model, rate):
    model.compile(
        keras.optimizers.Adam(rate),
        keras.losses.SparseCategoricalCrossentropy(),
        metrics=["accuracy"],
    )


def results_of(model, x) -> np.ndarray:
    return np.concatenate(
        [model.predict_on_batch(x[i : i + 250].astype(np.float32)) for i in range(0, len(x), 250)]
    )


def file_results(data: bytes, x) -> tuple[np.ndarray, float]:
    """What a full-int8 file says of `x`, in real numbers, and the step of its results."""
    interpreter = make_interpreter(load_runtime(), data)
    interpreter.allocate_tensors()
    (source,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero = source["quantization"]
    step, offset = result["quantization"]
    collected = []
    for image in x:
        integers = np.clip(np.rint(image[None] / scale) + zero, -128, 127).astype(np.int8)
        interpreter.set_tensor(source["index"], integers)
        interpreter.invoke()
        values = interpreter.get_tensor(result["index"])[0].astype(np.float64)
        collected.append((values - offset) * step)
    return np.array(collected), step


def share(results, y) -> float:
    return round(100 * float((results.argmax(1) == y).mean()), 2)


def accuracy(args) -> None:
    train, held, test = load(args.data)
    net = float_net(args.data)
    name = f"resnet8_{args.bits}bit_{args.images}x{args.epochs}_seed{args.seed}"
    folder = CACHE / "quantization_aware" / name
    folder.mkdir(parents=True, exist_ok=True)
    log_path = folder / "log.json"
    log = json.loads(log_path.read_text()) if log_path.exists() else []

    steps = min(args.images, len(train[0])) // args.batch
    calibration = train[0][:CALIBRATION].astype(np.float32)
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
        compile_net(model, args.rate)
    start = len(log)
    if not log:
        first = share(results_of(model, held[0]), held[1])
        print(f"before training: {first} % of the held-out images, simulated", flush=True)
    for epoch in range(start, args.epochs):
        began = time.perf_counter()
        cosine = CosineRate(args.rate, steps * args.epochs, steps * epoch)
        data = Images(train[0], train[1], args.batch, args.images, args.seed, epoch)
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
    received, step = file_results(trained.tflite, test[0])
    record = {
        "net": "pretrainedResnet.h5",
        "bits": args.bits,
        "images": min(args.images, len(train[0])),
        "epochs": args.epochs,
        "batch": args.batch,
        "rate": args.rate,
        "seed": args.seed,
        "log": log,
        "float_test": share(results_of(net, test[0]), test[1]),
        "after_training_test": share(file_results(after.tflite, test[0])[0], test[1]),
        "trained_test": share(received, test[1]),
        "within_one_step": round(
            100 * float((np.abs(received - simulated) < 1.01 * step).mean()), 3
        ),
        "same_class": round(100 * float((received.argmax(1) == simulated.argmax(1)).mean()), 3),
        "tflite_bytes": len(trained.tflite),
        "packed_bytes": len(keras_compress.pack(trained.tflite)),
    }
    add_record(record)


def control(args) -> None:
    train, _, test = load(args.data)
    net = float_net(args.data)
    compile_net(net, args.rate)
    keras.utils.set_random_seed(args.seed)
    steps = min(args.images, len(train[0])) // args.batch
    for epoch in range(args.epochs):
        cosine = CosineRate(args.rate, steps * args.epochs, steps * epoch)
        data = Images(train[0], train[1], args.batch, args.images, args.seed, epoch)
        net.fit(data, verbose=0, callbacks=[cosine])
    calibration = train[0][:CALIBRATION].astype(np.float32)
    after = exporter.convert(
        net, precision="int8", representative_data=calibration[:300], verify=False
    )
    add_record(
        {
            "net": "pretrainedResnet.h5, trained on in float",
            "bits": 32,
            "images": min(args.images, len(train[0])),
            "epochs": args.epochs,
            "batch": args.batch,
            "rate": args.rate,
            "seed": args.seed,
            "float_test": share(results_of(net, test[0]), test[1]),
            "after_training_test": share(file_results(after.tflite, test[0])[0], test[1]),
        }
    )


def add_record(record) -> None:
    print(json.dumps(record, indent=1))
    path = RESULTS / "quantization_aware.json"
    known = json.loads(path.read_text()) if path.exists() else []
    same = ("bits", "images", "epochs", "seed", "rate")
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
    net = float_net(args.data)
    nets = {"plain": net, "quantized": quantization.prepare(net, calibration_data=x)}
    for each in nets.values():
        compile_net(each, 1e-4)
    record = time_steps(nets, x, y, args.rounds)
    print(json.dumps(record))
    (RESULTS / "quantization_aware_step.json").write_text(json.dumps(record) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("accuracy", "control", "step"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--bits", type=int, default=8)
    parser.add_argument("--images", type=int, default=45000, help="training images an epoch")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    {"accuracy": accuracy, "control": control, "step": step}[args.what](args)


if __name__ == "__main__":
    main()
