"""What lies in the cache that studies share, and which studies use it.

    python -m pipeline cache list      everything, its size, and the studies that use it
    python -m pipeline cache verify    read everything; exit status 1 if something cannot be used
    python -m pipeline cache prune     delete what no study uses, after a question

With ``--stores s3://BUCKET/PREFIX``, ``list`` and ``verify`` are about the stores of that bucket.
A bucket is shared with people whose studies this machine does not see, so nothing is pruned there.

A study uses what its records name, and counts as long as its folder under results/ is there.
Nothing that a job makes or reads at this moment is deleted.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from pipeline.data.baselines import read_baselines
from pipeline.data.documents import read_documents
from pipeline.data.manifests import read_store
from pipeline.data.model_folders import check_model
from pipeline.jobs.cache import (
    ASSET,
    BASELINES,
    CONTEXTS,
    DOCUMENTS,
    KINDS,
    LOSSES,
    MODELS,
    STORES,
    TEXTS,
    TOKENS,
    Entry,
    entry_folder,
    registered,
)
from pipeline.jobs.json_files import read_json
from pipeline.jobs.progress import Progress
from pipeline.study.outputs import RECORDS
from pipeline.tools.status import bytes_under, gigabytes
from sagsae.activations import StoreConfig, StoreError
from sagsae.activations.layout import LOCK
from sagsae.activations.tokens import load_tokens
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
    """A line per entry: kind, name, size, studies."""
    rows = [
        {
            "kind": item.entry.kind,
            "name": item.folder.name,
            "size": gigabytes(bytes_under(item.folder)),
            "used by": ", ".join(study.name for study in item.users) or "no study",
        }
        for item in found
    ]
    return pd.DataFrame(rows).to_string(index=False) if rows else "the cache is empty"


READERS: dict[str, Callable[[Path], object]] = {
    MODELS: lambda folder: check_model(folder / ASSET),
    TEXTS: lambda folder: read_documents(folder / DOCUMENTS),
    TOKENS: lambda folder: load_tokens(folder / CONTEXTS),
    STORES: read_store,
    BASELINES: lambda folder: read_baselines(folder / LOSSES),
}


def verify(readers: Mapping[Any, Callable[[Any], object]]) -> int:
    """Read each place by its reader; print what cannot be used and why; 1 if there is any."""
    progress, faults = Progress("cache verify", len(readers), "entries"), 0
    for done, (place, read) in enumerate(readers.items(), start=1):
        try:
            read(place)
        except FileNotFoundError:
            pass  # not finished
        except Exception as error:  # readers raise many kinds; each means that nobody can use it
            faults += 1
            print(f"{place}\n  {error}\n  to mend it: delete it and run a study that uses it\n")
        progress.update(done)
    print(f"{len(readers)} entries read, {faults} fault(s)")
    return min(faults, 1)


def prune(found: list[Found], *, yes: bool) -> None:
    """Delete what no study uses and no job holds; ask first."""
    unused = [item for item in found if not item.users]
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
    action: Literal["list", "verify", "prune"],
    /,
    cache: Path = Path("cache"),
    stores: str = "",
    yes: bool = False,
) -> None:
    """Run the tool.

    Args:
        action: what to do
        cache: folder of the cache (default: cache)
        stores: s3:// URL; list or verify the stores there instead
        yes: prune without the question
    """
    if stores:
        _bucket(action, storage_at(stores))
        return
    found = list(entries(cache))
    match action:
        case "list":
            print(table(found))
        case "verify":
            sys.exit(verify({item.folder: READERS[item.entry.kind] for item in found}))
        case "prune":
            prune(found, yes=yes)


def _bucket(action: str, stores: Storage) -> None:
    places = [stores / name for name in stores.folders()]
    match action:
        case "list":
            for place in places:
                print(f"{place.name}  {gigabytes(place.total_size())}")
        case "verify":
            sys.exit(verify(dict.fromkeys(places, read_store)))
        case _:
            raise ValueError(f"{stores}: nothing is pruned in a bucket, as others may read there")
