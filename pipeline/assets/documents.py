"""The documents of a study: each kind of text source becomes one checked Parquet file.

Text of the hub is the exception: it is streamed later, and only its commit is recorded here.
Files and text of the hub are read by `datasets.load_dataset`.
"""

from __future__ import annotations

import glob
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.assets.model_folders import hub_errors
from pipeline.assets.random_sources import random_documents
from pipeline.assets.wheels import AssetError, fetch_file, require_space, scratch_folder
from pipeline.jobs.json_files import sha256_of
from pipeline.jobs.progress import say
from sagsae.files import whole_file
from sagsae.memory import needs_memory

PARQUET = "documents.parquet"
READERS: dict[str, tuple[str, dict[str, Any]]] = {
    ".txt": ("text", {"sample_by": "document"}),
    ".jsonl": ("text", {"sample_by": "line"}),
    ".csv": ("csv", {"keep_default_na": False}),
    ".parquet": ("parquet", {}),
}
"""How `datasets` reads a file of each kind. Its reader of JSON makes dates of texts that look like
dates, so lines of JSON are read as text and parsed here."""


@needs_memory("the documents")
def make_documents(source: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Store the documents of a text source in ``folder``.

    Args:
        source: dump of a ``TextSource``.
        folder: holds ``documents.parquet`` afterwards, except for text of the hub.

    Returns:
        What ``open_documents`` needs to know, without the folder.

    Raises:
        AssetError: the text cannot be had; the message names the file and the place in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if source["kind"] == "hub":
        return _hub_descriptor(source)
    texts = list(_texts(source, folder))
    if not any(texts):
        named = f" ({', '.join(source['paths'])})" if "paths" in source else ""
        raise AssetError(f"the text source of kind {source['kind']}{named} holds no text")
    _write_parquet(texts, folder / PARQUET)
    (folder / "text.json").unlink(missing_ok=True)
    return {
        "kind": "parquet",
        "file": PARQUET,
        "documents": len(texts),
        "characters": sum(map(len, texts)),
        "sha256": texts_digest(texts),
        "file_sha256": sha256_of(folder / PARQUET),
        "terms": source.get("terms", ""),
    }


@needs_memory("the documents")
def open_documents(descriptor: dict[str, Any], folder: Path) -> Any:
    """The documents as a ``datasets`` dataset with a ``text`` column.

    Args:
        descriptor: content of documents.json.
        folder: the folder it lies in.

    Returns:
        A ``Dataset``, checked against its digest, or an ``IterableDataset`` for text of the hub.

    Raises:
        AssetError: the file is missing or altered, or the hub cannot be reached.
    """
    import datasets
    import pyarrow.parquet

    if descriptor["kind"] == "hub":
        name = f"{descriptor['repo']} at {descriptor['revision']}"
        with hub_errors(name, "text.source"):
            stream = datasets.load_dataset(
                descriptor["repo"],
                descriptor.get("name"),
                data_files=descriptor.get("data_files"),
                split=descriptor["split"],
                revision=descriptor["resolved_revision"],
                streaming=True,
            )
        return stream.select_columns([descriptor["column"]]).rename_columns(
            {} if descriptor["column"] == "text" else {descriptor["column"]: "text"}
        )
    path = folder / descriptor["file"]
    remedy = f"delete {folder}/documents.json and run snakemake again"
    try:
        # use_threads=False: where no thread can be started, the reader would wait for one for ever.
        with pyarrow.parquet.ParquetFile(path) as file:
            dataset = datasets.Dataset(file.read(use_threads=False))
        found = texts_digest(dataset["text"])
    except Exception as error:  # damaged metadata raises whatever it leads the readers to
        raise AssetError(f"{path}: cannot be read ({error}); {remedy}") from error
    if found != descriptor["sha256"]:
        raise AssetError(f"{path}: the text is not what was downloaded; {remedy}")
    return dataset


def texts_digest(texts: Any) -> str:
    """sha256 over the documents and their lengths, independent of how they are stored."""
    state = hashlib.sha256()
    for text in texts:
        content = text.encode()
        state.update(len(content).to_bytes(8, "big") + content)
    return state.hexdigest()


def _write_parquet(texts: list[str], path: Path) -> None:
    import datasets

    datasets.disable_progress_bars()
    require_space(path.parent, sum(map(len, texts)), "the documents")
    with whole_file(path) as partial:
        datasets.Dataset.from_dict({"text": texts}).to_parquet(partial)


def _hub_descriptor(source: dict[str, Any]) -> dict[str, Any]:
    from huggingface_hub import HfApi

    name = f"{source['repo']} at revision {source['revision']}"
    with hub_errors(name, "text.source"):
        info = HfApi().dataset_info(source["repo"], revision=source["revision"], timeout=30)
    say(f"{name}: streamed later, commit {info.sha}")
    return {**source, "resolved_revision": info.sha, "streaming": True, "terms": ""}


def _texts(source: dict[str, Any], folder: Path) -> Iterator[str]:
    match source["kind"]:
        case "random":
            fields = ("documents", "words", "vocabulary", "seed")
            yield from random_documents(**{name: source[name] for name in fields})
        case "files":
            with scratch_folder(folder / ".datasets") as cache:
                for path in source["paths"]:
                    yield from _file_texts(Path(path), source["column"], cache)
        case "wheels":
            path = fetch_file(source, folder / "text.json")
            yield from _json_texts(path, source["column"])
        case other:
            raise AssetError(f"unknown kind of text source: {other!r}")


def _file_texts(path: Path, column: str, cache: Path) -> Iterator[str]:
    if path.suffix not in READERS:
        raise AssetError(f"{path}: only {', '.join(READERS)} files are read; convert it")
    if not path.is_file():
        raise AssetError(f"{path}: cannot be read, there is no such file; check text.source.paths")
    for number, row in enumerate(_rows(path, column, cache), start=1):
        if path.suffix == ".txt":
            yield row["text"]
        elif path.suffix != ".jsonl":
            yield _field(row, column, f"{path}, row {number}")
        elif row["text"].strip():
            where = f"{path}, line {number}"
            yield _field(_parse(row["text"], where), column, where)


def _rows(path: Path, column: str, cache: Path) -> Iterator[dict[str, Any]]:
    """Rows of one file, in its order; ``cache`` gets empty lock files only."""
    import datasets

    reader, options = READERS[path.suffix]
    if reader == "csv":
        options = options | {"converters": {column: str}}  # no numbers, no missing values
    file = glob.escape(str(path.absolute()))  # else it is a pattern, or an address
    try:
        yield from datasets.load_dataset(
            reader, data_files=[file], split="train", streaming=True, cache_dir=cache, **options
        )
    except Exception as error:  # each reader has its own ways to refuse
        raise AssetError(
            f"{path}: cannot be read as {reader} in UTF-8 ({error}); mend or convert it"
        ) from error


def _json_texts(path: Path, column: str) -> Iterator[str]:
    try:
        content = _parse(path.read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise AssetError(f"{path}: not UTF-8 text ({error}): check `member`") from error
    if isinstance(content, list):
        content = dict(enumerate(content))
    if not isinstance(content, dict):
        raise AssetError(f"{path}: neither a list of objects nor title -> object")
    for key, item in content.items():
        yield _field(item, column, f"{path}, entry {key!r}")


def _parse(content: str, where: str) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise AssetError(f"{where}: not JSON ({error})") from error


def _field(item: Any, column: str, where: str) -> str:
    if not isinstance(item, dict) or column not in item:
        fields = f"; it has {', '.join(item)}" if isinstance(item, dict) else ""
        raise AssetError(f"{where}: no field {column!r}{fields}: check text.source.column")
    text = item[column]
    if not isinstance(text, str):
        raise AssetError(f"{where}: field {column!r} is no text: check text.source.column")
    if re.search("[\ud800-\udfff]", text):
        raise AssetError(f"{where}: field {column!r} holds half of a surrogate pair: mend the file")
    return text
