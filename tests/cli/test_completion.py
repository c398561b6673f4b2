"""Scripts that complete arguments: every command and option, and what the shell makes of them."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from keras_compress.cli.main import main
from tests.cli.test_main import COMMANDS


def script(shell, capsys):
    with pytest.raises(SystemExit) as done:
        main(["--print-completion", shell])
    assert done.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_every_command_is_in_the_script(shell, capsys):
    text = script(shell, capsys)
    assert "keras-compress" in text
    for word in (*COMMANDS, "--out-dir", "--input-shape", "smallest"):
        assert word in text


def test_bash_completes(tmp_path, capsys):
    if shutil.which("bash") is None:
        pytest.skip("needs bash")
    (tmp_path / "completion").write_text(script("bash", capsys))
    (tmp_path / "model.tflite").write_bytes(b"")

    def completed(*words):
        line = " ".join(words)
        code = (
            f"source completion; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; "
            "$(complete -p keras-compress | sed 's/.*-F \\([^ ]*\\).*/\\1/') 2>/dev/null; "
            "printf '%s\\n' \"${COMPREPLY[@]}\""
        )
        done = subprocess.run(
            ["bash", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return done.stdout.split()

    assert completed("keras-compress", "unp") == ["unpack"]
    assert completed("keras-compress", "pack", "--codec", "smalle") == ["smallest"]
    assert completed("keras-compress", "pack", "--out-") == ["--out-dir"]
    assert completed("keras-compress", "pack", "mod") == ["model.tflite"]
    assert completed("keras-compress", "pack", "--base", "mod") == ["model.tflite"]


def test_without_shtab_it_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["--print-completion", "bash"]) == 1
    assert "keras-compress[completion]" in capsys.readouterr().err


def test_an_unknown_shell_is_wrong_usage():
    with pytest.raises(SystemExit) as done:
        main(["--print-completion", "fish"])
    assert done.value.code == 2
