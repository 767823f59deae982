"""Stages on a real file system as small, or as read-only, as a test wants it: a tmpfs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = os.sysconf("SC_PAGE_SIZE")
"""What a tmpfs counts in."""
ROOMY, MANY = 256 * 2**20, 100_000
"""Bytes and files of a tmpfs that is large enough; an unlimited one could not be limited later."""
NO_MOUNTS = "SAGSAE_NO_MOUNTS"
_NAMESPACES = (["unshare", "--mount"], ["unshare", "--user", "--map-root-user", "--mount"])
"""A mount namespace of one's own: what root may have, and what every user may on most systems."""


@dataclass(frozen=True)
class Done:
    """How a run ended."""

    status: int
    output: str

    @property
    def error(self) -> str:
        """The last line of the output."""
        return self.output.strip().rpartition("\n")[2]


class Stages:
    """Runs stages in children of one process, which may have mounts that nobody else sees.

    Args:
        namespace: Command that starts the process in a namespace; empty for this one.

    Attributes:
        view: The root of the file systems as the stages see them.
    """

    def __init__(self, namespace: list[str] | None = None):
        self._process = subprocess.Popen(
            [*(namespace or []), sys.executable, "-m", "tests.helpers.stage_server"],
            cwd=ROOT,
            env=os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._answer() == "ready"
        self.view = Path(f"/proc/{self._process.pid}/root")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def run(self, folder: Path, *arguments: str | Path, kill_after: float | None = None) -> Done:
        """Run a stage: its module and its command line."""
        return self._ask(folder, arguments, forked=True, kill_after=kill_after)

    def command(self, folder: Path, *arguments: str | Path) -> Done:
        """Run any command."""
        return self._ask(folder, arguments, forked=False)

    def _ask(
        self, folder: Path, arguments: tuple[str | Path, ...], **how: str | bool | float | None
    ) -> Done:
        what = {"arguments": [str(word) for word in arguments], "folder": str(folder)}
        assert self._process.stdin is not None
        print(json.dumps(what | how), file=self._process.stdin, flush=True)
        return Done(**json.loads(self._answer()))

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def namespace() -> list[str]:
    """The command that gives a process mounts of its own; without one the test fails.

    Only who asks for it by SAGSAE_NO_MOUNTS, on a machine that forbids mounts, has it skipped.
    """
    if os.environ.get(NO_MOUNTS) == "1":
        pytest.skip(f"{NO_MOUNTS}=1 in the environment: nothing is mounted")
    faults = []
    for command in _NAMESPACES:
        trial = [*command, "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", tempfile.gettempdir()]
        try:
            done = subprocess.run(trial, capture_output=True, text=True)
        except OSError as error:
            faults.append(f"{trial[0]}: {error.strerror}")
            continue
        if done.returncode == 0:
            return command
        faults.append(f"`{' '.join(trial)}`: {done.stderr.strip()}")
    pytest.fail(
        "these tests need a small file system and can mount none, neither as root nor in a user "
        f"namespace (set {NO_MOUNTS}=1 to leave them out): {'; '.join(faults)}"
    )


class SmallDisk:
    """A tmpfs at ``folder``, as the processes of ``stages`` see it.

    Attributes:
        folder: The path there.
        seen: The same folder for this process.
    """

    def __init__(self, stages: Stages, folder: Path):
        self._stages, self.folder = stages, folder
        self.seen = stages.view / folder.relative_to("/")

    def resize(self, size: int = ROOMY, files: int = MANY) -> None:
        """Change how many bytes and how many files there may be."""
        self.remount(f"size={size},nr_inodes={files}")

    def remount(self, options: str) -> None:
        """Mount again with other options, the files staying."""
        self.do("mount", "-o", f"remount,{options}", self.folder)

    def leave(self, *, pages: int | None = None, files: int | None = None) -> None:
        """Leave room for so much and no more."""
        room = os.statvfs(self.seen)
        used = (room.f_blocks - room.f_bfree) * room.f_frsize
        self.resize(
            ROOMY if pages is None else used + pages * PAGE,
            MANY if files is None else room.f_files - room.f_ffree + files,
        )

    def do(self, *command: str | Path) -> None:
        """Run a command that must succeed."""
        done = self._stages.command(Path("/"), *command)
        assert done.status == 0, done.output


@contextmanager
def small_disk(stages: Stages, folder: Path) -> Iterator[SmallDisk]:
    """Mount a tmpfs, roomy to begin with. ``stages`` must have a namespace of its own."""
    folder.mkdir(exist_ok=True)
    disk = SmallDisk(stages, folder)
    limits = f"size={ROOMY},nr_inodes={MANY}"
    disk.do("mount", "-t", "tmpfs", "-o", limits, "tmpfs", folder)
    (disk.seen / "ballast").write_bytes(bytes(PAGE))  # a size of 0 would mean any size
    try:
        yield disk
    finally:
        disk.do("umount", folder)
