"""Pictures by matplotlib, which is asked for where one is wanted."""

from __future__ import annotations

import os
from typing import Any

from keras_compress import storage
from keras_compress.errors import KerasCompressError

__all__ = ["Picture"]

_ENDINGS = ("png", "svg", "pdf")


class Picture:
    """One plot that becomes a file.

    Args:
        path: File to write, `.png`, `.svg` or `.pdf`.
        size: Width and height in inches.

    Attributes:
        axes: The `matplotlib.axes.Axes` to draw on.

    Raises:
        KerasCompressError: If matplotlib is not installed, or the ending names no format.
    """

    def __init__(self, path: str | os.PathLike[str], size: tuple[float, float]) -> None:
        try:
            from matplotlib.figure import Figure
        except ModuleNotFoundError as error:
            raise KerasCompressError(
                "Plotting needs matplotlib. Install it with `pip install matplotlib`."
            ) from error
        self._ending = os.path.splitext(os.fspath(path))[1].lower().removeprefix(".")
        if self._ending not in _ENDINGS:
            raise KerasCompressError(
                f"A plot is written as .png, .svg or .pdf. Received: {os.fspath(path)!r}."
            )
        self._path = path
        self._figure = Figure(figsize=size, layout="constrained")
        self.axes: Any = self._figure.subplots()

    def write(self) -> None:
        """Write the file; one that is there is replaced as a whole."""
        with storage.open_atomic(self._path) as file:
            self._figure.savefig(file, format=self._ending, dpi=150)
