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
    return element(
        "ul",
        _size_figure(baseline, compressed),
        _accuracy_figure(baseline, compressed),
        _latency_figure(baseline, compressed),
        class_="headline",
    )


def _size_figure(baseline: Stage, compressed: Stage) -> Markup:
    before, basis = baseline.tflite_bytes, "the baseline's .tflite → the packed file"
    if before is None:
        before, basis = compressed.tflite_bytes, "the .tflite → the same, packed"
    after = compressed.smallest_bytes
    smaller = _divided(before, after)
    if smaller is None:
        return _figure("Size", formatting.byte_count(after) if after else "not measured", "", "")
    return _figure(
        "Size",
        f"{formatting.ratio(smaller)} smaller",
        f"{formatting.byte_count(before)} → {formatting.byte_count(after)}",
        basis,
    )


def _accuracy_figure(baseline: Stage, compressed: Stage) -> Markup:
    if compressed.accuracy is None:
        return _figure("Accuracy", "not measured", "", "")
    tone, detail = "accent", ""
    if baseline.accuracy is not None:
        lost = baseline.accuracy - compressed.accuracy
        tone = "good" if lost <= 0 else "bad" if lost > _MUCH_LOST else "accent"
        change = formatting.change_in_points(compressed.accuracy, baseline.accuracy)
        detail = f"{change} against {formatting.percent(baseline.accuracy)}"
    basis = "held-out part, by running the .tflite"
    return _figure("Accuracy", formatting.percent(compressed.accuracy), detail, basis, tone)


def _latency_figure(baseline: Stage, compressed: Stage) -> Markup:
    if compressed.latency_ms is None:
        return _figure("Latency", "not measured", "", "")
    faster = _divided(baseline.latency_ms, compressed.latency_ms)
    return _figure(
        "Latency",
        formatting.milliseconds(compressed.latency_ms),
        ""
        if faster is None
        else f"{formatting.milliseconds(baseline.latency_ms)} before, "
        f"{formatting.ratio(faster)} as fast",
        "median of one inference",
    )


def _figure(name: str, figure: str, detail: str, basis: str, tone: str = "accent") -> Markup:
    return element(
        "li",
        element("span", name, class_="soft"),
        element("b", figure),
        element("span", detail) if detail else None,
        element("small", basis) if basis else None,
        class_=tone if figure != "not measured" else None,
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
                if stage.accuracy is not None
            ]
            or [Bar("Not measured", None, formatting.NOTHING)],
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
            "Every stage. The ratio is "
            + ("the baseline's" if document.baseline else "the first")
            + " .tflite over the packed file.",
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
    told = not stage.precision or stage.precision in stage.title
    precision = "" if told else f", {stage.precision}"
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
