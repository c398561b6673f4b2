"""`keras-compress demo`: the main job, from `fit` to a packed and timed model."""

from __future__ import annotations

import argparse
from typing import Any

from keras_compress.cli.number_options import seed

DEFAULT_FOLDER = "keras-compress-demo"


def register(subparsers: Any) -> None:
    """Add `demo` to the command's subparsers."""
    parser = subparsers.add_parser(
        "demo",
        help="train a small net, compress it, export, pack, time and report",
        description=(
            "Train a small CNN, prune it during fit, let its weights share trained values, "
            "convert it to .tflite (float32 and int8), pack it, compare it unpacked byte for "
            "byte, time it beside the baseline, and write model.tflite, model.kcz, report.json "
            "and report.html."
        ),
    )
    parser.add_argument(
        "--data",
        metavar="FILE.npz",
        help="images in the npz layout of keras.datasets: x_train, y_train, x_test, y_test; "
        "grey or RGB (default: scikit-learn's 8x8 digits)",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        default=DEFAULT_FOLDER,
        help=f"folder for the four files (default: {DEFAULT_FOLDER})",
    )
    parser.add_argument(
        "--seed", type=seed, default=0, metavar="N", help="seed of the training (default: 0)"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the report as JSON instead of a table"
    )
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    import json
    import warnings

    from keras_compress.installed import require

    # Before the minutes of training; without data of one's own the digits are scikit-learn's.
    require(("keras", "tensorflow", *(() if args.data else ("sklearn",))), extra="train")

    from keras_compress.exporter.quiet import quiet_native_output
    from keras_compress.recipes.demo import check_folder, run_demo
    from keras_compress.recipes.image_data import load_npz
    from keras_compress.search.progress import RichProgress

    folder = check_folder(args.out)
    data = None if args.data is None else load_npz(args.data)
    with quiet_native_output(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they say is in the report, as notes
        with RichProgress() as progress:
            result = run_demo(data, seed=args.seed, progress=progress)
            paths = result.write(folder, made_from=args.data)
    if args.json:
        print(json.dumps(result.report, indent=1))
    else:
        _print_table(result.report, [str(path) for path in paths])
    return 0


def _print_table(report: dict[str, Any], paths: list[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    from keras_compress.report import formatting

    table = Table(title=report["title"])
    table.add_column("Stage", no_wrap=True)
    for heading in ("Accuracy", ".tflite, B", "Packed, B", "Ratio", "Latency"):
        table.add_column(heading, justify="right")
    for stage in report["stages"]:
        name = f"{stage['title']} *" if stage["shipped"] else stage["title"]
        table.add_row(
            name,
            formatting.percent(stage["accuracy"]),
            f"{stage['tflite_bytes']:,}",
            f"{stage['packed_bytes']:,}",
            formatting.ratio(stage["ratio"]),
            formatting.milliseconds(stage["latency_ms"]),
            style="bold" if stage["shipped"] else None,
        )
    console = Console()
    console.print(table)
    console.print(
        "Ratio: the baseline's .tflite over the packed file. Latency: median of one inference, "
        f"one thread. *: what model.tflite and model.kcz hold. Took {report['duration_s']:.0f} s.",
        highlight=False,
    )
    for path in paths:
        console.print(path, highlight=False, markup=False, soft_wrap=True)
