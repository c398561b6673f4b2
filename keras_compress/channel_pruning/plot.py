"""Picture of the channels of a net, before and after."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from keras_compress.pictures import Picture

__all__ = ["plot_channels"]

_INCHES_A_BAR = 0.25


def plot_channels(
    bars: Sequence[Mapping[str, Any]],
    path: str | os.PathLike[str],
    *,
    title: str,
    label: str = "before",
) -> None:
    """Write horizontal bars in the order of the net: pale what there was, dark what is kept.

    Args:
        bars: `name`, `before`, `kept` and `reason` of each group.
        path: File to write, `.png`, `.svg` or `.pdf`.
        title: What stands above.
        label: What the pale bars are. Defaults to `"before"`.
    """
    picture = Picture(path, (9, 1.2 + _INCHES_A_BAR * max(len(bars), 1)))
    axes = picture.axes
    places = range(len(bars))
    axes.barh(places, [bar["before"] for bar in bars], color="#c9d6e3", label=label)
    for frozen, color, kind in ((False, "#1f5fa8", "kept"), (True, "#8a8f96", "left alone")):
        of = [i for i in places if bool(bars[i]["reason"]) is frozen and bars[i]["kept"]]
        if of:
            axes.barh(of, [bars[i]["kept"] for i in of], height=0.5, color=color, label=kind)
    axes.set_yticks(places, [bar["name"] for bar in bars], fontsize="small")
    axes.invert_yaxis()
    axes.set(xlabel="channels", title=title)
    axes.legend(fontsize="small")
    picture.write()
