"""Telling a waiting person how far it is: bars on a terminal, one line a stage in a log."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

__all__ = ["Progress", "RichProgress", "progress_callback"]


class Progress:
    """What a search or a recipe tells as it goes; this one keeps silent. Subclass it to hear."""

    def begin(self, stage: str, steps: int | None = None) -> None:
        """Called when a stage begins, with the number of steps in it if it is known."""

    def advance(self, steps: int = 1, detail: str = "") -> None:
        """Called after `steps` more steps; `detail` says how it stands."""

    def end(self, summary: str = "") -> None:
        """Called when the stage is done."""

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None


class RichProgress(Progress):
    """Bars on stderr while it is a terminal, otherwise one line for each stage done."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars
        from rich.table import Column

        self._console = Console(stderr=True)
        self._bars = Bars(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False, table_column=Column(min_width=19)),
            BarColumn(bar_width=12, table_column=Column(min_width=12)),
            TimeElapsedColumn(table_column=Column(min_width=7)),
            TextColumn(
                "{task.fields[detail]}",
                markup=False,
                table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1),
            ),
            console=self._console,
            expand=True,
            disable=not self._console.is_terminal,
        )
        self._task: Any = None
        self._stage = ""
        self._began = 0.0

    def __enter__(self) -> RichProgress:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def begin(self, stage: str, steps: int | None = None) -> None:
        self._stage, self._began = stage, time.perf_counter()
        self._task = self._bars.add_task(stage, total=steps, detail="")

    def advance(self, steps: int = 1, detail: str = "") -> None:
        if detail:
            self._bars.update(self._task, advance=steps, detail=detail)
        else:
            self._bars.update(self._task, advance=steps)

    def end(self, summary: str = "") -> None:
        total = self._bars.tasks[-1].total or 1
        self._bars.update(self._task, total=total, completed=total, detail=summary)
        if not self._console.is_terminal:
            took = time.perf_counter() - self._began
            self._console.print(
                f"{self._stage} ({took:.1f} s) {summary}",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )


def progress_callback(progress: Progress, epochs: int | None = None) -> Any:
    """Return a Keras callback that advances `progress` by a step for each batch.

    Args:
        progress: Whom to tell; a stage of so many steps was begun.
        epochs: Number of epochs, to tell after each which one it was and its training accuracy.
            Defaults to `None` (not told).
    """
    import keras

    class Tell(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
            progress.advance()

        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            if epochs is not None:
                accuracy = (logs or {}).get("accuracy", float("nan"))
                progress.advance(0, f"epoch {epoch + 1}/{epochs}, training {accuracy:.2%}")

    return Tell()
