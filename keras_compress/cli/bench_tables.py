"""What `keras-compress bench` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


__all__ = ["print_tables"]


def print_tables(result: dict[str, Any]) -> None:
    """Print latency, start and memory of each model, and what to know about them."""
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


def _print_start(console: Console, result: dict[str, Any]) -> None:
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
