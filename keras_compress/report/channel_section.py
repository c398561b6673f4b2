"""The net before and after channels were removed: a bar for each group."""

from __future__ import annotations

from keras_compress.report.charts import Bar, bar_chart
from keras_compress.report.document import Channels, Document
from keras_compress.report.markup import Markup, element, join

__all__ = ["channel_section"]


def channel_section(document: Document) -> Markup:
    """Return the bars, in the order of the net; nothing where a report tells of no channels."""
    groups = document.channels
    if not groups:
        return Markup("")
    before, kept = sum(g.before for g in groups), sum(g.kept for g in groups)
    return join(
        element("h2", "Channels"),
        bar_chart(
            "Channels of each group",
            f"{kept:,} of {before:,} are left; paler, what there was",
            [_bar(group) for group in groups],
        ),
    )


def _bar(group: Channels) -> Bar:
    cut = group.kept < group.before
    return Bar(
        label=group.name,
        value=group.kept,
        shown=f"{group.kept:,} of {group.before:,}" if cut else f"{group.kept:,}",
        detail=group.reason or "",
        tone="shipped" if cut else "baseline",
        behind=group.before,
    )
