"""Puts the page together: one file that opens offline and needs no script."""

from __future__ import annotations

from collections.abc import Mapping

from keras_compress.report import formatting
from keras_compress.report.bench_section import bench_section
from keras_compress.report.channel_section import channel_section
from keras_compress.report.checks_section import checks_section
from keras_compress.report.document import Document, document_of
from keras_compress.report.layer_section import layer_section
from keras_compress.report.markup import Markup, element, join, text
from keras_compress.report.packed_section import packed_section
from keras_compress.report.reading import Node
from keras_compress.report.stage_section import headline, stage_section
from keras_compress.report.style import STYLE_SHEET
from keras_compress.report.tables import facts, flatten

__all__ = ["render"]

# Nothing may be loaded or run, whatever a report smuggles in.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def render(report: Mapping[str, object]) -> str:
    """Return a report as one HTML page that stands alone.

    Size, accuracy and latency side by side, the weights layer by layer, the packed file tensor
    by tensor, the timings, what was checked and with which settings. The page holds no script
    and loads nothing; it is readable from 360 pixels of width, light and dark. What the report
    leaves out is said to be missing.

    Example:

    ```python
    import json
    import keras_compress

    with open("report.json") as file:
        page = keras_compress.report.render(json.load(file))
    ```

    Args:
        report: The JSON object that `keras-compress demo` writes as `report.json`. Fields this
            version doesn't know are ignored.

    Returns:
        The page, as text to be written in UTF-8.

    Raises:
        KerasCompressError: If a field isn't what it must be, or the report is of a newer schema
            version. The message names the field.
    """
    document = document_of(report)
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="generator", content="keras-compress"),
        element("link", rel="icon", href="data:,"),
        element("title", document.title),
        element("style", Markup(STYLE_SHEET)),
    )
    body = element(
        "body",
        element(
            "header",
            element("h1", element("bdi", document.title)),
            element("p", _subtitle(document), class_="soft"),
            headline(document),
        ),
        element(
            "main",
            stage_section(document),
            channel_section(document),
            layer_section(document),
            packed_section(document.packed),
            bench_section(document),
            checks_section(document),
            _circumstances_section(document),
        ),
        element("footer", "Written by keras-compress. No script, nothing loaded from elsewhere."),
    )
    return str(join(Markup("<!doctype html>\n"), element("html", head, body, lang="en"), "\n"))


def _subtitle(document: Document) -> Markup:
    parts = [
        document.created,
        None if document.duration_s is None else f"took {formatting.seconds(document.duration_s)}",
    ]
    return text(" · ".join(part for part in parts if part) or "Time and duration are not stated.")


def _circumstances_section(document: Document) -> Markup:
    return join(
        element("h2", "Settings and surroundings"),
        element(
            "div",
            _node_table("Settings", document.settings),
            _node_table("Environment", document.environment),
            class_="two",
        ),
    )


def _node_table(caption: str, node: Node | None) -> Markup:
    pairs = flatten(node.value) if node is not None else []
    if not pairs:
        return element("p", f"{caption}: not in this report.", class_="missing")
    return facts(caption, pairs)
