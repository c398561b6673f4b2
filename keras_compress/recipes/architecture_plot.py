"""Picture of a table of architectures: latency over multiply-accumulates."""

from __future__ import annotations

import os
from collections.abc import Sequence

from keras_compress.errors import KerasCompressError
from keras_compress.pictures import Picture
from keras_compress.recipes.architecture_table import ArchitectureRow

__all__ = ["plot_architectures"]


def plot_architectures(rows: Sequence[ArchitectureRow], path: str | os.PathLike[str]) -> None:
    """Write a picture of the nets: int8 latency (or parameters) over multiply-accumulates.

    Nets of one family are joined by a line; the area of a point is its packed size.

    Args:
        rows: What `architecture_table` returned.
        path: File to write, `.png`, `.svg` or `.pdf`.

    Raises:
        KerasCompressError: If matplotlib is not installed, no row has figures, or the ending
            names no format.
    """
    counted = [row for row in rows if row.macs]
    if not counted:
        raise KerasCompressError("A plot needs a net that could be built. Received none.")
    timed = all(row.int8_ms for row in counted)
    picture = Picture(path, (9, 6))
    axes = picture.axes
    families: dict[str, list[ArchitectureRow]] = {}
    for row in counted:
        # "shufflenet g3 x0.5" and "shufflenet g3 x1" are one line.
        families.setdefault(row.name.rpartition(" x")[0] or row.name, []).append(row)
    for family, members in families.items():
        ordinates = [float((row.int8_ms if timed else row.parameters) or 0) for row in members]
        abscissas = [(row.macs or 0) / 1e6 for row in members]
        (line,) = axes.plot(abscissas, ordinates, label=family, linewidth=1, alpha=0.7)
        sizes = [max((row.packed_bytes or 0) / 20_000, 12) for row in members]
        axes.scatter(abscissas, ordinates, s=sizes, color=line.get_color())
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="multiply-accumulates of one image, millions",
        ylabel="int8 latency in LiteRT, ms" if timed else "parameters",
    )
    axes.grid(True, which="both", alpha=0.2)
    axes.legend(fontsize="small", ncols=2)
    picture.write()
