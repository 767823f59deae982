"""Claims on objects: a mark with a sign of life, which another process takes over when it stops.

No clocks are compared. A process that wants a claimed thing looks at the mark again and again; when
it has not changed for `LEASE_SECONDS` of that process's own clock, it is taken over by a
conditional put. A mark of a process of this very host that is gone is taken over at once.

A process that was suspended for so long may wake and write what another has begun. A commit is
a conditional put of its own, so there is one in the end; `verify` finds chunks that are not
what it says.
"""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from sagsae.files import this_process
from sagsae.storage.base import Storage, StorageError

LEASE_SECONDS, BEAT_SECONDS = 60.0, 15.0
"""How long a mark may stay the same, and how often its owner changes it."""


def process_identity() -> str:
    """What tells this process from every other that has its number: boot, namespace, start."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    start = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    return f"{boot}/{os.readlink('/proc/self/ns/pid')}/{os.getpid()}/{start}"


def is_gone(identity: str) -> bool:
    """Whether a process is of this boot and namespace and does not run any more."""
    try:
        boot, namespace, number, start = identity.split("/")
        mine = process_identity().split("/")
    except (OSError, ValueError):
        return False
    if [boot, namespace] != mine[:2]:
        return False
    try:
        fields = Path(f"/proc/{int(number)}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return True
    except (OSError, ValueError):
        return False
    return fields[19] != start or fields[0] in "ZX"


class Claims:
    """The claims that this process wants on one place.

    Args:
        storage: where the marks are.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._seen: dict[str, tuple[bytes, float]] = {}

    def take(self, name: str) -> ObjectClaim | None:
        """Mark something; None while another process gives signs of life on it."""
        mark = {"holder": this_process(), "process": _identity(), "claim": uuid.uuid4().hex}
        if self._storage.create(name, content := _encoded(mark, 0)):
            return ObjectClaim(self._storage, name, mark, content)
        try:
            found = self._storage.read(name)
        except FileNotFoundError:
            return None  # given up just now; the next look sees what became of it
        if not self._is_abandoned(name, found) or not self._storage.swap(name, found, content):
            return None
        self._seen.pop(name, None)
        return ObjectClaim(self._storage, name, mark, content)

    def _is_abandoned(self, name: str, found: bytes) -> bool:
        try:
            if is_gone(str(json.loads(found)["process"])):
                return True
        except (ValueError, KeyError, TypeError):
            pass  # torn: nobody can keep it alive
        seen, since = self._seen.setdefault(name, (found, time.monotonic()))
        if seen != found:
            self._seen[name] = (found, time.monotonic())
            return False
        return time.monotonic() - since >= LEASE_SECONDS


class ObjectClaim:
    """A mark that a thread changes again and again."""

    def __init__(self, storage: Storage, name: str, mark: dict[str, Any], content: bytes) -> None:
        self._storage, self._name, self._mark, self._content = storage, name, mark, content
        self._lost, self._end = False, threading.Event()
        self._thread = threading.Thread(target=self._beat, name="claim", daemon=True)
        self._thread.start()

    def is_lost(self) -> bool:
        return self._lost

    def release(self, *, done: bool) -> None:
        self._end.set()
        self._thread.join()
        if not self._lost:
            with suppress(StorageError):  # then it is taken over like that of a killed process
                self._storage.delete(self._name)

    def _beat(self) -> None:
        number = 0
        while not self._end.wait(BEAT_SECONDS):
            number += 1
            content = _encoded(self._mark, number)
            try:
                if not self._storage.swap(self._name, self._content, content):
                    self._lost = True
                    return
            except StorageError:
                continue  # no answer is no verdict
            self._content = content


def _encoded(mark: dict[str, Any], number: int) -> bytes:
    return json.dumps(mark | {"beat": number}).encode()


def _identity() -> str:
    try:
        return process_identity()
    except (OSError, IndexError):  # another system than Linux
        return ""
