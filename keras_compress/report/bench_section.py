"""The timings: how the time of one inference scatters, starting up, memory, the verdict."""

from __future__ import annotations

from keras_compress.report import formatting
from keras_compress.report.document import Document
from keras_compress.report.markup import Markup, element, join
from keras_compress.report.reading import Node
from keras_compress.report.tables import data_table

__all__ = ["bench_section"]


def bench_section(document: Document) -> Markup:
    """Return the tables of the benchmark's result."""
    heading, bench = element("h2", "Timing"), document.bench
    models = list(bench.nodes("models")) if bench is not None else []
    if bench is None or not models:
        return join(heading, element("p", "This report holds no timings.", class_="missing"))
    titles = {stage.name: stage.title for stage in document.shown_stages}
    marked = frozenset(
        index
        for index, model in enumerate(models)
        if model.flag("is_baseline") is False and model.string("name") == _shipped(document)
    )
    return join(
        heading,
        element("p", _conditions(bench), class_="soft"),
        data_table(
            "One inference. The ratio is the baseline's median over this model's: above 1 is "
            "faster; in brackets, how far it may be off.",
            ["Model", "p5", "Median", "p90", "p95", "Runs", "Faster", "Delegate"],
            [_latency_row(model, titles) for model in models],
            text_columns=frozenset({0, 7}),
            marked=marked,
        ),
        data_table(
            "Starting up, and memory over that of the empty process.",
            ["Model", "File", "Decode", "First init", "Later init", "First inference", "Memory"],
            [_start_row(model, titles) for model in models],
            marked=marked,
        ),
        _verdicts(models, titles),
    )


def _shipped(document: Document) -> str | None:
    return next((stage.name for stage in document.shown_stages if stage.shipped), None)


def _name(model: Node, titles: dict[str, str]) -> str:
    name = model.string("name") or "unnamed"
    return titles.get(name, name)


def _conditions(bench: Node) -> str:
    settings, environment = bench.node("settings"), bench.node("environment")
    parts = []
    if environment is not None:
        runtime = environment.node("runtime")
        parts += [environment.string("cpu"), environment.string("os")]
        if runtime is not None:
            parts.append(f"{runtime.string('name') or ''} {runtime.string('version') or ''}")
    if settings is not None:
        threads, rounds = settings.count("num_threads"), settings.count("rounds")
        if threads is not None:
            parts.append("1 thread" if threads == 1 else f"{threads} threads")
        if rounds is not None:
            parts.append(f"models timed in turns over {rounds} rounds")
    return " · ".join(part.strip() for part in parts if part and part.strip())


def _latency_row(model: Node, titles: dict[str, str]) -> list[object]:
    latency, misc = model.node("latency_metrics"), model.node("misc_metrics")
    delegate = model.node("delegate")
    return [
        _name(model, titles),
        *(_milliseconds(latency, key) for key in ("p5_ms", "median_ms", "p90_ms", "p95_ms")),
        formatting.count(misc.count("num_runs") if misc else None),
        _faster(model),
        (delegate.string("used") if delegate else None) or formatting.NOTHING,
    ]


def _faster(model: Node) -> str:
    comparison = model.node("comparison")
    if comparison is None:
        return "baseline" if model.flag("is_baseline") else formatting.NOTHING
    shown = formatting.ratio(comparison.number("latency_ratio", minimum=0))
    low = comparison.number("latency_ratio_low", minimum=0)
    high = comparison.number("latency_ratio_high", minimum=0)
    if low is None or high is None:
        return shown
    return f"{shown} ({low:.2f}\u2013{high:.2f})"


def _start_row(model: Node, titles: dict[str, str]) -> list[object]:
    latency, decode = model.node("latency_metrics"), model.node("decode")
    memory = model.node("memory_metrics")
    packed = model.string("format") == "kcz"
    footprint = memory.number("overall_footprint_kb") if memory else None
    return [
        _name(model, titles),
        formatting.byte_count(decode.count("file_bytes") if decode else None),
        _milliseconds(decode, "decode_ms") if packed else "not packed",
        *(
            _milliseconds(latency, key)
            for key in ("init_ms", "later_init_ms", "first_inference_ms")
        ),
        formatting.NOTHING if footprint is None else f"{footprint / 1024:.2f} MiB",
    ]


def _verdicts(models: list[Node], titles: dict[str, str]) -> Markup | None:
    lines = []
    for model in models:
        comparison = model.node("comparison")
        verdict = comparison.string("verdict") if comparison else None
        if comparison is None or not verdict:
            continue
        reasons = [reason for reason in comparison.strings("reasons") if reason]
        lines.append(
            element(
                "li",
                element("b", element("bdi", _name(model, titles)), ": "),
                verdict.replace("_", " ").lower(),
                f" ({' '.join(reasons)})" if reasons else None,
            )
        )
    return element("ul", *lines, class_="soft") if lines else None


def _milliseconds(node: Node | None, key: str) -> str:
    return formatting.milliseconds(node.number(key, minimum=0) if node else None)
