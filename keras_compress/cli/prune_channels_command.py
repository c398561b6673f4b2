"""`keras-compress prune-channels`: a trained model in, one with fewer channels out."""

from __future__ import annotations

import argparse
from typing import Any

from keras_compress.cli.model_file import open_for_command
from keras_compress.cli.number_options import at_least, number_in
from keras_compress.cli.training_options import add_model_and_data, add_training

_CRITERIA = ("group_fisher", "taylor", "fisher", "l1", "l2", "fpgm", "bn_gamma", "random")


def register(subparsers: Any) -> None:
    """Add `prune-channels` to the command's subparsers."""
    parser = subparsers.add_parser(
        "prune-channels",
        help="remove channels of a Keras classifier: fewer MACs, lower latency",
        description=(
            "Remove the channels that matter least, for good, and train the smaller net on labels "
            "and on what the whole one says. A tenth of the training images makes the choices; "
            "the held-out ones are looked at once. Exit code 1 if the target isn't met; the "
            "nearest net is left in the folder all the same."
        ),
    )
    add_model_and_data(parser)
    goal = parser.add_mutually_exclusive_group()
    for name, text in (
        ("macs", "multiply-accumulates"),
        ("parameters", "weights"),
        ("latency", "latency in LiteRT, measured on this machine,"),
    ):
        goal.add_argument(
            f"--target-{name}", type=_share, metavar="0.5x", help=f"share of {text} to leave"
        )
    parser.add_argument(
        "--max-drop",
        type=number_in(0, 100),
        metavar="POINTS",
        help="most points of accuracy to lose; without a target it is searched for how far "
        "pruning may go",
    )
    parser.add_argument(
        "--criterion", choices=_CRITERIA, default=_CRITERIA[0], help="how channels are scored"
    )
    add_training(
        parser,
        "epochs after the cut",
        (("round-to", 8, at_least(1), "channels left are a multiple of it"),),
    )
    parser.set_defaults(run=_run, wrong_usage=parser.error)


def _share(text: str) -> float:
    try:
        value = float(text.lower().removesuffix("x"))
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"must be a share between 0 and 1, as 0.5x, not {text!r}")
    return value


def _run(args: argparse.Namespace) -> int:
    import json
    import os
    import warnings

    shares = {n: getattr(args, f"target_{n}") for n in ("macs", "parameters", "latency")}
    if all(value is None for value in shares.values()) and args.max_drop is None:
        args.wrong_usage(
            "one of --target-macs, --target-parameters, --target-latency or --max-drop"
        )
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

    from keras_compress.exporter.quiet import quiet_native_output
    from keras_compress.recipes.image_data import load_npz
    from keras_compress.recipes.smaller_net import prune_channels
    from keras_compress.recipes.smaller_net_target import SmallerNetTarget
    from keras_compress.search.progress import RichProgress

    target = SmallerNetTarget(**shares, max_drop=args.max_drop)
    data = load_npz(args.data)
    with quiet_native_output(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they say is in the report, as notes
        with RichProgress() as progress:
            result = prune_channels(
                open_for_command(args.model),
                data,
                target,
                folder=args.out,
                criterion=args.criterion,
                round_to=args.round_to,
                epochs=args.epochs,
                batch_size=args.batch_size,
                learning_rate=args.learning_rate,
                seed=args.seed,
                made_from=[args.model, args.data],
                progress=progress,
            )
    if args.json:
        print(json.dumps(result.to_dict(), indent=1))
    else:
        _print_tables(result)
        print(os.path.join(args.out, "model.tflite"))
    return 0 if result.reached else 1


def _print_tables(result: Any) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    print(result.pruned.report)
    table = Table(title="Before and after, float32")
    for heading in ("", "Before", "After", "Share"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name, text in (
        ("macs", "Multiply-accumulates"),
        ("parameters", "Parameters"),
        ("tflite_bytes", "Bytes of the .tflite"),
        ("packed_bytes", "Bytes packed"),
        ("latency_ms", "Latency, ms"),
    ):
        before, after = result.before[name], result.after[name]
        digits = 3 if name == "latency_ms" else 0
        table.add_row(
            text, f"{before:,.{digits}f}", f"{after:,.{digits}f}", f"{after / before:.3f}"
        )
    accuracies = (result.before["accuracy"], result.after["accuracy"])
    table.add_row("Accuracy, held out", *(f"{value:.2%}" for value in accuracies), "")
    console.print(table)
    if result.note:
        console.print(result.note, markup=False, highlight=False)
