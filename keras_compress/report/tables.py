"""Tables that keep their headings: a caption, scoped headers, and a frame of their own to
scroll in, so that a narrow screen never scrolls the whole page sideways."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from keras_compress.report.markup import Markup, element

__all__ = ["data_table", "facts", "flatten"]

_MAX_FACTS = 200
_LONGEST_FACT = 300


def data_table(
    caption: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    text_columns: frozenset[int] = frozenset({0}),
    marked: frozenset[int] = frozenset(),
) -> Markup:
    """Return a table whose first cell in each row is that row's heading.

    Args:
        caption: Caption of the table, read out and shown above it.
        columns: Headings.
        rows: The cells, text or `Markup`, as many in each row as there are columns.
        text_columns: Columns set as text, the others as numbers. Defaults to the first.
        marked: Rows to set off, by index. Defaults to none.
    """
    head = element(
        "tr",
        *(
            element("th", column, scope="col", class_=None if index in text_columns else "number")
            for index, column in enumerate(columns)
        ),
    )
    body = [
        element(
            "tr",
            element("th", element("bdi", row[0]), scope="row"),
            *(
                element("td", cell, class_=None if index in text_columns else "number")
                for index, cell in enumerate(row[1:], start=1)
            ),
            class_="marked" if number in marked else None,
        )
        for number, row in enumerate(rows)
    ]
    table = element(
        "table",
        element("caption", element("span", caption)),
        element("thead", head),
        element("tbody", *body),
    )
    return element("div", table, class_="scroll", role="region", aria_label=caption, tabindex="0")


def facts(caption: str, pairs: Sequence[tuple[str, object]]) -> Markup:
    """Return names with their values as a two-column table."""
    rows = [
        element("tr", element("th", element("bdi", name), scope="row"), element("td", value))
        for name, value in pairs
    ]
    return element("table", element("caption", caption), element("tbody", *rows), class_="facts")


def flatten(value: Mapping[str, object], prefix: str = "") -> list[tuple[str, str]]:
    """Return the scalars inside a JSON object with their dotted names, at most 200 of them.

    Lists of scalars, and small objects within objects, are set as one line; lists of objects
    are counted, not spelled out. What is cut is said.
    """
    pairs: list[tuple[str, str]] = []
    for key, item in value.items():
        name = f"{prefix}{key}".replace("_", " ")
        if isinstance(item, Mapping) and prefix and _is_short(item):
            parts = (f"{part} {_scalar(inner)}".replace("_", " ") for part, inner in item.items())
            pairs.append((name, ", ".join(parts)))
        elif isinstance(item, Mapping):
            pairs.extend(flatten(item, f"{prefix}{key} · "))
        elif isinstance(item, list | tuple):
            nested = any(isinstance(part, Mapping | list | tuple) for part in item)
            listed = f"{len(item)} items" if nested else ", ".join(map(_scalar, item[:50]))
            pairs.append((name, listed or "none"))
        else:
            pairs.append((name, _scalar(item)))
    if len(pairs) > _MAX_FACTS:
        left_out = len(pairs) - _MAX_FACTS
        pairs = [*pairs[:_MAX_FACTS], ("left out here", f"{left_out} more, in the JSON")]
    return pairs


def _is_short(item: Mapping[str, object]) -> bool:
    scalars = not any(isinstance(inner, Mapping | list | tuple) for inner in item.values())
    return scalars and 0 < len(item) <= 3


def _scalar(value: object) -> str:
    if value is None:
        return "not known"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    try:
        shown = str(value)
    except ValueError:
        return "a number too long to show"
    return shown if len(shown) <= _LONGEST_FACT else f"{shown[:_LONGEST_FACT]} ..."
