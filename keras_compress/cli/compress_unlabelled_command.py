"""`keras-compress compress-unlabelled`: a trained net and some photos in, a packed file out."""

from __future__ import annotations

import argparse
from typing import Any

from keras_compress.cli.model_file import MODEL_HELP, open_for_command
from keras_compress.cli.number_options import at_least, number_in, seed, size

_PREPROCESSINGS = ("none", "unit", "tf", "torch", "caffe")


def register(subparsers: Any) -> None:
    """Add `compress-unlabelled` to the command's subparsers."""
    parser = subparsers.add_parser(
        "compress-unlabelled",
        help="compress a trained Keras classifier with a few hundred unlabelled images",
        description=(
            "No training set, no labels: layer after layer is fitted to what it computed before, "
            "and its weights are rounded to few shared values, zero among them. A quarter of the "
            "images is held out to count how many are answered as before. Exit code 1 if no run "
            "meets the target; the nearest is left in the folder all the same."
        ),
    )
    parser.add_argument("model", metavar="MODEL.keras", help=f"a trained classifier: {MODEL_HELP}")
    parser.add_argument(
        "--images",
        metavar="PATH",
        required=True,
        help="a folder of .jpg and .png photos, or an .npz file with an array x, x_train or x_test",
    )
    parser.add_argument(
        "--preprocessing",
        choices=_PREPROCESSINGS,
        default="none",
        help="what becomes of pixels from 0 to 255 before the model reads them: nothing (none), "
        "0 to 1 (unit), or as keras.applications does it (tf, torch, caffe)",
    )
    parser.add_argument(
        "--limit", type=at_least(8), metavar="N", default=256, help="most images (256)"
    )
    goal = parser.add_mutually_exclusive_group(required=True)
    goal.add_argument(
        "--agreement",
        type=number_in(0, 100, above=True),
        metavar="PERCENT",
        help="least share of held-out images answered as before, in percent",
    )
    goal.add_argument(
        "--target-size", type=size, metavar="SIZE", help="most bytes, such as 470KB or 460KiB"
    )
    goal.add_argument(
        "--price",
        type=number_in(0, 1, above=True),
        metavar="PRICE",
        help="one run at this price of a bit, in nats, such as 1e-8",
    )
    parser.add_argument("--out", metavar="DIR", default="keras-compress-out", help="its folder")
    parser.add_argument(
        "--rounds", type=at_least(1), metavar="N", default=6, help="most runs over all layers (6)"
    )
    parser.add_argument(
        "--batch-size", type=at_least(1), metavar="N", default=32, help="images at a time (32)"
    )
    parser.add_argument(
        "--seed", type=seed, metavar="N", default=0, help="seed of the choice of images (0)"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    import json
    import os
    import warnings

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

    from keras_compress.exporter.quiet import quiet_native_output
    from keras_compress.recipes.post_training import post_training_compression
    from keras_compress.recipes.post_training_target import PostTrainingTarget
    from keras_compress.recipes.unlabelled_images import load_unlabelled
    from keras_compress.search.progress import RichProgress

    share = None if args.agreement is None else args.agreement / 100
    target = PostTrainingTarget(agreement=share, size=args.target_size, price=args.price)
    with quiet_native_output(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they say is in the report, as notes
        with RichProgress() as progress:
            model = open_for_command(args.model)
            images = load_unlabelled(
                args.images, model, preprocessing=args.preprocessing, limit=args.limit
            )
            result = post_training_compression(
                model,
                images,
                target,
                folder=args.out,
                rounds=args.rounds,
                batch_size=args.batch_size,
                seed=args.seed,
                made_from=[args.model, args.images],
                progress=progress,
            )
    if args.json:
        print(json.dumps(result.to_dict(), indent=1))
    else:
        _print_tables(result)
        print(os.path.join(args.out, "model.kcz"))
    return 0 if result.reached else 1


def _print_tables(result: Any) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(title="Layers")
    for heading in ("", "Weights", "Zero", "Values", "Bits a weight", "Error of the output"):
        table.add_column(heading, justify="right" if heading else "left")
    for layer in result.layers:
        table.add_row(
            layer.path,
            f"{layer.weights:,}",
            f"{layer.zeros / layer.weights:.1%}",
            str(layer.values),
            f"{layer.bits:.2f}",
            f"{layer.error:.2%}",
        )
    console.print(table)
    for path, reason in result.left_alone.items():
        console.print(f"{path} left alone: {reason}", markup=False, highlight=False)
    print(
        f"{result.base_size:,} bytes of float32 .tflite before, {result.size:,} packed: "
        f"{result.base_size / result.size:.1f} times smaller; "
        f"{result.agreement:.1%} of held-out images answered as before"
    )
    if result.note:
        console.print(result.note, markup=False, highlight=False)
