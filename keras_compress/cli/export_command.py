"""`keras-compress export`: a saved Keras model into a verified `.tflite` and a packed file."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from keras_compress.cli.codec_option import add_codec
from keras_compress.cli.model_file import MODEL_HELP, open_for_command
from keras_compress.cli.number_options import at_least, number_in

if TYPE_CHECKING:
    from rich.console import Console


DEFAULT_FOLDER = "keras-compress-export"
DEFAULT_SAMPLES = 256


def register(subparsers: Any) -> None:
    """Add `export` to the command's subparsers."""
    parser = subparsers.add_parser(
        "export",
        help="convert a .keras model to .tflite, verify it, pack it",
        description=(
            "Convert a .keras model to .tflite with batch 1 and built-in operators, run both on "
            "the same samples and state the error, check that zeros and shared values survived, "
            "and write model.tflite, model.kcz, report.json and report.html."
        ),
    )
    parser.add_argument("model", metavar="MODEL.keras", help=MODEL_HELP)
    parser.add_argument(
        "--out",
        metavar="DIR",
        default=DEFAULT_FOLDER,
        help=f"folder for the four files (default: {DEFAULT_FOLDER})",
    )
    parser.add_argument(
        "--precision",
        choices=("float32", "float16", "dynamic", "int8", "int16x8"),
        default="float32",
        help="float32 (default); float16 weights; dynamic: int8 weights of large layers; "
        "int8: integers throughout, needs --data; int16x8: the same with activations of 16 bits",
    )
    parser.add_argument(
        "--data",
        metavar="FILE.npz",
        help="inputs to calibrate and verify with: arrays named after the model's inputs, or "
        "for one input a single array, x, x_test or x_train",
    )
    parser.add_argument(
        "--samples",
        type=at_least(1),
        default=DEFAULT_SAMPLES,
        metavar="N",
        help=f"use the first N samples of --data (default: {DEFAULT_SAMPLES})",
    )
    parser.add_argument(
        "--quantizer",
        choices=("tensorflow", "ai-edge"),
        default="tensorflow",
        help="what makes the integers: TensorFlow's converter, or ai-edge-quantizer "
        "(default: tensorflow)",
    )
    parser.add_argument(
        "--io-dtype",
        choices=("int8", "int16", "float32"),
        help="type of inputs and results with --precision int8 or int16x8 (default: int8 or int16)",
    )
    parser.add_argument(
        "--no-fold-batch-norm",
        action="store_true",
        help="keep batch normalizations out of the kernels: shared values survive, a little slower",
    )
    parser.add_argument(
        "--no-fold-shuffles",
        action="store_true",
        help="keep shuffles of channels as operators of their own: the file's weights stay in the "
        "model's order, a little slower",
    )
    parser.add_argument(
        "--per-tensor",
        action="store_true",
        help="one scale for a whole integer kernel: shared values survive, a little less exact",
    )
    parser.add_argument(
        "--sparse", action="store_true", help="store kernels in TFLite's sparse format"
    )
    parser.add_argument(
        "--no-binary",
        action="store_true",
        help="built-in operators alone, also for binary layers (which otherwise become custom "
        "operators, with model.fallback.tflite beside them)",
    )
    parser.add_argument(
        "--layers", action="store_true", help="verify layer by layer too, on the first sample"
    )
    parser.add_argument(
        "--tolerance",
        type=number_in(0),
        metavar="ERROR",
        help="fail if a result is further than this from the Keras model's",
    )
    add_codec(parser, "what to pack for")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    import json
    import os
    import warnings

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

    from rich.console import Console

    from keras_compress.exporter.export_result import ExportWarning
    from keras_compress.exporter.folder import report_of, write_folder
    from keras_compress.exporter.loading_samples import load_samples
    from keras_compress.exporter.pipeline import convert
    from keras_compress.exporter.quiet import quiet_native_output
    from keras_compress.exporter.trained_ranges import has_trained_ranges
    from keras_compress.packing import pack

    with quiet_native_output(), warnings.catch_warnings():
        # The notes are printed with the result.
        warnings.simplefilter("ignore", ExportWarning)
        progress = Console(stderr=True)
        with progress.status("Loading the model") as status:
            model = open_for_command(args.model)
            data = None
            if args.data is not None:
                data = load_samples(args.data, model, limit=args.samples)
            # Trained on integers it needs no calibration, and is compared on the data.
            trained = has_trained_ranges(model)
            exported = convert(
                model,
                precision=args.precision,
                representative_data=None if trained else data,
                samples=data if trained else None,
                verify_layers=args.layers,
                tolerance=args.tolerance,
                fold_batch_norm=not args.no_fold_batch_norm,
                fold_shuffles=not args.no_fold_shuffles,
                per_channel=not args.per_tensor,
                quantizer=args.quantizer,
                io_dtype=args.io_dtype,
                sparse=args.sparse,
                binary="never" if args.no_binary else "auto",
                progress=status.update,
            )
            status.update("Packing")
            packed = pack(exported.tflite, codec=args.codec)
            report = report_of(model, exported, packed)
            fallback = exported.binary.fallback.tflite if exported.binary else None
            paths = write_folder(
                args.out,
                tflite=exported.tflite,
                packed=packed,
                report=report,
                fallback=fallback,
                made_from=args.model,
            )
    if args.json:
        summary = {
            "files": [str(path) for path in paths],
            "packed_bytes": len(packed),
            "float32_weight_bytes": report["settings"]["float32_weight_bytes"],
            **exported.to_dict(),
        }
        print(json.dumps(summary, indent=1, allow_nan=False))
    else:
        _print_tables(exported, report, paths)
    return 0


