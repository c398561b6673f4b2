"""Charts without a script: bars as HTML, whose labels wrap, and histograms as inline SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from keras_compress.report import formatting
from keras_compress.report.document import Histogram
from keras_compress.report.markup import Markup, element, join

__all__ = ["Bar", "bar_chart", "histogram_chart", "meter"]

_HEIGHT = 100.0


@dataclass(frozen=True)
class Bar:
    """One bar: its label, value and what is written beside it.

    `tone` is one of `"baseline"`, `"stage"` and `"shipped"`; `behind` is a second, paler bar
    from the same origin.
    """

    label: str
    value: float | None
    shown: str
    detail: str = ""
    tone: str = "stage"
    behind: float | None = None


def bar_chart(title: str, caption: str, bars: Sequence[Bar]) -> Markup:
    """Return horizontal bars from a common zero, under a title."""
    values = [bar.value for bar in bars] + [bar.behind for bar in bars]
    largest = max((value for value in values if value is not None), default=0.0)
    rows = [_bar_row(bar, largest) for bar in bars]
    return element(
        "figure",
        element("figcaption", element("strong", title), element("span", caption)),
        element("ul", *rows, class_="bars"),
        class_="chart",
    )


def _bar_row(bar: Bar, largest: float) -> Markup:
    track = None
    if bar.value is not None:
        track = element(
            "span",
            None if bar.behind is None else _bar(bar.behind, largest, "behind"),
            _bar(bar.value, largest, bar.tone),
            class_="track",
            aria_hidden="true",
        )
    return element(
        "li",
        element(
            "span",
            element("bdi", bar.label, class_="bar-label"),
            element(
                "span",
                element("b", bar.shown),
                element("small", bar.detail) if bar.detail else None,
                class_="bar-value",
            ),
            class_="bar-head",
        ),
        track,
    )


def _bar(value: float, largest: float, tone: str) -> Markup:
    width = 100 * value / largest if largest > 0 else 0.0
    return element(
        "span", class_=f"bar {tone}" if value > 0 else "bar none", style=f"width:{width:.2f}%"
    )


def meter(value: float | None, name: str = "") -> Markup:
    """Return a share from 0 to 1 as a number, `name` after it, with a small bar under it."""
    if value is None:
        return Markup(formatting.NOTHING)
    return element(
        "span",
        f"{formatting.share(value)} {name}".rstrip(),
        element("span", _bar(value, 1.0, "stage"), class_="track thin", aria_hidden="true"),
        class_="meter",
    )


def histogram_chart(title: str, histogram: Histogram, *, tone: str, note: str) -> Markup:
    """Return a histogram with its ends and its fullest bin written out.

    The bars are scaled by the square root of their counts: the few weights that are left and
    the many that were there both stay in sight.
    """
    counts = histogram.counts
    fullest = max(counts)
    width = 1000 / len(counts)
    bars = []
    for index, number in enumerate(counts):
        if number == 0:
            continue
        height = max(1.5, _HEIGHT * (number / fullest) ** 0.5)
        bars.append(
            f"M{index * width + width * 0.06:.1f} {_HEIGHT:.0f}"
            f"v-{height:.1f}h{width * 0.88:.1f}v{height:.1f}z"
        )
    low, high = formatting.plain(histogram.low, 3), formatting.plain(histogram.high, 3)
    filled = sum(1 for number in counts if number)
    description = (
        f"{title}: {sum(counts):,} nonzero weights from {low} to {high}, in {filled} of "
        f"{len(counts)} bins; the fullest holds {fullest:,}."
    )
    middle = 1000 * -histogram.low / (histogram.high - histogram.low)
    zero_line = None
    if 0 < middle < 1000:
        zero_line = element("path", d=f"M{middle:.1f} 0v{_HEIGHT:.0f}", class_="zero", fill="none")
    picture = element(
        "svg",
        element("title", description),
        zero_line,
        element("path", d="".join(bars), class_=tone),
        role="img",
        viewBox=f"0 0 1000 {_HEIGHT:.0f}",
        preserveAspectRatio="none",
    )
    ends = element(
        "span",
        element("span", low),
        element("span", "0") if 0 < middle < 1000 else None,
        element("span", high),
        class_="ends",
        aria_hidden="true",
    )
    return element(
        "figure",
        element("figcaption", join(element("strong", title), element("span", note))),
        picture,
        ends,
        class_="histogram",
    )
