"""What lies in the cache that studies share, and which studies use it.

    python -m pipeline cache list      everything, its size, and the studies that use it
    python -m pipeline cache verify    read and check everything; exit status 1 if there is a fault
    python -m pipeline cache prune     delete what no study uses, after a question
    python -m pipeline cache delete --names URL ...    delete objects of a bucket, after a question

With ``--stores s3://BUCKET/PREFIX``, ``list`` and ``verify`` are about the stores of that bucket.

A study uses what its records name, and counts as long as its folder under results/ is there.
Nothing that a job makes or reads at this moment is deleted.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from pipeline.cache.bucket import bucket_faults, bucket_table, delete
from pipeline.cache.kinds import describe, faults
from pipeline.jobs.cache import KINDS, STORES, Entry, entry_folder, registered
from pipeline.jobs.findings import Fault, amount, removal, size_of
from pipeline.jobs.json_files import read_json
from pipeline.jobs.progress import Progress
from pipeline.study.outputs import RECORDS
from sagsae.activations.errors import StoreError
from sagsae.activations.layout import LOCK, StoreConfig
from sagsae.files import FileLock, LockedError
from sagsae.storage import Storage, storage_at


@dataclass(frozen=True)
class Found:
    """An entry that is there.

    Attributes:
        entry: Which; for its locks.
        folder: Where.
        users: Folders of the studies that use it.
    """

    entry: Entry
    folder: Path
    users: tuple[Path, ...]


def entries(cache: Path) -> Iterator[Found]:
    """Everything in a cache, kind by kind."""
    used = _users(cache)
    for kind in KINDS:
        for folder in sorted(path for path in (cache / kind).glob("*") if path.is_dir()):
            key = _family(folder) if kind == STORES else folder.name
            yield Found(Entry(cache, kind, key), folder, tuple(used.get(folder.resolve(), ())))


def _users(cache: Path) -> dict[Path, list[Path]]:
    """Entry folder -> folders of the studies whose records name it."""
    found: dict[Path, list[Path]] = {}
    for study in registered(cache):
        for record in sorted(path for pattern in RECORDS for path in study.glob(pattern)):
            try:
                folder = entry_folder(record, read_json(record)).resolve()
            except FileNotFoundError:  # a job has just deleted it, to write it again
                continue
            if study not in found.setdefault(folder, []):
                found[folder].append(study)
    return found


def _family(store: Path) -> str:
    """What a store's locks are named by; its folder's name where it does not say."""
    try:
        return str(StoreConfig.read(store).provenance.get("family", store.name))
    except StoreError:
        return store.name


def table(found: list[Found]) -> str:
    """A line per entry: kind, name, content, size, studies."""
    rows = [
        {
            "kind": item.entry.kind,
            "name": item.folder.name,
            "content": describe(item.entry.kind, item.folder),
            "size": amount(size_of(item.folder)),
            "used by": ", ".join(study.name for study in item.users) or "no study",
        }
        for item in found
    ]
    return pd.DataFrame(rows).to_string(index=False) if rows else "the cache is empty"


def verify(found: list[Found]) -> int:
    """Print what is wrong with each entry and what to do; return the number of faults."""
    count, progress = 0, Progress("cache verify", len(found), "entries")
    for done, item in enumerate(found, start=1):
        for fault in faults(item.entry.kind, item.folder):
            if isinstance(fault, Fault):
                count += 1
                remedy = removal(fault.delete or (item.folder,))
                again = "run snakemake on a study that uses it"
                print(f"{fault.file}\n  {fault.problem}\n  remedy: {remedy}; {again}\n")
        progress.update(done)
    print(f"{len(found)} entries checked, {count} fault(s)")
    return count


def prune(found: list[Found], *, yes: bool) -> None:
    """Delete what no study uses and no job holds; ask first."""
    unused = [item for item in found if not item.users]
    if not unused:
        print("nothing to delete: a study uses each entry")
        return
    print(table(unused))
    total = amount(sum(size_of(item.folder) for item in unused))
    question = f"Delete these {len(unused)} entries, {total}? [y/N] "
    if not yes and input(question).strip().lower() not in ("y", "yes"):
        print("nothing deleted")
        return
    for item in unused:
        print(f"{item.folder}: {_delete(item)}", flush=True)


def _delete(item: Found) -> str:
    """Delete one entry, unless a job or a study has come to use it; return what happened."""
    writer = FileLock(item.folder / LOCK)
    try:
        with item.entry.used(patience=0.0, alone=True), item.entry.making(patience=0.0):
            if item.entry.kind == STORES:
                writer.acquire()
            if users := _users(item.entry.cache).get(item.folder.resolve()):
                return f"kept, {users[0].name} uses it now"
            gone = item.folder.with_name(f".{item.folder.name}.deleted")
            shutil.rmtree(gone, ignore_errors=True)
            item.folder.rename(gone)
            shutil.rmtree(gone)
    except LockedError as error:
        return f"kept, {error}"
    finally:
        writer.release()
    return "deleted"


def main(
    action: Literal["list", "verify", "prune", "delete"],
    /,
    cache: Path = Path("cache"),
    stores: str = "",
    names: Sequence[str] = (),
    yes: bool = False,
) -> None:
    """Run the tool.

    Args:
        action: what to do
        cache: folder of the cache (default: cache)
        stores: s3:// URL; list and verify the stores there instead
        names: s3:// URLs that delete deletes
        yes: prune and delete without the question
    """
    if action == "delete":
        delete(names, yes=yes)
        return
    if stores:
        _bucket(action, storage_at(stores))
        return
    found = list(entries(cache))
    match action:
        case "list":
            print(table(found))
        case "verify":
            sys.exit(1 if verify(found) else 0)
        case "prune":
            prune(found, yes=yes)


def _bucket(action: str, stores: Storage) -> None:
    match action:
        case "list":
            print(bucket_table(stores))
        case "verify":
            faults = list(bucket_faults(stores))
            print("\n".join([*faults, f"{stores}: {len(faults)} fault(s)"]))
            sys.exit(1 if faults else 0)
        case _:
            raise ValueError(
                f"{stores}: nothing is pruned in a bucket, as others may read there whom this "
                "machine does not see; `cache delete --names URL` deletes what you name"
            )
