"""Files are written whole or not at all."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from keras_compress import KerasCompressError, storage
from keras_compress.storage import (
    check_target,
    open_atomic,
    read_file,
    write_atomic,
    write_files,
    write_through,
)


def test_writes_and_reads_with_the_usual_permissions(tmp_path):
    write_atomic(tmp_path / "new" / "file.bin", b"abc")
    assert read_file(tmp_path / "new" / "file.bin") == b"abc"
    write_atomic(tmp_path / "text", "grüße")
    assert (tmp_path / "text").read_text(encoding="utf-8") == "grüße"
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / "text").stat().st_mode & 0o777 == 0o666 & ~mask


def test_a_failure_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), open_atomic(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_full_disk_is_one_clear_error(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(KerasCompressError, match=r"file.*No space left"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_really_full_device_is_reported_as_such():
    with pytest.raises(OSError, match="No space"), open("/dev/full", "wb", buffering=0) as file:
        file.write(b"x")


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(KerasCompressError, match="Can't write"):
        write_atomic(tmp_path / "file" / "below", b"x")


def test_reading_checks_before_it_reads(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    with pytest.raises(KerasCompressError, match="at most 4 bytes"):
        read_file(tmp_path / "file", limit=4)
    with pytest.raises(KerasCompressError, match="Can't read"):
        read_file(tmp_path / "nothing")
    with pytest.raises(KerasCompressError, match="Can't read"):
        read_file(tmp_path)


def test_a_link_stays_and_its_file_is_replaced(tmp_path):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    write_atomic(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_bytes() == b"new"


def test_a_device_and_a_pipe_are_written_into(tmp_path, monkeypatch):
    write_atomic(os.devnull, b"lost")
    assert not os.path.isfile(os.devnull)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(pipe.read_bytes)
        with open_atomic(pipe) as file:  # in any order
            file.seek(3)
            file.write(b"def")
            file.seek(0)
            file.write(b"abc")
        assert read.result() == b"abcdef"
    monkeypatch.setattr(storage, "_READER_WAIT", 0.1)
    with pytest.raises(KerasCompressError, match="nobody opened"):
        write_atomic(pipe, b"x")
    assert os.listdir(tmp_path) == ["pipe"]


def test_what_standard_output_leads_to_is_not_replaced(tmp_path):
    code = "from keras_compress.storage import *; write_atomic('-', 'a'); write_atomic('-', 'b')"
    path = tmp_path / "out"
    path.write_bytes(b"0")
    inode = path.stat().st_ino
    with path.open("ab") as out:
        subprocess.run([sys.executable, "-c", code], stdout=out, check=True)
    assert path.read_bytes() == b"0ab" and path.stat().st_ino == inode


def test_permissions_are_kept_and_not_widened(tmp_path):
    secret, new, old = (tmp_path / name for name in ("secret", "new", "old"))
    secret.write_bytes(b"x")
    secret.chmod(0o400)
    write_atomic(new, b"y", made_from=secret)
    assert new.stat().st_mode & 0o777 == 0o600
    old.write_bytes(b"x")
    old.chmod(0o640)
    write_atomic(old, b"y", made_from=secret)
    assert old.stat().st_mode & 0o777 == 0o640
    assert write_files(tmp_path, {"report": "z"}, made_from=secret)[0].stat().st_mode & 0o77 == 0


def test_the_longest_name_can_be_written(tmp_path):
    write_atomic(tmp_path / ("n" * 255), b"x")
    assert os.listdir(tmp_path) == ["n" * 255]


def test_an_output_that_cannot_be_is_refused_before_the_work(tmp_path):
    model = tmp_path / "model"
    model.write_bytes(b"x")
    os.link(model, tmp_path / "hard")
    (tmp_path / "soft").symlink_to("model")
    (tmp_path / "folder").mkdir()
    for same in (model, tmp_path / "hard", tmp_path / "soft", tmp_path / "folder" / ".." / "model"):
        with pytest.raises(KerasCompressError, match="one file"):
            check_target(same, model)
    with pytest.raises(KerasCompressError, match="is a folder"):
        check_target(tmp_path / "folder", model)
    with pytest.raises(KerasCompressError, match="is a folder"):
        write_atomic(tmp_path / "folder", b"x")
    with pytest.raises(KerasCompressError, match="--force"):
        check_target(model, replace=False)
    check_target(os.devnull, replace=False)
    check_target(tmp_path / "new" / "file", model)


def test_a_limit_holds_for_pipes_too(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(pipe.write_bytes, b"12345")
        with pytest.raises(KerasCompressError, match="at most 4 bytes"):
            read_file(pipe, limit=4)


def test_what_comes_from_several_files_is_as_private_as_each(tmp_path):
    origins = [tmp_path / name for name in ("model", "data")]
    for origin, mode in zip(origins, (0o644, 0o640), strict=True):
        origin.write_bytes(b"x")
        origin.chmod(mode)
    before = os.umask(0o022)
    try:
        write_atomic(tmp_path / "new", b"y", made_from=origins)
        for name, made_from in (("saved.npy", origins), ("plain", None)):
            save = lambda path: path.write_bytes(b"z")  # noqa: E731
            write_through(tmp_path / name, save, made_from=made_from)
    finally:
        os.umask(before)
    names = ("new", "saved.npy", "plain")
    modes = {name: (tmp_path / name).stat().st_mode & 0o777 for name in names}
    assert modes == {"new": 0o640, "saved.npy": 0o640, "plain": 0o644}


def test_what_another_library_writes_is_whole_or_not_there(tmp_path):
    target, seen = tmp_path / "model.keras", []

    def save(path, fails=False):
        seen.append((path.suffix, path.stat().st_mode & 0o077))
        path.write_bytes(b"half")
        if fails:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_through(target, lambda path: save(path, fails=True))
    assert os.listdir(tmp_path) == []
    write_through(target, save)
    assert os.listdir(tmp_path) == ["model.keras"] and target.read_bytes() == b"half"
    # While it is written nobody else may read it, and its name ends like the target's.
    assert seen == [(".keras", 0)] * 2
    with pytest.raises(KerasCompressError, match="Can't write"):
        write_through(tmp_path / "none" / "model.keras", save)
