"""`keras-compress compress`: a trained model and a target in, a packed file out."""

from __future__ import annotations

import argparse
from typing import Any

from keras_compress.cli.model_file import open_for_command
from keras_compress.cli.number_options import at_least, number_in, size
from keras_compress.cli.training_options import add_model_and_data, add_training


def register(subparsers: Any) -> None:
    """Add `compress` to the command's subparsers."""
    parser = subparsers.add_parser(
        "compress",
        help="train a Keras classifier until its packed file meets a size or an accuracy",
        description=(
            "Search for the smallest packed file within an accuracy, or the most accurate one "
            "within a size: trials with rate-aware training at several prices of a bit, side by "
            "side. Killed at any moment, the same command goes on where it was. Exit code 1 if "
            "no trial meets the target; the nearest is left in the folder all the same."
        ),
    )
    add_model_and_data(parser)
    goal = parser.add_mutually_exclusive_group(required=True)
    goal.add_argument(
        "--target-size", type=size, metavar="SIZE", help="most bytes, such as 30KB or 12KiB"
    )
    goal.add_argument(
        "--max-drop",
        type=number_in(0, 100),
        metavar="POINTS",
        help="most points of accuracy to lose",
    )
    add_training(
        parser,
        "epochs of a trial",
        (
            ("rounds", 3, at_least(1), "rounds of the search"),
            ("trials", 4, at_least(2), "trials of a round"),
            ("workers", 1, at_least(1), "trials that run side by side"),
        ),
    )
    parser.add_argument("--ray", action="store_true", help="run the trials on a Ray cluster")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    import json
    import os
    import warnings

    from keras_compress.exporter.quiet import quiet_native_output
    from keras_compress.recipes.compression_target import CompressionTarget
    from keras_compress.recipes.deep_compression import deep_compression
    from keras_compress.recipes.image_data import load_npz
    from keras_compress.search.progress import RichProgress

    target = CompressionTarget(size=args.target_size, max_drop=args.max_drop)
    data = load_npz(args.data)
    with quiet_native_output(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they say is in the report, as notes
        with RichProgress() as progress:
            result = deep_compression(
                open_for_command(args.model),
                data,
                target,
                folder=args.out,
                epochs=args.epochs,
                batch_size=args.batch_size,
                learning_rate=args.learning_rate,
                rounds=args.rounds,
                trials_per_round=args.trials,
                workers=args.workers,
                backend="ray" if args.ray else "processes",
                seed=args.seed,
                made_from=[args.model, args.data],
                progress=progress,
            )
    if args.json:
        print(json.dumps(result.to_dict(), indent=1))
    else:
        _print_table(result)
        print(os.path.join(args.out, "model.kcz"))
    return 0 if result.reached else 1


def _print_table(result: Any) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Trials, by the price of a bit")
    for heading in ("Price", "Packed, B", "Accuracy", "Epochs", ""):
        table.add_column(heading, justify="right")
    table.add_row("before", f"{result.base_size:,}", f"{result.base_accuracy:.2%}", "", "")
    for trial in result.trials:
        best = (trial.size, trial.accuracy) == (result.size, result.accuracy)
        table.add_row(
            f"{trial.rate_weight:.2e}",
            f"{trial.size:,}",
            f"{trial.accuracy:.2%}",
            str(trial.epochs),
            "shipped" if best else trial.stopped,
            style="bold" if best else None,
        )
    console = Console()
    console.print(table)
    if result.note:
        console.print(result.note, markup=False, highlight=False)
