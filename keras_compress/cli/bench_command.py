"""`keras-compress bench`: times models in turns, on this machine or on an Android phone."""

from __future__ import annotations

import argparse
import os
from typing import Any

from keras_compress.cli.bench_tables import print_tables
from keras_compress.cli.files import add_force
from keras_compress.cli.number_options import at_least, number_in, seed


def register(subparsers: Any) -> None:
    """Add `bench` to the command's subparsers."""
    parser = subparsers.add_parser(
        "bench",
        help="time .tflite and .kcz models on this machine or an Android phone",
        description=(
            "Time models in turns, each in a process of its own: one inference (median, "
            "percentiles), first and later initialization, unpacking of a .kcz apart from it, "
            "memory. TensorFlow is not needed. With --android the models are timed on a phone, "
            "too, and one report shows both."
        ),
    )
    parser.add_argument("models", metavar="MODEL", nargs="+", help=".tflite or .kcz files")
    parser.add_argument(
        "--baseline", metavar="MODEL", help="the model that the others are compared with"
    )
    parser.add_argument(
        "--threads",
        "--num_threads",
        type=at_least(1),
        default=1,
        metavar="N",
        help="threads of the runtime (default: 1)",
    )
    parser.add_argument(
        "--warmup-runs",
        "--warmup_runs",
        type=at_least(0),
        default=5,
        metavar="N",
        help="runs of each model before timing (default: 5)",
    )
    parser.add_argument(
        "--num-runs",
        "--num_runs",
        type=at_least(1),
        default=50,
        metavar="N",
        help="smallest number of timed runs of each model (default: 50)",
    )
    parser.add_argument(
        "--min-secs",
        "--min_secs",
        type=number_in(0),
        default=1.0,
        metavar="S",
        help="least seconds of timed runs of each model (default: 1)",
    )
    parser.add_argument(
        "--max-secs",
        "--max_secs",
        type=number_in(0),
        default=150.0,
        metavar="S",
        help="most seconds of timed runs of each model (default: 150)",
    )
    parser.add_argument(
        "--delegate",
        choices=("xnnpack", "none", "gpu", "binary"),
        default="xnnpack",
        help="none: the runtime's own kernels; gpu and binary: on a phone (default: xnnpack)",
    )
    parser.add_argument(
        "--base", metavar="OLD.tflite", help="the file that patches among the models were made for"
    )
    parser.add_argument(
        "--input-shape",
        action="append",
        type=_shape,
        metavar="[NAME=]N,N,...",
        help="shape to run with, where a model leaves sizes open; once for each input",
    )
    parser.add_argument("--seed", type=seed, default=0, metavar="N", help=argparse.SUPPRESS)
    parser.add_argument(
        "--json",
        nargs="?",
        const="-",
        metavar="FILE",
        help="write the result as JSON to FILE; without FILE, or with -, print it instead of "
        "the tables",
    )
    add_force(parser)
    phone = parser.add_argument_group("on a phone")
    phone.add_argument(
        "--android",
        action="store_true",
        help="time the models on the phone that adb sees, and on this machine",
    )
    phone.add_argument("--serial", metavar="S", help="which phone, as `adb devices` lists it")
    phone.add_argument(
        "--apk",
        metavar="FILE",
        help="install this app (default: the one of android_demo/, if the phone has none)",
    )
    phone.add_argument(
        "--no-host", action="store_true", help="do not time the models on this machine, too"
    )
    phone.add_argument(
        "--cool-down-secs",
        "--cool_down_secs",
        type=number_in(0),
        default=0.0,
        metavar="S",
        help="rest before each turn, against heat (default: 0)",
    )
    phone.add_argument(
        "--out",
        metavar="DIR",
        default="keras-compress-android",
        help="folder for report.json and report.html; a report that is there gets the timings "
        "(default: keras-compress-android)",
    )
    parser.set_defaults(run=_run, wrong_usage=parser.error)


