"""File systems without locks."""

from __future__ import annotations

import errno
import fcntl
import os

import pytest

from sagsae.files import FileLock, whole_file


def refuse(number: int):
    """A system call that the file system does not have."""

    def call(*arguments: object, **options: object) -> None:
        raise OSError(number, os.strerror(number))

    return call


def test_writers_of_one_process_id_do_not_share_a_temporary_file(tmp_path):
    """Containers that share a volume count their processes alike."""
    with whole_file(tmp_path / "a") as one, whole_file(tmp_path / "a") as other:
        one.write_bytes(b"first")
        other.write_bytes(b"second")
    assert (tmp_path / "a").read_bytes() == b"first"


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_says_what_to_do(tmp_path, monkeypatch, number):
    monkeypatch.setattr(fcntl, "flock", refuse(number))
    lock = FileLock(tmp_path / ".lock")
    with pytest.raises(OSError, match=r"refuses locks .* choose a folder on") as caught:
        lock.acquire(patience=60)
    assert str(tmp_path / ".lock") in str(caught.value)
    opened = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="refuses locks"):
        lock.acquire()
    assert len(os.listdir("/proc/self/fd")) == opened
