"""Narrow SqueezeNet, MobileNet, ShuffleNet v2 and ResNet-20 on CIFAR-10 at equal MACs, ten epochs.

    python benchmarks/cifar_architectures.py train --data FOLDER --nets squeezenet resnet20
    python benchmarks/cifar_architectures.py table --data FOLDER

FOLDER holds `load.py` and CIFAR-10. `train` trains each net on 45,000 images by one recipe, which
was not searched for: Adam, 0.002 falling as a cosine, batches of 128, shifts and mirrored images.
Each epoch is kept in `benchmarks/cache/`, so that a stopped run goes on where it was. The last
epoch counts. `table` exports each net as float32 and as int8, looks at the 10,000 test images once
through both files, packs them, and times all files in turns on one thread.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import keras
import numpy as np
from cache_folder import CACHE
from cifar_batches import Batches, file_results, load, share
from interleaved_latency import interleaved_latency

import keras_compress
from keras_compress import architectures, exporter
from keras_compress.engine.profile import profile
from keras_compress.tflite.runtime import load_runtime, make_interpreter

RESULTS = Path(__file__).parent / "results" / "cifar_architectures.json"
EPOCHS, BATCH, RATE, CALIBRATION = 10, 128, 0.002, 300
SHAPE, CLASSES = (32, 32, 3), 10
# Widths that come nearest to the 11 million of the narrowest ShuffleNet v2 of the paper.
NETS = {
    "resnet20": lambda: architectures.cifar_resnet(SHAPE, CLASSES, width=0.5),
    "squeezenet": lambda: architectures.squeezenet(
        SHAPE, CLASSES, version="1.1", width=0.3, bypass="simple", small_images=True
    ),
    "mobilenet": lambda: architectures.mobilenet(SHAPE, CLASSES, width=0.25, small_images=True),
    "shufflenet_v2": lambda: architectures.shufflenet_v2(
        SHAPE, CLASSES, width=0.5, small_images=True
    ),
}


class Images(Batches, keras.utils.PyDataset):
    """The batches of an epoch, their values between -1 and 1."""

    def __init__(self, *args):
        keras.utils.PyDataset.__init__(self)
        Batches.__init__(self, *args)

    def __getitem__(self, index):
        x, y = Batches.__getitem__(self, index)
        return scaled(x), y


def scaled(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float32) / 127.5 - 1


def folder_of(net: str) -> Path:
    return CACHE / "cifar_architectures" / net


def log_of(net: str) -> list[dict]:
    path = folder_of(net) / "log.json"
    return json.loads(path.read_text()) if path.exists() else []


def train(net: str, data: Path) -> None:
    (x, y), (x_held, y_held), _ = load(data)
    folder, log = folder_of(net), log_of(net)
    folder.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(0)
    if log:
        model = keras.models.load_model(folder / "last.keras")
    else:
        model = NETS[net]()
        steps = len(x) // BATCH * EPOCHS
        rate = keras.optimizers.schedules.CosineDecay(RATE, steps)
        loss = "sparse_categorical_crossentropy"
        # XLA's convolutions of a channel each take six times as long on a CPU.
        model.compile(keras.optimizers.Adam(rate), loss, jit_compile=False)
    for epoch in range(len(log), EPOCHS):
        began = time.perf_counter()
        found = model.fit(Images(x, y, BATCH, len(x), 0, epoch), verbose=0).history
        held = model.predict(scaled(x_held), batch_size=250, verbose=0)
        log.append(
            {
                "loss": round(found["loss"][-1], 4),
                "held_out": share(held, y_held),
                "seconds": round(time.perf_counter() - began, 1),
            }
        )
        # The log says what the file beside it has seen: a stop in between trains an epoch again.
        model.save(folder / "last.keras")
        (folder / "log.json").write_text(json.dumps(log))
        print(net, epoch + 1, log[-1], flush=True)


def float_results(data: bytes, x: np.ndarray) -> np.ndarray:
    interpreter = make_interpreter(load_runtime(), data)
    interpreter.allocate_tensors()
    (source,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    rows = []
    for image in x:
        interpreter.set_tensor(source["index"], image[None])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(result["index"])[0].copy())
    return np.array(rows)


def table(data: Path, rounds: int) -> None:
    (x, _), _, (x_test, y_test) = load(data)
    calibration, x_test = scaled(x[:CALIBRATION]), scaled(x_test)
    rows: dict[str, dict] = {}
    files: dict[str, dict[str, bytes]] = {"float32": {}, "int8": {}}
    for net in NETS:
        log = log_of(net)
        if len(log) < EPOCHS:
            print(f"{net} was trained for {len(log)} of {EPOCHS} epochs: left out", flush=True)
            continue
        model = keras.models.load_model(folder_of(net) / "last.keras")
        counts = profile(model)
        rows[net] = {
            "macs": counts.macs,
            "parameters": counts.parameters,
            "held_out": log[-1]["held_out"],
            "training_seconds": round(sum(line["seconds"] for line in log)),
        }
        for precision, of_precision in files.items():
            file = exporter.convert(
                model, precision=precision, representative_data=calibration, verify=False
            ).tflite
            of_precision[net] = file
            if precision == "int8":
                received, _ = file_results(make_interpreter(load_runtime(), file), x_test)
            else:
                received = float_results(file, x_test)
            rows[net][precision] = {
                "test": share(received, y_test),
                "tflite_bytes": len(file),
                "packed_bytes": len(keras_compress.pack(file)),
            }
    for precision, of_precision in files.items():
        for net, latency in interleaved_latency(of_precision, rounds=rounds, runs=20).items():
            rows[net][precision] |= latency
    record = {"epochs": EPOCHS, "batch": BATCH, "rate": RATE, "seed": 0, "rows": rows}
    RESULTS.write_text(json.dumps(record, indent=1) + "\n")
    tell(rows)


def tell(rows: dict[str, dict]) -> None:
    print("| net | MACs, M | parameters | held out | float32: test | packed | ms | int8: test |")
    print(f"{'|---' * 8}|---|---|")
    for net, row in rows.items():
        cells = [net, f"{row['macs'] / 1e6:.1f}", f"{row['parameters']:,}", f"{row['held_out']} %"]
        for precision in ("float32", "int8"):
            of = row[precision]
            cells += [f"{of['test']} %", f"{of['packed_bytes']:,} B", f"{of['best_us'] / 1000:.3f}"]
        print(f"| {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("what", choices=("train", "table"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--nets", nargs="+", choices=NETS, default=list(NETS))
    parser.add_argument("--rounds", type=int, default=30, help="of timing")
    args = parser.parse_args()
    if args.what == "table":
        table(args.data, args.rounds)
        return
    for net in args.nets:
        train(net, args.data)


if __name__ == "__main__":
    main()
