"""Small SVG pictures: bars, curves, boxes with arrows, and grids of weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

# Readable on white and on black: pictures stand on pages of both.
_STYLE = (
    "text{font:13px sans-serif;fill:#333}.quiet{fill:#777}.a{fill:#3f6fb5}.b{fill:#e0823d}"
    ".none{fill:#d9dde3}.line{fill:none;stroke:#3f6fb5;stroke-width:2}.second{stroke:#e0823d}"
    ".axis{stroke:#999;fill:none}.box{fill:none;stroke:#3f6fb5;stroke-width:1.5}"
    "@media(prefers-color-scheme:dark){text{fill:#ddd}.quiet{fill:#aaa}.none{fill:#444b55}}"
)


def picture(width: int, height: int, parts: Sequence[str], about: str) -> str:
    """Return a whole SVG file; `about` is what a screen reader says."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img">'
    )
    lines = [head, f"<title>{escape(about)}</title>", f"<style>{_STYLE}</style>", *parts, "</svg>"]
    return "\n".join(lines) + "\n"


def text(x: float, y: float, words: str, *, anchor: str = "start", kind: str = "") -> str:
    """Return words whose base line begins, ends or is centred at (x, y)."""
    look = f' class="{kind}"' if kind else ""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}"{look}>{escape(words)}</text>'


def box(x: float, y: float, width: float, height: float, kind: str) -> str:
    """Return a rectangle."""
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" class="{kind}"/>'


def bars(values: Mapping[str, float], about: str, *, unit: str = "", marked: str = "") -> str:
    """Return one horizontal bar a name; those whose name begins with `marked` stand out."""
    longest, left, height = max(values.values()), 12 + 7 * max(map(len, values)), 24
    parts = [text(0, 16, about)]
    for row, (name, value) in enumerate(values.items()):
        y, length = 28 + row * height, 300 * value / longest
        parts += [
            text(left - 8, y + 14, name, anchor="end"),
            box(
                left,
                y,
                max(length, 1),
                height - 6,
                "b" if marked and name.startswith(marked) else "a",
            ),
            text(left + max(length, 1) + 6, y + 14, f"{value:,.4g}{unit}", kind="quiet"),
        ]
    width = max(left + 400, 8 * len(about))
    return picture(width, 34 + len(values) * height, parts, about)


def curves(
    lines: Mapping[str, Sequence[tuple[float, float]]], about: str, across: str, up: str
) -> str:
    """Return curves over one pair of axes, both beginning at 0."""
    far = max(x for line in lines.values() for x, _ in line)
    high = max(y for line in lines.values() for _, y in line)
    place = lambda x, y: f"{60 + 360 * x / far:.1f},{200 - 160 * y / high:.1f}"  # noqa: E731
    parts = [text(0, 16, about), '<path d="M60 36V200H420" class="axis"/>']
    parts += [text(54, 204, "0", anchor="end"), text(54, 44, f"{high:.3g}", anchor="end")]
    parts += [text(420, 216, f"{far:g} {across}", anchor="end"), text(64, 34, up, kind="quiet")]
    for i, (name, line) in enumerate(lines.items()):
        kind = "line second" if i else "line"
        way = " ".join(place(x, y) for x, y in line)
        parts.append(f'<polyline points="{way}" class="{kind}"/>')
        parts += [box(440, 60 + 22 * i, 12, 12, "b" if i else "a"), text(458, 71 + 22 * i, name)]
    return picture(620, 226, parts, about)


def flow(steps: Sequence[tuple[str, str]], about: str) -> str:
    """Return boxes from left to right: what each is, and beneath it how it comes to be."""
    parts, wide, apart = [text(0, 16, about)], 130, 28
    for i, (name, how) in enumerate(steps):
        x = 2 + i * (wide + apart)
        parts += [box(x, 32, wide, 40, "box"), text(x + wide / 2, 57, name, anchor="middle")]
        parts.append(text(x + wide / 2, 90, how, anchor="middle", kind="quiet"))
        if i:
            parts.append(
                f'<path d="M{x - apart + 4} 52h{apart - 10}m-6 -5l6 5l-6 5" class="axis"/>'
            )
    return picture(len(steps) * (wide + apart) - apart + 4, 100, parts, about)


def grids(patterns: Mapping[str, Sequence[Sequence[int]]], about: str) -> str:
    """Return grids side by side: 0 is an empty cell, 1 and 2 are two colours."""
    parts, x, cell = [text(0, 16, about)], 0.0, 16
    tall = max(len(grid) for grid in patterns.values())
    for name, grid in patterns.items():
        for i, row in enumerate(grid):
            for j, kind in enumerate(row):
                parts.append(
                    box(x + j * cell, 30 + i * cell, cell - 2, cell - 2, ("none", "a", "b")[kind])
                )
        wide = max(len(grid[0]) * cell, 8 * len(name))
        parts.append(text(x, 48 + tall * cell, name, kind="quiet"))
        x += wide + 28
    return picture(int(max(x, 8 * len(about))), 58 + tall * cell, parts, about)
