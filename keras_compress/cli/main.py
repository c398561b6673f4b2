"""Entry point of `keras-compress`: parses the command line and maps errors to exit codes."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence

from keras_compress.cli import (
    architectures_command,
    bench_command,
    compress_command,
    compress_unlabelled_command,
    demo_command,
    export_command,
    inspect_command,
    pack_command,
    prune_channels_command,
    report_command,
    unpack_command,
)
from keras_compress.cli.completion import add_completion
from keras_compress.cli.stopping import exit_code, stoppable
from keras_compress.errors import KerasCompressError
from keras_compress.version import __version__

EXIT_DONE = 0
EXIT_BAD_INPUT = 1

# What the extra [train] brings; the other commands work without.
_TRAINING_MODULES = {"keras", "sklearn", "tensorflow"}

_COMMANDS = (
    demo_command,
    compress_command,
    compress_unlabelled_command,
    prune_channels_command,
    architectures_command,
    export_command,
    pack_command,
    unpack_command,
    inspect_command,
    bench_command,
    report_command,
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command, with every subcommand registered."""
    parser = argparse.ArgumentParser(
        prog="keras-compress",
        description="Train a Keras model small, ship it small, time it.",
    )
    parser.add_argument("--version", action="version", version=f"keras-compress {__version__}")
    add_completion(parser)
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.register(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (default: the process') and return its exit code.

    Exit codes: 0 done, 1 the input was bad or a check failed, 2 wrong usage, 130 Ctrl-C, 143 ended
    by `kill`.
    """
    for stream in (sys.stdout, sys.stderr):
        # What a terminal's encoding lacks is printed as something else; the work is done by then.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        args = build_parser().parse_args(argv)
        with stoppable():
            return int(args.run(args) or EXIT_DONE)
    except KerasCompressError as error:
        _complain(str(error))
    except BrokenPipeError:
        # The reader of our output (`head`, a pager) went away: nothing of ours failed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_DONE
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        _complain(f"The system refused{where}: {error.strerror or error}.")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _TRAINING_MODULES:
            raise
        _complain(
            f"This command needs {error.name}, which is not installed. "
            "Install it with `pip install 'keras-compress[train]'`."
        )
    except MemoryError:
        _complain("Not enough memory for this file.")
    except KeyboardInterrupt as stop:
        _complain("Stopped.")
        return exit_code(stop)
    return EXIT_BAD_INPUT


def _complain(message: str) -> None:
    print(f"keras-compress: error: {' '.join(message.split())}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
