"""What was checked: the converted models against Keras, and what the conversion preserved."""

from __future__ import annotations

from collections.abc import Iterator

from keras_compress.report import formatting
from keras_compress.report.document import Document
from keras_compress.report.markup import Markup, element, join
from keras_compress.report.reading import Node
from keras_compress.report.tables import data_table

__all__ = ["checks_section"]

_SHARING = {
    "none": "nothing shared",
    "kept": "kept",
    "per_channel": "kept within channels only",
    "lost": "lost",
    "unknown": "not known",
}


def checks_section(document: Document) -> Markup:
    """Return the tables of the verifications and of the preservation of zeros and shared values."""
    titles = {stage.name: stage.title for stage in document.shown_stages}
    return join(
        element("h2", "What was checked"),
        _verification_table(document.verification, titles),
        _preservation_table(document.preservation, titles),
    )


def _by_stage(node: Node | None) -> Iterator[tuple[str, Node]]:
    """Yield the entries of an object keyed by the names of stages."""
    for name in node.keys() if node is not None else []:
        entry = node.node(name) if node is not None else None
        if entry is not None:
            yield name, entry


def _verification_table(verification: Node | None, titles: dict[str, str]) -> Markup:
    rows = []
    for name, entry in _by_stage(verification):
        means = [output.number("mean_abs_error", minimum=0) for output in entry.nodes("outputs")]
        rows.append(
            [
                titles.get(name, name),
                formatting.count(entry.count("samples")),
                formatting.plain(entry.number("max_abs_error", minimum=0), 3),
                formatting.plain(
                    max((mean for mean in means if mean is not None), default=None), 3
                ),
                formatting.percent(entry.number("top1_agreement", minimum=0, maximum=1)),
                entry.string("runtime") or formatting.NOTHING,
            ]
        )
    if not rows:
        return element(
            "p",
            "The report doesn't say that a converted model was run beside the Keras model.",
            class_="missing",
        )
    return data_table(
        "Each .tflite beside the Keras model it came from, on the same samples.",
        ["Model", "Samples", "Largest error", "Mean error", "Same top class", "Runtime"],
        rows,
        text_columns=frozenset({0, 5}),
    )


def _preservation_table(preservation: Node | None, titles: dict[str, str]) -> Markup:
    rows = []
    for name, entry in _by_stage(preservation):
        for weight in entry.nodes("weights"):
            sharing, zeros = weight.string("sharing"), weight.string("zeros")
            if sharing == zeros == "none":
                continue
            rows.append(
                [
                    titles.get(name, name),
                    weight.string("weight") or "unnamed",
                    weight.string("dtype") or formatting.NOTHING,
                    _change(weight, "zeros"),
                    _change(weight, "distinct"),
                    _SHARING.get(sharing or "", sharing or formatting.NOTHING),
                    weight.string("reason") or "",
                ]
            )
    if not rows:
        return element(
            "p",
            "The report names no weights whose zeros or shared values could have been lost.",
            class_="missing",
        )
    return data_table(
        "Zeros and shared values: in Keras → in the file.",
        ["Model", "Weight", "Stored as", "Zeros", "Distinct values", "Shared values", "Because"],
        rows,
        text_columns=frozenset({0, 1, 2, 5, 6}),
    )


def _change(weight: Node, what: str) -> str:
    before, after = weight.count(f"{what}_before"), weight.count(f"{what}_after")
    return f"{formatting.count(before)} → {formatting.count(after)}"
