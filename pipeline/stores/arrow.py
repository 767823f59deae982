"""A hookpoint of a store as the dataset of cached activations that SAELens reads.

SAELens (`ActivationsStore.load_cached_activation_dataset`) opens a folder with
`datasets.load_from_disk`. It wants one column, named by its `hook_name`, whose every row is
[context_size, d]; and beside it `token_ids`, [context_size] int32. It reads no safetensors. Arrow
has no bfloat16, and float16 overflows at large activations, so values are float32, which is exact.

A row of the dataset is `context_size` rows of the store one after the other. They are shuffled, so
they are no context of the text.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from datasets import Array2D, Dataset, Features, Sequence, Value
from datasets.arrow_writer import ArrowWriter
from datasets.fingerprint import generate_fingerprint

from sagsae.activations import Store
from sagsae.activations.arrays import as_float32
from sagsae.activations.blocks import Report, each_block
from sagsae.activations.commits import Commit
from sagsae.activations.convert import read_block
from sagsae.activations.layout import StoreConfig
from sagsae.files import checked_json, signed_json, whole_file, write_atomic
from sagsae.storage import Storage

TOKENS, FILE = "token_ids", "data-{:05d}-of-{:05d}.arrow"
STATE, SOURCE = "state.json", "sagsae-source"
"""Files of the dataset: what names its parts, written last; of which store it is."""


@dataclass(frozen=True)
class Column:
    """The column of activations: which, its name, and rows of the store in each of its rows."""

    hookpoint: str
    hook_name: str
    context_size: int


def export_dataset(
    store: Store,
    hookpoint: str,
    out: Path,
    hook_name: str,
    context_size: int,
    report: Report | None = None,
) -> None:
    """Write the dataset, a block a task, see `sagsae.activations.blocks`.

    Args:
        store: What is written.
        hookpoint: Which of its hookpoints.
        out: Folder; files of the same dataset that are there are kept.
        hook_name: Name of the column: SAELens's ``hook_name``.
        context_size: Rows of the store in each row of the dataset: SAELens's ``context_size``.
        report: Called as blocks are done.

    Raises:
        ValueError: context_size does not divide a block, a chunk is damaged, or the folder holds
            another dataset.
    """
    size = store.config.rows_per_block
    if context_size < 1 or size % context_size:
        raise ValueError(f"context_size {context_size} does not divide the {size} rows of a block")
    column = Column(hookpoint, hook_name, context_size)
    made_of = {"store": store.digest(), **asdict(column)}
    try:
        if checked_json((out / SOURCE).read_bytes()) != made_of:
            raise ValueError(f"{out} holds another dataset; choose another folder")
    except FileNotFoundError:
        if out.is_dir() and any(out.iterdir()):
            raise ValueError(f"{out} is not empty; choose another folder") from None
        write_atomic(out / SOURCE, signed_json(made_of))
    work = partial(_write, store.storage, store.config, out.absolute(), len(store.blocks), column)
    names = each_block(work, list(enumerate(store.blocks)), report)
    _finish(out, names)


def features_of(column: Column, width: int) -> Features:
    """Columns as SAELens's own runner makes them."""
    rows = Array2D(shape=(column.context_size, width), dtype="float32")
    tokens = Sequence(Value("int32"), length=column.context_size)
    return Features({column.hook_name: rows, TOKENS: tokens})


def _write(
    source: Storage,
    config: StoreConfig,
    out: Path,
    count: int,
    column: Column,
    item: tuple[int, int],
) -> str:
    """Write the file of one block if it is not there; its name. A file that is there is whole."""
    number, block = item
    name, width = FILE.format(number, count), config.hookpoints[column.hookpoint]
    if (out / name).exists():
        return name
    commit = Commit.read(source, config, block)
    rows = as_float32(read_block(source, config, commit, column.hookpoint))
    tokens, size = read_block(source, config, commit, "token_id"), column.context_size
    columns = {
        column.hook_name: rows.reshape(-1, size, width),
        TOKENS: tokens.reshape(-1, size),
    }
    features = features_of(column, width)
    with (
        whole_file(out / name) as unfinished,
        ArrowWriter(features=features, path=str(unfinished)) as writer,
    ):
        writer.write_batch(columns)
        writer.finalize()
    return name


def _finish(out: Path, names: list[str]) -> None:
    """Write what makes the files one dataset, as ``Dataset.save_to_disk`` does."""
    first = Dataset.from_file(str(out / names[0]))
    first.info.write_to_directory(str(out))
    state = {
        "_data_files": [{"filename": name} for name in names],
        "_fingerprint": generate_fingerprint(first),
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": None,
    }
    write_atomic(out / STATE, json.dumps(state, indent=2, sort_keys=True).encode())
