"""Files are written whole or not at all."""

from __future__ import annotations

import errno
import os

import pytest

from keras_compress import KerasCompressError
from keras_compress.storage import open_atomic, read_file, write_atomic


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
