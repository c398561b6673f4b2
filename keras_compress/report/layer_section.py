"""The weights, layer by layer: how many are zero, how many values are left, what was done."""

from __future__ import annotations

from keras_compress.report import formatting
from keras_compress.report.charts import histogram_chart, meter
from keras_compress.report.document import Document, Layer
from keras_compress.report.markup import Markup, element, join
from keras_compress.report.tables import data_table

__all__ = ["layer_section"]

_MAX_CARDS = 200


def layer_section(document: Document) -> Markup:
    """Return a table of all weights and a card with histograms for those that have them."""
    heading = element("h2", "Layer by layer")
    if not document.layers:
        return join(
            heading,
            element("p", "This report says nothing about single layers.", class_="missing"),
        )
    pictured = [
        layer
        for layer in document.layers
        if layer.before.histogram is not None or layer.after.histogram is not None
    ]
    left_out = len(pictured) - _MAX_CARDS
    return join(
        heading,
        data_table(
            "Weights of the shipped model. Distinct values: before → after.",
            ["Layer", "Type", "Weight", "Shape", "Weights", "Zeros", "Distinct values", "Done"],
            [_row(layer) for layer in document.layers],
            text_columns=frozenset({0, 1, 2, 3, 7}),
        ),
        element(
            "p",
            "Below: the weights that are not zero, before and after. Bar heights grow with the "
            "square root of the count, so that single shared values stay visible.",
            class_="soft",
        )
        if pictured
        else element("p", "The report holds no weight histograms.", class_="missing"),
        element("div", *(_card(layer) for layer in pictured[:_MAX_CARDS]), class_="cards"),
        element("p", f"{left_out} more layers are in the JSON.", class_="missing")
        if left_out > 0
        else None,
    )


def _row(layer: Layer) -> list[object]:
    distinct = formatting.count(layer.distinct_values)
    if layer.before.distinct_values is not None:
        distinct = f"{formatting.count(layer.before.distinct_values)} → {distinct}"
    done = element(
        "span",
        *(
            join(
                element("bdi", f"{action.technique}: {action.action}"),
                element("bdi", f" ({action.reason})") if action.reason else None,
                Markup("<br>"),
            )
            for action in layer.actions
        ),
        class_="reason",
    )
    return [
        layer.name,
        layer.type or formatting.NOTHING,
        layer.weight or formatting.NOTHING,
        "\u00d7".join(map(str, layer.shape)) or formatting.NOTHING,
        formatting.count(layer.weights),
        meter(layer.sparsity),
        distinct,
        done if layer.actions else formatting.NOTHING,
    ]


def _card(layer: Layer) -> Markup:
    kept = None
    if layer.weights is not None and layer.zeros is not None:
        kept = layer.weights - layer.zeros
    facts = [
        None if kept is None else f"{kept:,} of {layer.weights:,} weights kept",
        None if layer.distinct_values is None else f"{layer.distinct_values:,} distinct values",
    ]
    charts = []
    for label, tone, state in (("Before", "before", layer.before), ("After", "after", layer.after)):
        if state.histogram is None:
            charts.append(element("p", f"{label}: no histogram.", class_="missing"))
            continue
        zeros = "zeros not stated"
        if state.zeros is not None:
            zeros = f"{state.zeros:,} zeros, not drawn" if state.zeros else "no zeros"
        charts.append(histogram_chart(label, state.histogram, tone=tone, note=zeros))
    weight = f" · {layer.weight}" if layer.weight else ""
    return element(
        "section",
        element(
            "header",
            element("h3", element("bdi", layer.name)),
            element(
                "span",
                f"{layer.type or 'unknown type'}{weight} · "
                + " · ".join(fact for fact in facts if fact),
                class_="soft",
            ),
            meter(layer.sparsity, "zeros") if layer.sparsity is not None else None,
        ),
        element("div", *charts, class_="pair"),
        element(
            "ul",
            *(
                element(
                    "li",
                    element("b", element("bdi", action.technique), ": "),
                    element("bdi", action.action),
                    f" ({action.reason})" if action.reason else None,
                )
                for action in layer.actions
            ),
            class_="actions",
        )
        if layer.actions
        else None,
        class_="card",
    )
