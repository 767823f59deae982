"""Copy an activation store: into another layout, as safetensors, or as SAELens reads it.

    python -m pipeline convert-store cache/stores/NAME --to store --profile disk --out elsewhere
    python -m pipeline convert-store cache/stores/NAME --to safetensors --out rows
    python -m pipeline convert-store cache/stores/NAME --to saelens --hookpoint resid \\
        --out dataset --hook-name blocks.15.hook_resid_post

A place is a folder or an s3:// URL; a dataset of SAELens is a folder. A conversion that is killed
goes on when it is started again. It runs on processes of dask where the store is large, see
``pipeline.jobs.cluster``. docs/store.md says what each format holds and who reads it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pipeline.jobs.cluster import cluster, reporter, size_of_rows
from pipeline.jobs.progress import say
from pipeline.stores.arrow import export_dataset
from sagsae.activations import Store
from sagsae.activations.convert import convert_store
from sagsae.exchange.shards import export_shards
from sagsae.storage import is_url, storage_at


def main(
    store: str,
    /,
    to: Literal["store", "safetensors", "saelens"],
    out: str,
    profile: Literal["plain", "disk", "as-it-is"] = "as-it-is",
    rows_per_chunk: int = 0,
    sharded: Literal["yes", "no", "as-it-is"] = "as-it-is",
    hookpoint: str = "",
    hook_name: str = "",
    context_size: int = 128,
    scheduler: str = "",
) -> None:
    """Run the tool.

    Args:
        store: folder or s3:// URL of the store
        to: what to make
        out: of a store the folder or s3:// URL of stores; else the folder, or URL, of the files
        profile: of a store: plain does not compress, disk does
        rows_per_chunk: of a store; 0 leaves them as they are
        sharded: of a store: whether each block of a hookpoint is one file
        hookpoint: of a dataset for SAELens; the only one when absent
        hook_name: of a dataset for SAELens: the name of its column; the hookpoint's when absent
        context_size: of a dataset for SAELens: rows in each of its rows, its own context_size
        scheduler: address of a scheduler of dask; "local" starts processes here, "threads" none
    """
    opened = Store.open(store)
    report = reporter(f"convert {opened.storage.name}")
    with cluster(scheduler, size_of_rows(opened)):
        match to:
            case "store":
                made = convert_store(
                    opened,
                    storage_at(out),
                    opened.storage.name.rpartition("-")[0] or opened.storage.name,
                    rows_per_chunk=rows_per_chunk or None,
                    profile=None if profile == "as-it-is" else profile,
                    sharded=None if sharded == "as-it-is" else sharded == "yes",
                    report=report,
                )
                say(f"{made}: {opened.n_rows:,} rows, verified")
            case "safetensors":
                names = export_shards(opened, out, report)
                say(f"{out}: {opened.n_rows:,} rows in {len(names)} files")
            case "saelens":
                if is_url(out):
                    raise ValueError("SAELens reads its datasets from a folder: give one as --out")
                chosen = _hookpoint(opened, hookpoint)
                export_dataset(opened, chosen, Path(out), hook_name or chosen, context_size, report)
                say(f"{out}: {opened.n_rows:,} rows; context_size: {context_size}")


def _hookpoint(store: Store, named: str) -> str:
    """The hookpoint that was asked for, or the only one."""
    known = list(store.config.hookpoints)
    if named in known or (not named and len(known) == 1):
        return named or known[0]
    raise ValueError(f"--hookpoint {named!r}: {store.storage} has {', '.join(known)}")
