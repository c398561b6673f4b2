"""The head of the page: what came of it, and every stage side by side."""

from __future__ import annotations

from keras_compress.report import formatting
from keras_compress.report.charts import Bar, bar_chart, meter
from keras_compress.report.document import Document, Stage
from keras_compress.report.markup import Markup, element, join
from keras_compress.report.tables import data_table

__all__ = ["headline", "stage_section"]

_MUCH_LOST = 0.01  # a loss of accuracy beyond this is set in the colour of a warning


def headline(document: Document) -> Markup:
    """Return the three figures that count: size, accuracy, latency, each with the baseline's."""
    baseline = document.baseline or Stage("baseline", "Baseline")
    compressed = document.compressed or Stage("compressed", "Compressed")
    smaller = _divided(baseline.tflite_bytes, compressed.smallest_bytes)
    faster = _divided(baseline.latency_ms, compressed.latency_ms)
    change = formatting.change_in_points(compressed.accuracy, baseline.accuracy)
    tone = "accent"
    if compressed.accuracy is not None and baseline.accuracy is not None:
        lost = baseline.accuracy - compressed.accuracy
        tone = "good" if lost <= 0 else "bad" if lost > _MUCH_LOST else "accent"
    return element(
        "ul",
        _figure(
            "Size",
            "not measured" if smaller is None else f"{formatting.ratio(smaller)} smaller",
            f"{formatting.byte_count(baseline.tflite_bytes)} → "
            f"{formatting.byte_count(compressed.smallest_bytes)}",
            "the baseline's .tflite → the packed file",
            "accent",
        ),
        _figure(
            "Accuracy",
            formatting.percent(compressed.accuracy)
            if compressed.accuracy is not None
            else "not measured",
            f"{change} against {formatting.percent(baseline.accuracy)}",
            "measured by running the .tflite files",
            tone,
        ),
        _figure(
            "Latency",
            "not measured"
            if compressed.latency_ms is None
            else formatting.milliseconds(compressed.latency_ms),
            f"{formatting.milliseconds(baseline.latency_ms)} before"
            + ("" if faster is None else f", {formatting.ratio(faster)} as fast"),
            "median of one inference",
            "accent",
        ),
        class_="headline",
    )


def _figure(name: str, figure: str, detail: str, basis: str, tone: str) -> Markup:
    return element(
        "li",
        element("span", name, class_="soft"),
        element("b", figure),
        element("span", detail),
        element("small", basis),
        class_=tone,
    )


def stage_section(document: Document) -> Markup:
    """Return the stages as three charts and one table."""
    stages = document.shown_stages
    heading = element("h2", "Size, accuracy and latency side by side")
    if not stages:
        return join(
            heading,
            element(
                "p", "This report holds no accuracy, size or latency of a model.", class_="missing"
            ),
        )
    baseline = document.baseline or stages[0]
    charts = element(
        "div",
        bar_chart(
            "Bytes on disk",
            "shorter is smaller; pale: the .tflite, full: packed",
            [
                _bar(
                    stage,
                    baseline,
                    value=stage.smallest_bytes,
                    shown=formatting.byte_count(stage.smallest_bytes),
                    detail=_times_smaller(stage, baseline),
                    behind=stage.tflite_bytes,
                )
                for stage in stages
            ],
        ),
        bar_chart(
            "Accuracy",
            "on the held-out part, from the .tflite; longer is better",
            [
                _bar(
                    stage,
                    baseline,
                    value=stage.accuracy,
                    shown=formatting.percent(stage.accuracy),
                    detail=""
                    if stage.name == baseline.name
                    else formatting.change_in_points(stage.accuracy, baseline.accuracy),
                )
                for stage in stages
            ],
        ),
        bar_chart(
            "Latency",
            "median (p50) of one inference; shorter is faster",
            [
                _bar(
                    stage,
                    baseline,
                    value=stage.latency_ms,
                    shown=formatting.milliseconds(stage.latency_ms),
                )
                for stage in stages
                if stage.latency_ms is not None
            ]
            or [Bar("Not measured", None, formatting.NOTHING)],
        ),
        class_="charts",
    )
    shipped = [index for index, stage in enumerate(stages) if stage.shipped]
    notes = [stage for stage in stages if stage.note]
    return join(
        heading,
        _shipped_sentence(stages, shipped),
        charts,
        data_table(
            "Every stage. The ratio is the baseline's float32 .tflite over the packed file.",
            ["Stage", "Precision", "Accuracy", ".tflite", "Packed", "Ratio", "Zeros", "Latency"],
            [
                [
                    stage.title,
                    stage.precision or formatting.NOTHING,
                    formatting.percent(stage.accuracy),
                    f"{formatting.count(stage.tflite_bytes)} B"
                    if stage.tflite_bytes is not None
                    else formatting.NOTHING,
                    f"{formatting.count(stage.packed_bytes)} B"
                    if stage.packed_bytes is not None
                    else formatting.NOTHING,
                    formatting.ratio(_divided(baseline.tflite_bytes, stage.packed_bytes)),
                    meter(stage.sparsity),
                    formatting.milliseconds(stage.latency_ms),
                ]
                for stage in stages
            ],
            text_columns=frozenset({0, 1}),
            marked=frozenset(shipped),
        ),
        element(
            "ul",
            *(element("li", element("b", f"{stage.title}: "), stage.note) for stage in notes),
            class_="soft",
        )
        if notes
        else None,
    )


def _shipped_sentence(stages: list[Stage], shipped: list[int]) -> Markup | None:
    if not shipped:
        return None
    stage = stages[shipped[0]]
    precision = f", {stage.precision}" if stage.precision else ""
    return element(
        "p",
        "Shipped as model.tflite and model.kcz: ",
        element("b", element("bdi", stage.title)),
        f"{precision}. It is set off below.",
    )


def _bar(
    stage: Stage,
    baseline: Stage,
    *,
    value: float | None,
    shown: str,
    detail: str = "",
    behind: float | None = None,
) -> Bar:
    tone = "stage"
    if stage.shipped or stage.name == "compressed":
        tone = "shipped"
    elif stage.name == baseline.name:
        tone = "baseline"
    return Bar(stage.title, value, shown, detail, tone, behind)


def _times_smaller(stage: Stage, baseline: Stage) -> str:
    return formatting.ratio(_divided(baseline.tflite_bytes, stage.smallest_bytes))


def _divided(numerator: float | None, denominator: float | None) -> float | None:
    if numerator is None or not denominator:
        return None
    return numerator / denominator
