"""Rows of a store as safetensors files, for programs that know no Zarr.

    <folder>/
      rows-00000-of-00400.safetensors    one per block: a tensor [S, d] per hookpoint in its dtype,
      ...                                and token_id, doc_id, position, each [S] int32
      index.json                         written last: what they are, and the sha256 of each

Rows are in the order of the store, in which each block is shuffled. A file is whole or not there,
and says in its header which block of which store it holds; a conversion that is killed goes on.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from functools import partial

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from sagsae.activations.arrays import as_tensor
from sagsae.activations.blocks import Report, each_block
from sagsae.activations.commits import Commit
from sagsae.activations.convert import read_block
from sagsae.activations.layout import StoreConfig
from sagsae.activations.store import Store
from sagsae.files import checked_json, digest, signed_json
from sagsae.storage import Location, Storage, storage_at

INDEX, SHARD = "index.json", "rows-{:05d}-of-{:05d}.safetensors"
_METADATA_KEY = "sagsae_rows"


def export_shards(store: Store, out: Location, report: Report | None = None) -> list[str]:
    """Write the rows of a store as safetensors files, a block a task, see `activations.blocks`.

    Args:
        store: what is written.
        out: folder or URL; files of the same store that are there are kept.
        report: called as blocks are done.

    Returns:
        The names of the files, in the order of the rows.

    Raises:
        ValueError: a chunk is damaged, or the place holds files of another store.
    """
    place, blocks = storage_at(out), store.blocks
    index = {
        "store": store.digest(),
        "rows": store.n_rows,
        "rows_per_file": store.config.rows_per_block,
        "hookpoints": dict(store.config.hookpoints),
        "dtype": store.config.dtype,
        "scale": {name: store.statistics(name).scale for name in store.config.hookpoints},
        "provenance": dict(store.config.provenance),
    }
    known: dict[str, str] = {}
    if place.exists(INDEX):
        found = checked_json(place.read(INDEX))
        if found["store"] != index["store"]:
            raise ValueError(f"{place} holds the rows of another store; choose another folder")
        known = found["files"]
    work = partial(_write, store.storage, store.config, place, store.digest(), len(blocks), known)
    sums = dict(each_block(work, list(enumerate(blocks)), report))
    names = [SHARD.format(number, len(blocks)) for number in range(len(blocks))]
    files = {name: sums[name] for name in names}
    place.write(INDEX, signed_json({**index, "files": files}))
    return names


def _write(
    source: Storage,
    config: StoreConfig,
    place: Storage,
    store: str,
    count: int,
    known: Mapping[str, str],
    item: tuple[int, int],
) -> tuple[str, str]:
    """Write the file of one block if it is not there, or is not the one that the index ``known``
    has; its name and the sha256 of its content."""
    number, block = item
    name, mark = SHARD.format(number, count), json.dumps({"store": store, "block": block})
    try:
        content = place.read(name)
        checksum = digest(content)
        if _mark_of(content) == mark and known.get(name, checksum) == checksum:
            return name, checksum
    except FileNotFoundError:
        pass
    commit = Commit.read(source, config, block)
    arrays = {array: read_block(source, config, commit, array) for array in config.arrays}
    tensors = {array: as_tensor(rows) for array, rows in arrays.items()}
    content = save(tensors, metadata={_METADATA_KEY: mark})
    place.write(name, content)
    return name, digest(content)


def _mark_of(content: bytes) -> str | None:
    """What the header of a file says that it holds; None for a file of another kind."""
    try:
        (size,) = struct.unpack("<Q", content[:8])
        return str(json.loads(content[8 : 8 + size])["__metadata__"][_METADATA_KEY])
    except (ValueError, LookupError, TypeError, struct.error):
        return None


def read_shards(where: Location, hookpoint: str, batch_size: int) -> Iterator[Tensor]:
    """The rows of a hookpoint in batches [batch_size, d], file after file, each checked.

    For `trainSAE` of dictionary_learning, which takes any iterator of batches as its data. The last
    batch has what remains.

    Args:
        where: folder or URL that `export_shards` wrote.
        hookpoint: its name.
        batch_size: rows of a batch.

    Raises:
        FileNotFoundError: the export is not finished.
        ValueError: a file is damaged.
        KeyError: the hookpoint is unknown.
    """
    place = storage_at(where)
    index = checked_json(place.read(INDEX))
    if hookpoint not in index["hookpoints"]:
        raise KeyError(f"no hookpoint {hookpoint!r} in {place}; it has {[*index['hookpoints']]}")
    rest: list[Tensor] = []
    for name, expected in index["files"].items():
        content = place.read(name)
        if digest(content) != expected:
            raise ValueError(f"{place}/{name} was changed: export the store again")
        try:
            rows = torch.cat([*rest, load(content)[hookpoint]])
        except SafetensorError as error:
            raise ValueError(f"{place}/{name}: {error}; export the store again") from error
        whole = len(rows) - len(rows) % batch_size
        yield from rows[:whole].split(batch_size) if whole else ()
        rest = [rows[whole:]] if whole < len(rows) else []
    yield from rest