def _print_tables(exported: Any, report: dict[str, Any], paths: list[Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from keras_compress.exporter.notes import shuffle_summary

    console = Console()
    tflite, packed = report["compressed"]["tflite_bytes"], report["compressed"]["packed_bytes"]
    float32 = report["settings"]["float32_weight_bytes"]
    sizes = Table(title=report["title"])
    sizes.add_column("")
    sizes.add_column("Bytes", justify="right")
    sizes.add_column("Weights in float32 / this", justify="right")
    sizes.add_row("Weights in float32", f"{float32:,}", "")
    sizes.add_row("model.tflite", f"{tflite:,}", f"{float32 / tflite:.2f}")
    sizes.add_row("model.kcz", f"{packed:,}", f"{float32 / packed:.2f}", style="bold")
    if exported.binary:
        fallback = len(exported.binary.fallback.tflite)
        sizes.add_row(
            exported.binary.to_dict()["fallback"], f"{fallback:,}", f"{float32 / fallback:.2f}"
        )
    console.print(sizes)

    verification = exported.verification
    if verification is not None:
        errors = Table(title=f"Beside Keras, {verification.samples} samples")
        errors.add_column("Result")
        for heading in ("Largest error", "Mean error", "Relative", "Same top 1"):
            errors.add_column(heading, justify="right")
        for output in verification.outputs:
            errors.add_row(
                output.name,
                f"{output.max_abs_error:.3g}",
                f"{output.mean_abs_error:.3g}",
                "-" if output.relative_error is None else f"{output.relative_error:.2%}",
                "-" if output.top1_agreement is None else f"{output.top1_agreement:.2%}",
            )
        console.print(errors)
        if verification.data == "random":
            console.print("The samples were made up; give real ones with --data.")
        _print_layers(console, verification)
    _print_preservation(console, exported.preservation)
    if exported.binary:
        _print_binary(console, exported.binary)
    if exported.shuffles:
        console.print(shuffle_summary(exported.shuffles), highlight=False, markup=False)
    for note in exported.notes:
        console.print(f"Note: {note}", highlight=False, markup=False)
    for path in paths:
        console.print(str(path), highlight=False, markup=False)


def _print_binary(console: Any, binary: Any) -> None:
    parts = [
        f"{len(binary.layers)} layers compute with bits",
        f"{len(binary.passed_as_bits)} of their results stay bits",
        f"{len(binary.packed_weights)} other kernels are stored as bits",
    ]
    if binary.fallback_difference is not None:
        parts.append(f"results are {binary.fallback_difference:.2g} from the fallback's")
    console.print("; ".join(parts) + ".", highlight=False, markup=False)
    console.print(binary.advice, highlight=False, markup=False)


def _print_layers(console: Console, verification: Any) -> None:
    from rich.table import Table

    if not verification.layers and not verification.unmapped_layers:
        return
    table = Table(title="Layer by layer, first sample")
    table.add_column("Layer")
    table.add_column("Largest error", justify="right")
    table.add_column("Relative", justify="right")
    for layer in verification.layers:
        relative = "-" if layer.relative_error is None else f"{layer.relative_error:.2%}"
        table.add_row(layer.layer, f"{layer.max_abs_error:.3g}", relative)
    for name in verification.unmapped_layers:
        table.add_row(name, "fused", "")
    console.print(table)


def _print_preservation(console: Console, preservation: Any) -> None:
    from rich.table import Table

    rows = [
        weight
        for weight in preservation.weights
        if weight.sharing != "none" or (weight.zeros != "none" and weight.tensor is not None)
    ]
    if not rows:
        return
    table = Table(title="Zeros and shared values, before and after")
    table.add_column("Weight")
    for heading in ("Zeros", "Values", "a channel", "Zeros kept", "Sharing"):
        table.add_column(heading, justify="right")
    for weight in rows:
        table.add_row(
            weight.weight,
            _change(weight.zeros_before, weight.zeros_after),
            _change(weight.distinct_before, weight.distinct_after),
            "-" if weight.distinct_per_channel is None else f"{weight.distinct_per_channel:,}",
            weight.zeros,
            weight.sharing.replace("_", " "),
            style="yellow" if weight.is_lost else None,
        )
    console.print(table)


def _change(before: int, after: int | None) -> str:
    return f"{before:,} -> {'?' if after is None else f'{after:,}'}"
