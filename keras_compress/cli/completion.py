"""`--print-completion`: the script by which a shell completes the command's arguments."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    import os


__all__ = ["SHELLS", "add_completion"]

SHELLS = ("bash", "zsh")


def add_completion(parser: argparse.ArgumentParser) -> None:
    """Add the option, which prints the script for the whole of `parser` and ends the command."""
    parser.add_argument(
        "--print-completion",
        choices=SHELLS,
        action=_Print,
        metavar="SHELL",
        help="print a script that completes arguments in bash or zsh, and exit",
    )


class _Print(argparse.Action):
    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        try:
            import shtab
        except ModuleNotFoundError as error:
            raise KerasCompressError(
                "Completion is written by shtab, which is not installed. "
                "Install it with `pip install 'keras-compress[completion]'`."
            ) from error
        for each in _parsers(parser):
            _complete_files(each, shtab.FILE, shtab.DIRECTORY)
        print(shtab.complete(parser, shell=str(values)))
        parser.exit()


def _parsers(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    found = [parser]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found.extend(action.choices.values())
    return found


def _complete_files(
    parser: argparse.ArgumentParser, file: object, folder: str | os.PathLike[str]
) -> None:
    """Have names of files completed where an argument takes one, by what stands for it in help."""
    for action in parser._actions:
        shown = str(action.metavar or "")
        if shown == "DIR":
            action.complete = folder  # type: ignore[attr-defined]
        elif any(word in shown for word in ("FILE", "MODEL", "IN.", "OUT", "OLD", "REPORT")):
            action.complete = file  # type: ignore[attr-defined]
