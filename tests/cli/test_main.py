"""Exit codes and errors of the command as a whole."""

from __future__ import annotations

import argparse
import errno
import subprocess
import sys

import pytest

from keras_compress import KerasCompressError, __version__
from keras_compress.cli import main as cli

COMMANDS = [
    "demo",
    "compress",
    "compress-unlabelled",
    "prune-channels",
    "architectures",
    "export",
    "pack",
    "unpack",
    "inspect",
    "bench",
    "report",
]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "keras_compress", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_version_and_help():
    assert run("--version").stdout.strip() == f"keras-compress {__version__}"
    listing = run("--help").stdout
    assert all(command in listing for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_json(command, capsys):
    with pytest.raises(SystemExit) as done:
        cli.main([command, "--help"])
    assert done.value.code == 0
    assert "--json" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["fly"], ["pack"], ["demo", "--seed", "no"]])
def test_wrong_usage_is_exit_code_2(arguments):
    done = run(*arguments)
    assert done.returncode == 2
    assert "usage:" in done.stderr


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (KerasCompressError("The rule.\n  Received: x."), "The rule. Received: x."),
        (OSError(errno.ENOSPC, "No space left on device", "out.kcz"), "out.kcz"),
        (MemoryError(), "memory"),
        (ModuleNotFoundError("No module named 'keras'", name="keras"), "keras-compress[train]"),
    ],
)
def test_an_error_is_one_line_and_exit_code_1(error, words, monkeypatch, capsys):
    def fail(args):
        raise error

    parser = argparse.ArgumentParser()
    parser.set_defaults(run=fail)
    monkeypatch.setattr(cli, "build_parser", lambda: parser)
    assert cli.main([]) == 1
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and words in captured.err
    assert captured.err.startswith("keras-compress: error: ")


def test_a_missing_file_is_one_line_and_exit_code_1(tmp_path):
    for command in ("pack", "unpack", "inspect", "report"):
        done = run(command, str(tmp_path / "nothing.tflite"))
        assert done.returncode == 1, command
        assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr
