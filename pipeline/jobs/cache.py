"""The cache that all studies share: what is expensive to make, named by what determines it.

    <cache>/models/<key>/     a language model's folder and asset.json
    <cache>/texts/<key>/      documents.parquet and documents.json
    <cache>/tokens/<key>/     contexts of one split for one model; the file grows
    <cache>/stores/<name>/    activation stores, see docs/store.md; they grow
    <cache>/baselines/<key>/  losses of a language model
    <cache>/studies/          the folders of the studies that read here
    <cache>/digests/          sha256 of large files of the user's own, which every plan asks for

A study has a small record of each entry that it uses, and Snakemake tracks the records alone: it
deletes outputs before it makes them again, and must not delete what another study reads.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.jobs.json_files import digest, read_json, write_json
from pipeline.jobs.progress import say
from pipeline.jobs.stage import locked, remove_partials
from sagsae.activations.storage import Storage, is_url
from sagsae.files import FileLock

MODELS, TEXTS, TOKENS, STORES, BASELINES = "models", "texts", "tokens", "stores", "baselines"
STUDIES, STUDY_FILE = "studies", "{}-{}.json"
DIGESTS = "digests"
# What vouches for an entry, written last: of a model, of a text, of baselines.
ASSET, DOCUMENTS, LOSSES = "asset.json", "documents.json", "baselines.json"
# The file of an entry of tokens.
CONTEXTS = "contexts.safetensors"
# Field of a record: the entry's folder, relative to the record's, or a URL.
ENTRY = "entry"


@dataclass(frozen=True)
class Entry:
    """One thing in the cache.

    Attributes:
        cache: The cache's folder.
        kind: ``MODELS``, ``TEXTS``, ``TOKENS``, ``STORES`` or ``BASELINES``.
        key: Digest of what determines it. Its locks are named by it; its folder is, except a
            store's.
    """

    cache: Path
    kind: str
    key: str

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self.cache / self.kind / self.key

    @contextmanager
    def used(self, patience: float = math.inf, *, alone: bool = False) -> Iterator[FileLock]:
        """Keep it from being pruned; others may use it, and make more of it, at the same time.

        Args:
            patience: Seconds to wait for who prunes it, or with ``alone`` for who uses it.
            alone: Let nobody else use it.

        Yields:
            The lock that is held.

        Raises:
            LockedError: Patience is over.
        """
        parent = self.folder.parent
        parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(parent / f".{self.key}.used")
        lock.acquire(shared=not alone, patience=patience, waiting=say)
        try:
            yield lock
        finally:
            lock.release()

    @contextmanager
    def making(self, patience: float = math.inf) -> Iterator[None]:
        """Hold it against others that would make it, or more of it; waits for one that does.

        What a killed process left half written in its folder is removed.

        Args:
            patience: Seconds to wait.

        Raises:
            LockedError: Patience is over.
        """
        with locked(self.folder.parent, self.key, patience):
            remove_partials(self.folder)
            yield


def write_record(out: Path, content: dict[str, Any], place: Path | Storage) -> None:
    """Write a study's record of an entry.

    Args:
        out: The record.
        content: What it says of the entry.
        place: The entry's folder, or the URL of a store that lies elsewhere.
    """
    remote = isinstance(place, Storage) and place.remote
    named = str(place) if remote else os.path.relpath(str(place), out.parent)
    with locked(out.parent, out.stem):  # which removes what a killed process left of it
        write_json(out, content | {ENTRY: named})


def entry_folder(record: Path, content: dict[str, Any]) -> Path:
    """The folder of the entry that a record names; the record's own if it names none."""
    return Path(os.path.normpath(record.parent / content.get(ENTRY, "")))


@contextmanager
def using(*records: Path) -> Iterator[None]:
    """Keep the entries that some records name from being pruned, while a job reads them."""
    with ExitStack() as held:
        for record in records:
            content = read_json(record)
            if ENTRY in content and not is_url(content[ENTRY]):  # nothing prunes a bucket
                folder = entry_folder(record, content)
                key = content.get("family", folder.name)
                held.enter_context(Entry(folder.parent.parent, folder.parent.name, key).used())
        yield


def register(cache: Path, study: Path) -> None:
    """Note that a study uses a cache, so that ``registered`` finds it.

    Args:
        cache: The cache's folder.
        study: The study's folder under ``results``.
    """
    folder = str(study.absolute())
    path = cache / STUDIES / STUDY_FILE.format(study.name, digest([folder]))
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"folder": folder})


def registered(cache: Path) -> list[Path]:
    """The folders, of those that are still there, of all studies that use a cache."""
    files = sorted((cache / STUDIES).glob("*.json"))
    folders = (Path(read_json(file)["folder"]) for file in files)
    return [folder for folder in folders if folder.is_dir()]