def _shape(text: str) -> tuple[str, list[int]]:
    name, _, sizes = text.rpartition("=")
    try:
        shape = [int(size) for size in sizes.split(",")]
    except ValueError:
        shape = []
    if not shape or min(shape) < 1:
        raise argparse.ArgumentTypeError(f"must be sizes such as 1,224,224,3, not {sizes!r}")
    return name, shape


def _check_usage(args: argparse.Namespace) -> None:
    cores = os.cpu_count() or 1
    here = not (args.android and args.no_host)
    if here and args.threads > cores:
        args.wrong_usage(
            f"--threads: this machine has {cores} cores; more threads would wait for each other"
        )
    if args.min_secs > args.max_secs:
        args.wrong_usage(f"--min-secs {args.min_secs:g} is above --max-secs {args.max_secs:g}")
    if args.delegate in ("gpu", "binary") and not args.android:
        args.wrong_usage(f"--delegate {args.delegate} is a phone's: it goes with --android")
    if args.android and (args.base is not None or args.input_shape):
        args.wrong_usage("--base and --input-shape are for this machine, not for --android")
    names = [name for name, _ in args.input_shape or ()]
    if len(set(names)) < len(names):
        args.wrong_usage("--input-shape: name the inputs, NAME=N,N,..., each once")


def _run(args: argparse.Namespace) -> int:
    import json

    from keras_compress.bench import bench
    from keras_compress.errors import KerasCompressError
    from keras_compress.storage import check_target

    _check_usage(args)

    if args.json is not None and args.json.endswith((".tflite", ".kcz")):
        raise KerasCompressError(
            f"`--json` takes the file to write the result to. Received: {args.json}, which "
            "looks like a model. Name models before --json, or write `--json -`."
        )
    if args.json not in (None, "-"):
        check_target(args.json, replace=args.force)
    settings = {
        "baseline": args.baseline,
        "threads": args.threads,
        "warmup_runs": args.warmup_runs,
        "num_runs": args.num_runs,
        "min_secs": args.min_secs,
        "max_secs": args.max_secs,
        "delegate": args.delegate,
        "seed": args.seed,
    }
    with _Progress() as progress:
        if args.android:
            result = _bench_android(args, settings, progress)
        else:
            result = bench(
                args.models,
                **settings,
                base=args.base,
                input_shapes=dict(args.input_shape) if args.input_shape else None,
                progress=progress,
            )
    if args.json == "-":
        print(json.dumps(result.to_dict(), indent=1, allow_nan=False))
        return 0
    if args.json is not None:
        result.write(args.json)
    print_tables(result.to_dict())
    return 0


def _bench_android(args: argparse.Namespace, settings: dict[str, Any], progress: Any) -> Any:
    """Time on the phone and on this machine, and write the report of both."""
    import json
    from pathlib import Path

    from keras_compress.android import android_bench, merge_results
    from keras_compress.android.merging import report_with
    from keras_compress.bench import bench
    from keras_compress.report import render
    from keras_compress.storage import write_files

    phone = android_bench(
        args.models,
        serial=args.serial,
        apk=args.apk,
        cool_down_secs=args.cool_down_secs,
        progress=progress,
        **settings,
    )
    host = None
    if not args.no_host:
        # A host has no delegate of the phone's: its rows are those of its own best.
        if settings["delegate"] in ("gpu", "binary"):
            settings = {**settings, "delegate": "xnnpack"}
        host = bench(args.models, **settings, progress=progress)
    result = merge_results(phone, host)
    folder = Path(args.out)
    report = report_with(result, folder)
    contents: dict[str, bytes | str] = {
        "report.json": json.dumps(report, indent=1, allow_nan=False) + "\n",
        "report.html": render(report),
    }
    write_files(folder, contents)
    return result


class _Progress:
    """A bar on stderr, where stderr is a terminal."""

    def __enter__(self) -> _Progress:
        from rich.console import Console
        from rich.progress import Progress

        console = Console(stderr=True)
        self.bar = Progress(console=console, transient=True, disable=not console.is_terminal)
        self.task = self.bar.add_task("", total=None)
        self.bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.bar.stop()

    def __call__(self, line: str, done: int, total: int) -> None:
        self.bar.update(self.task, description=line, completed=done, total=total)
