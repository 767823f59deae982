"""What a power cut would take: content and names that no fsync has put on the disk yet."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_watching: list[Disk] = []
_hooked: list[bool] = []


class Disk:
    """Follows writes, names and flushes below a folder.

    Attributes:
        unflushed: files written since their last fsync.
        unnamed: files and folders made, renamed or linked since the last fsync of their folder.
        named: every name given by a rename or a link, in order, with what a power cut at that
            instant would have taken; the name itself aside.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.realpath(root))
        self.unflushed: set[Path] = set()
        self.unnamed: set[Path] = set()
        self.named: list[tuple[str, set[str]]] = []

    def volatile(self) -> set[str]:
        """What a power cut would take now, but locks, which hold nothing."""
        paths = self.unflushed | self.unnamed
        return {self._name(path) for path in paths if not path.name.startswith(".lock")}

    def at(self, name: str) -> set[str]:
        """What a power cut would have taken when a name was last given."""
        return next(lost for given, lost in reversed(self.named) if given == name)

    def see(self, event: str, arguments: tuple[Any, ...]) -> None:
        """An event of Python's audit hooks."""
        if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
            path, flags = self._path(arguments[0]), arguments[2] or 0
            if flags & (os.O_WRONLY | os.O_RDWR) and self._is_mine(path):
                self.unflushed.add(path)
                self.unnamed |= set() if path.exists() else {path}
        elif event == "os.mkdir" and self._is_mine(path := self._path(arguments[0])):
            self.unnamed |= set() if path.exists() else {path}
        elif event in ("os.remove", "os.rmdir"):
            self._forget(self._path(arguments[0]))
        elif event in ("os.rename", "os.link"):
            old, new = map(self._path, arguments[:2])
            if self._is_mine(new):
                self._name_it(old, new, keep=event == "os.link")

    def fsync(self, descriptor: int) -> None:
        """A flush of a file or of the names in a folder."""
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            self.unnamed = {name for name in self.unnamed if name.parent != path}
        else:
            self.unflushed.discard(path)

    def _name_it(self, old: Path, new: Path, *, keep: bool) -> None:
        dirty = old in self.unflushed
        if not keep:
            self._forget(old)
        lost = self.volatile() - {self._name(new)} - {self._name(old)}
        self.named.append((self._name(new), lost | ({self._name(new)} if dirty else set())))
        self.unnamed.add(new)
        self.unflushed |= {new} if dirty else set()

    def _forget(self, path: Path) -> None:
        self.unflushed.discard(path)
        self.unnamed.discard(path)

    def _path(self, name: Any) -> Path:
        path = Path(os.path.abspath(os.fsdecode(name)))
        return Path(os.path.realpath(path.parent)) / path.name

    def _is_mine(self, path: Path) -> bool:
        return path.is_relative_to(self.root)

    def _name(self, path: Path) -> str:
        return os.path.relpath(path, self.root)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    for disk in _watching:
        if event in ("open", "os.mkdir", "os.remove", "os.rmdir", "os.rename", "os.link"):
            disk.see(event, arguments)


@contextmanager
def watched_disk(root: Path) -> Iterator[Disk]:
    """Follow what happens below `root`."""
    if not _hooked:  # an audit hook cannot be removed
        sys.addaudithook(_hook)
        _hooked.append(True)
    disk, fsync = Disk(root), os.fsync

    def seen(descriptor: int) -> None:
        fsync(descriptor)
        disk.fsync(descriptor)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", seen)
        _watching.append(disk)
        try:
            yield disk
        finally:
            _watching.remove(disk)
