"""Options of the commands that train a classifier on."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable

from keras_compress.cli.model_file import MODEL_HELP
from keras_compress.cli.number_options import at_least, number_in, seed

__all__ = ["add_model_and_data", "add_training"]

_Count = tuple[str, int, Callable[[str], int], str]


def add_model_and_data(parser: argparse.ArgumentParser) -> None:
    """Add the classifier and its images."""
    parser.add_argument("model", metavar="MODEL.keras", help=f"a trained classifier: {MODEL_HELP}")
    parser.add_argument(
        "--data",
        metavar="FILE.npz",
        required=True,
        help="images in the npz layout of keras.datasets, as the model takes them once scaled "
        "to 0..1: x_train, y_train, x_test, y_test",
    )


def add_training(
    parser: argparse.ArgumentParser, epochs_help: str, counts: Iterable[_Count] = ()
) -> None:
    """Add the folder, `--epochs`, `--batch-size`, `--seed`, `--learning-rate` and `--json`.

    Args:
        parser: The parser of the command.
        epochs_help: What the epochs are of.
        counts: Options of the command's own, each a name, default, type and help.
    """
    parser.add_argument("--out", metavar="DIR", default="keras-compress-out", help="its folder")
    shared: tuple[_Count, ...] = (
        ("epochs", 10, at_least(1), epochs_help),
        ("batch-size", 128, at_least(1), "images of a batch"),
        ("seed", 0, seed, "seed of the training"),
    )
    for name, default, kind, text in (*shared[:2], *counts, *shared[2:]):
        parser.add_argument(
            f"--{name}", type=kind, metavar="N", default=default, help=f"{text} ({default})"
        )
    parser.add_argument(
        "--learning-rate",
        type=number_in(0, above=True),
        metavar="RATE",
        default=1e-3,
        help="of Adam (0.001)",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
