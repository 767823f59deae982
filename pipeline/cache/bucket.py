"""Stores of objects for the cache tool: what lies in a bucket, whether it is sound, and deleting.

A bucket is shared with people whose studies this machine cannot see, so nothing is pruned there.
What is to go is named by its URL.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from pipeline.cache.kinds import store_words
from pipeline.jobs.findings import amount
from sagsae.activations import StoreError, verify_store
from sagsae.storage import Storage, is_url, storage_at


def bucket_table(stores: Storage) -> str:
    """A line per store below a URL: name, content, size."""
    rows = []
    for name in stores.folders():
        try:
            words = store_words(stores / name)
        except StoreError:
            words = "damaged: see `cache verify`"
        rows.append({"store": name, "content": words, "size": amount((stores / name).total_size())})
    return pd.DataFrame(rows).to_string(index=False) if rows else f"{stores}: no stores"


def bucket_faults(stores: Storage) -> Iterator[str]:
    """What is wrong with the stores below a URL and what to do, a text for each fault."""
    for name in stores.folders():
        for problem in verify_store(stores / name):
            yield f"{problem}\n"


def delete(names: Sequence[str], *, yes: bool) -> None:
    """Delete objects, and all objects below, by their URLs; ask first.

    Raises:
        ValueError: a name is no URL, or one of a whole bucket.
    """
    for name in names:
        if not is_url(name) or not storage_at(name).name or name.rstrip("/").count("/") < 3:
            raise ValueError(f"{name}: give s3://BUCKET/PREFIX; files are deleted with rm")
    question = f"Delete {', '.join(names)} and all below? [y/N] "
    if not yes and input(question).strip().lower() not in ("y", "yes"):
        print("nothing deleted")
        return
    for name in names:
        parent, _, last = name.rstrip("/").rpartition("/")
        storage_at(parent).delete(last)
        storage_at(name).clear()
        print(f"{name}: deleted", flush=True)
