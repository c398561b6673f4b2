"""HTML built so that text is escaped unless it was built here.

A report may come from anywhere, and its layer names with it: a plain string handed to
`element` is always text, never markup.
"""

from __future__ import annotations

import html
import re

__all__ = ["Markup", "element", "join", "text"]

# What HTML forbids (control characters, lone surrogates, noncharacters at the plane's end).
_FORBIDDEN = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)
_VOID = frozenset({"br", "hr", "meta", "link", "rect", "line", "path", "col"})
_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9-]*\Z")


class Markup(str):
    """A string that is HTML already."""

    __slots__ = ()


def text(value: object) -> Markup:
    """Return `value` as text in HTML: escaped, without the characters HTML forbids."""
    if isinstance(value, Markup):
        return value
    return Markup(html.escape(_FORBIDDEN.sub("\ufffd", str(value)), quote=True))


def join(*children: object) -> Markup:
    """Return `children` one after the other; `None` is left out."""
    return Markup("".join(text(child) for child in children if child is not None))


def element(name: str, /, *children: object, **attributes: object) -> Markup:
    """Return the element `name` with `children` inside.

    Example:

    ```python
    element("td", "<b>", class_="name")  # <td class="name">&lt;b&gt;</td>
    ```

    Args:
        name: Name of the element.
        *children: Text (escaped), `Markup` (kept), or `None` (left out).
        **attributes: A trailing underscore is dropped and other underscores become hyphens;
            `None` and `False` leave the attribute out, `True` writes its name alone.
    """
    parts = [f"<{name}"]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        attribute = key.rstrip("_").replace("_", "-")
        if not _NAME.match(attribute):
            raise ValueError(f"Not the name of an attribute: {key!r}")
        parts.append(f" {attribute}" if value is True else f' {attribute}="{text(value)}"')
    parts.append(">")
    if name in _VOID:
        # SVG's are inside HTML's parser here, where a shape without a closing tag would nest.
        closing = f"</{name}>" if name in {"rect", "line", "path"} else ""
        return Markup("".join(parts) + closing)
    return Markup(f"{''.join(parts)}{join(*children)}</{name}>")
