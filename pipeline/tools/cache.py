"""What lies in the cache that studies share, and which studies use it.

    python -m pipeline cache list      everything, its size, and the studies that use it
    python -m pipeline cache prune     delete what no study uses, after a question

A study uses what its records name, and counts as long as its folder under results/ is there.
Nothing that a job makes or reads at this moment is deleted.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from pathlib import Path
from typing import Literal, NamedTuple

import pandas as pd

import pipeline.jobs.cache as shared
from pipeline.jobs.json_files import read_json
from pipeline.study.outputs import RECORDS
from pipeline.tools.status import bytes_under, gigabytes
from sagsae.activations.layout import LOCK, StoreConfig, StoreError
from sagsae.files import FileLock, LockedError

KINDS = (shared.MODELS, shared.TEXTS, shared.TOKENS, shared.STORES, shared.BASELINES)


class Item(NamedTuple):
    """An entry that is there, where, and the studies that use it."""

    entry: shared.Entry
    folder: Path
    users: list[str]


def entries(cache: Path) -> list[Item]:
    """Everything in a cache, kind by kind."""
    users = _users(cache)
    folders = [path for kind in KINDS for path in sorted((cache / kind).glob("*"))]
    return [
        Item(shared.Entry(cache, path.parent.name, _key(path)), path, users[path.resolve()])
        for path in folders
        if path.is_dir()
    ]


def _users(cache: Path) -> dict[Path, list[str]]:
    """Entry folder -> the studies whose records name it."""
    users: dict[Path, list[str]] = defaultdict(list)
    for study in shared.registered(cache):
        for record in sorted(path for pattern in RECORDS for path in study.glob(pattern)):
            try:
                folder = shared.entry_folder(record, read_json(record)).resolve()
            except FileNotFoundError:  # a job has just deleted it, to write it again
                continue
            if study.name not in users[folder]:
                users[folder].append(study.name)
    return users


def _key(folder: Path) -> str:
    """What an entry's locks are named by: of a store its family, if it says so."""
    if folder.parent.name != shared.STORES:
        return folder.name
    try:
        return str(StoreConfig.read(folder).provenance.get("family", folder.name))
    except StoreError:
        return folder.name


def table(items: list[Item]) -> str:
    """A line per entry: kind, name, size, studies."""
    rows = [
        {
            "kind": item.entry.kind,
            "name": item.folder.name,
            "size": gigabytes(bytes_under(item.folder)),
            "used by": ", ".join(item.users) or "no study",
        }
        for item in items
    ]
    return pd.DataFrame(rows).to_string(index=False) if rows else "the cache is empty"


def prune(items: list[Item], *, yes: bool) -> None:
    """Delete what no study uses and no job holds; ask first."""
    unused = [item for item in items if not item.users]
    if not unused:
        print("nothing to delete: a study uses each entry")
        return
    print(table(unused))
    question = f"Delete these {len(unused)} entries? [y/N] "
    if not yes and input(question).strip().lower() not in ("y", "yes"):
        print("nothing deleted")
        return
    for item in unused:
        print(f"{item.folder}: {_delete(item)}", flush=True)


def _delete(item: Item) -> str:
    """Delete one entry, unless a job or a study has come to use it; return what happened."""
    writer, gone = (
        FileLock(item.folder / LOCK),
        item.folder.with_name(f".{item.folder.name}.deleted"),
    )
    try:
        with item.entry.used(patience=0.0, alone=True), item.entry.making(patience=0.0):
            if item.entry.kind == shared.STORES:
                writer.acquire()
            if users := _users(item.entry.cache)[item.folder.resolve()]:
                return f"kept, {users[0]} uses it now"
            shutil.rmtree(gone, ignore_errors=True)
            item.folder.rename(gone)
            shutil.rmtree(gone)
    except LockedError as error:
        return f"kept, {error}"
    finally:
        writer.release()
    return "deleted"


def main(
    action: Literal["list", "prune"],
    /,
    cache: Path = Path("cache"),
    yes: bool = False,
) -> None:
    """Run the tool.

    Args:
        action: what to do
        cache: folder of the cache (default: cache)
        yes: prune without the question
    """
    items = entries(cache)
    if action == "list":
        print(table(items))
    else:
        prune(items, yes=yes)
