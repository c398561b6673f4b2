"""CIFAR-10 as the trainings on integers see it; imports no framework, for peers have their own."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

HELD_OUT = 5000

Labelled = tuple[np.ndarray, np.ndarray]


def load(folder: Path) -> tuple[Labelled, Labelled, Labelled]:
    """Return images and labels to train on, those held out of the training set, and the test's.

    Args:
        folder: Holds `load.py` and CIFAR-10.
    """
    sys.path.insert(0, str(folder))
    from load import cifar10

    (x, y), (x_test, y_test) = cifar10()
    order = np.random.default_rng(0).permutation(len(x))
    held, rest = order[:HELD_OUT], order[HELD_OUT:]
    return (x[rest], y[rest]), (x[held], y[held]), (x_test, y_test)


def training_arguments(description: str, tasks: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser of a script that trains, and times, as its peers do."""
    parser = argparse.ArgumentParser(description=description.split("\n", maxsplit=1)[0])
    parser.add_argument("what", choices=tasks)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--images", type=int, default=45000, help="training images an epoch")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=9)
    return parser


class Batches:
    """Batches of an epoch: bytes as floats, shuffled, flipped and shifted, by seed and epoch."""

    def __init__(
        self, x: np.ndarray, y: np.ndarray, batch: int, images: int, seed: int, epoch: int
    ) -> None:
        self.x, self.y, self.batch = x, y, batch
        self.generator = np.random.default_rng((seed, epoch))
        self.order = self.generator.permutation(len(x))[:images]

    def __len__(self) -> int:
        return len(self.order) // self.batch

    def __getitem__(self, index: int) -> Labelled:
        if index >= len(self):
            raise IndexError(index)
        rows = self.order[index * self.batch : (index + 1) * self.batch]
        x = self.x[rows].astype(np.float32)
        generator = np.random.default_rng((int(rows[0]), index))
        padded = np.pad(x, ((0, 0), (3, 3), (3, 3), (0, 0)), mode="edge")
        for i, (dy, dx) in enumerate(generator.integers(0, 7, (len(x), 2))):
            x[i] = padded[i, dy : dy + 32, dx : dx + 32]
        flip = generator.random(len(x)) < 0.5
        x[flip] = x[flip, :, ::-1]
        return x, self.y[rows]

    def __iter__(self) -> Iterator[Labelled]:
        return (self[i] for i in range(len(self)))


def file_results(interpreter, x: np.ndarray) -> tuple[np.ndarray, float]:
    """Return what a full-int8 file says of `x`, in real numbers, and the step of its results.

    Args:
        interpreter: Of LiteRT or TensorFlow, its tensors not yet allocated.
        x: Images, one row each.
    """
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


def share(results: np.ndarray, y: np.ndarray) -> float:
    """Return the percentage of rows of which the highest result is that of the label."""
    return round(100 * float((results.argmax(1) == y.ravel()).mean()), 2)


def agreement(received: np.ndarray, simulated: np.ndarray, step: float) -> dict[str, float]:
    """Return how much of the file's results is the simulation's, in percent."""
    apart = np.abs(received - simulated)
    return {
        "equal": round(100 * float((apart < 0.5 * step).mean()), 3),
        "within_one_step": round(100 * float((apart < 1.01 * step).mean()), 3),
        "same_class": round(100 * float((received.argmax(1) == simulated.argmax(1)).mean()), 3),
    }
