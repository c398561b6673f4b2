"""`keras-compress bench`: times models in turns, on this machine or on an Android phone."""

from __future__ import annotations

import argparse
from typing import Any


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
        type=int,
        default=1,
        metavar="N",
        help="threads of the runtime (default: 1)",
    )
    parser.add_argument(
        "--warmup-runs",
        "--warmup_runs",
        type=int,
        default=5,
        metavar="N",
        help="runs of each model before timing (default: 5)",
    )
    parser.add_argument(
        "--num-runs",
        "--num_runs",
        type=int,
        default=50,
        metavar="N",
        help="fewest timed runs of each model (default: 50)",
    )
    parser.add_argument(
        "--min-secs",
        "--min_secs",
        type=float,
        default=1.0,
        metavar="S",
        help="least seconds of timed runs of each model (default: 1)",
    )
    parser.add_argument(
        "--max-secs",
        "--max_secs",
        type=float,
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
    parser.add_argument("--seed", type=int, default=0, metavar="N", help=argparse.SUPPRESS)
    parser.add_argument(
        "--json",
        nargs="?",
        const="-",
        metavar="FILE",
        help="write the result as JSON to FILE; without FILE, or with -, print it instead of "
        "the tables",
    )
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
        type=float,
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
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    import json

    from keras_compress.bench import bench
    from keras_compress.errors import KerasCompressError

    if args.json is not None and args.json.endswith((".tflite", ".kcz")):
        raise KerasCompressError(
            f"`--json` takes the file to write the result to. Received: {args.json}, which "
            "looks like a model. Name models before --json, or write `--json -`."
        )
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
            result = bench(args.models, **settings, progress=progress)
    if args.json == "-":
        print(json.dumps(result.to_dict(), indent=1, allow_nan=False))
        return 0
    if args.json is not None:
        result.write(args.json)
    _print_tables(result.to_dict())
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


def _print_tables(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    threads = result["settings"]["num_threads"]
    compared = any("comparison" in model for model in result["models"])
    table = Table(
        title=f"One inference in milliseconds, {threads} thread{'s' if threads > 1 else ''}"
    )
    table.add_column("Model", overflow="fold")
    for heading in ("Median", "p90", "p95", "Runs"):
        table.add_column(heading, justify="right", no_wrap=True)
    if compared:
        table.add_column("Times faster", justify="right", no_wrap=True)
        table.add_column("Verdict", no_wrap=True)
    for model in result["models"]:
        latency = model["latency_metrics"]
        row = [
            model["name"],
            *(f"{latency[name]:.3f}" for name in ("median_ms", "p90_ms", "p95_ms")),
            f"{model['misc_metrics']['num_runs']:,}",
        ]
        if compared:
            row += _comparison_cells(model.get("comparison"))
        table.add_row(*row)
    console.print(table)
    _print_start(console, result)
    for line in _remarks(result):
        console.print(line, highlight=False, markup=False)


_VERDICTS = {
    "PASS": "[green]pass[/]",
    "PASS_WITH_WARNING": "[yellow]warning[/]",
    "FAIL": "[red]fail[/]",
}


def _comparison_cells(comparison: dict[str, Any] | None) -> list[str]:
    if comparison is None:
        return ["1", "baseline"]
    low, high = comparison["latency_ratio_low"], comparison["latency_ratio_high"]
    return [
        f"{comparison['latency_ratio']:.2f} ({low:.2f}-{high:.2f})",
        _VERDICTS[comparison["verdict"]],
    ]


def _print_start(console: Any, result: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(title="File, start in milliseconds, memory in kB")
    table.add_column("Model", overflow="fold")
    for heading in ("Bytes", "Times smaller", "Unpack", "Init", "later", "Peak memory"):
        table.add_column(heading, justify="right")
    for model in result["models"]:
        latency, decode = model["latency_metrics"], model["decode"]
        memory, comparison = model["memory_metrics"], model.get("comparison")
        table.add_row(
            model["name"],
            f"{decode['file_bytes']:,}",
            "-" if comparison is None else f"{comparison['size_ratio']:.2f}",
            f"{decode['decode_ms']:.2f}" if model["format"] == "kcz" else "-",
            f"{latency['init_ms']:.2f}",
            f"{latency['later_init_ms']:.2f}",
            _or_dash(memory["peak_footprint_kb"]),
        )
    console.print(table)


def _remarks(result: dict[str, Any]) -> list[str]:
    lines = []
    for model in result["models"]:
        remarks = list(model.get("comparison", {}).get("reasons", []))
        delegate = model["delegate"]
        if delegate["asked"] != "none":
            if delegate["used"] == "unknown":
                remarks.append(f"the runtime does not tell whether {delegate['asked']} was used")
            elif delegate["delegated_nodes"] is None:
                remarks.append(
                    f"{delegate['used']} was used; the runtime does not tell for how many nodes"
                )
            elif delegate["delegated_nodes"] < delegate["nodes"]:
                remarks.append(
                    f"{delegate['asked']} took {delegate['delegated_nodes']} of "
                    f"{delegate['nodes']} nodes"
                )
        if delegate.get("binary_kernels"):
            remarks.append(f"binary layers ran on the {delegate['binary_kernels']} kernels")
        if remarks:
            lines.append(f"{model['name']}: {'; '.join(remarks)}.")
    machine = result["environment"]
    runtime, load = machine["runtime"], machine.get("load_average")
    lines.append(
        f"{machine.get('cpu') or machine.get('machine')}, {machine.get('usable_cores')} cores, "
        f"governor {machine.get('governor') or 'not told'}, "
        f"load {'not told' if load is None else load[0]}; "
        f"{runtime['name']} {runtime['version']}."
    )
    return lines


def _or_dash(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"
