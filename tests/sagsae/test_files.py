"""Files on file systems that lack something: hard links, locks."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
from pathlib import Path

import pytest

from sagsae.files import FileLock, create_atomic, remove_temporaries, whole_file


def refuse(number: int):
    """A system call that the file system does not have."""

    def call(*arguments: object, **options: object) -> None:
        raise OSError(number, os.strerror(number))

    return call


def test_writers_of_one_process_id_do_not_share_a_temporary_file(tmp_path: Path) -> None:
    """Containers that share a volume count their processes alike."""
    with whole_file(tmp_path / "a") as one, whole_file(tmp_path / "a") as other:
        one.write_bytes(b"first")
        other.write_bytes(b"second")
    assert (tmp_path / "a").read_bytes() == b"first"


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    with whole_file(tmp_path / "a") as partial:
        partial.write_bytes(b"")
    partial.write_bytes(b"half")
    remove_temporaries(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


@pytest.fixture(params=[errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK])
def no_links(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", refuse(request.param))


@pytest.mark.usefixtures("no_links")
def test_the_first_writer_wins_without_hard_links(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    assert create_atomic(path, b"first")
    assert not create_atomic(path, b"second")
    assert path.read_bytes() == b"first"
    assert [file.name for file in tmp_path.iterdir()] == ["calibration.json"]


@pytest.mark.usefixtures("no_links")
def test_without_hard_links_the_name_appears_with_the_whole_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seen = tmp_path / "calibration.json", []
    fsync, rename = os.fsync, Path.rename
    monkeypatch.setattr(os, "fsync", lambda file: (seen.append(path.exists()), fsync(file)))

    def watched(whole: Path, target: Path) -> None:
        seen.append(path.exists())
        assert whole.read_bytes() == b"content"
        rename(whole, target)

    monkeypatch.setattr(Path, "rename", watched)
    assert create_atomic(path, b"content")
    assert seen == [False, False, True]  # content flushed, renamed, name flushed


@pytest.mark.usefixtures("no_links")
def test_one_of_many_writers_wins_without_hard_links(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    with multiprocessing.get_context("fork").Pool(8) as pool:
        written = [bytes([65 + number]) * 100_000 for number in range(32)]
        won = pool.starmap(create_atomic, [(path, content) for content in written])
    assert sum(won) == 1
    assert path.read_bytes() == written[won.index(True)]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(fcntl, "flock", refuse(number))
    lock = FileLock(tmp_path / ".lock")
    with pytest.raises(OSError, match=r"refuses locks .* choose a folder on") as caught:
        lock.acquire(patience=60)
    assert str(tmp_path / ".lock") in str(caught.value)
    opened = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="refuses locks"):
        lock.acquire()
    assert len(os.listdir("/proc/self/fd")) == opened
