"""The documents of a study: each kind of text source becomes one checked Parquet file.

Text of the hub is the exception: where it is the only source it is streamed later, and only its
commit is recorded here.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from pipeline.data.mixture import DOWNLOAD, mixed_texts
from pipeline.data.text_readers import hub_stream, read_texts, resolve_hub
from pipeline.data.wheels import AssetError
from pipeline.jobs.cache import entry_folder
from pipeline.jobs.json_files import read_json
from sagsae.files import whole_file

PARQUET = "documents.parquet"


def make_documents(source: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Store the documents of a text source in ``folder``.

    Args:
        source: dump of a text source, or of a ``MixedText``.
        folder: holds ``documents.parquet`` afterwards, except for text of the hub.

    Returns:
        What ``open_documents`` needs to know, without the folder.

    Raises:
        AssetError: the text cannot be had; the message names the file and the place in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if source["kind"] == "hub":
        return {**resolve_hub(source), "streaming": True, "terms": ""}
    sources: list[dict[str, Any]] = []
    if source["kind"] == "mixed":
        texts, sources = mixed_texts(source, folder)
    else:
        texts = list(read_texts(source, folder / DOWNLOAD.format("text")))
    if not any(texts):
        raise AssetError(f"{source}: the text source holds no text")
    _write_parquet(texts, _source_names(sources), folder / PARQUET)
    for download in folder.glob(DOWNLOAD.format("*")):
        download.unlink()
    return {
        "kind": "parquet",
        "file": PARQUET,
        "documents": len(texts),
        "characters": sum(map(len, texts)),
        "sha256": texts_digest(texts),
        "terms": source.get("terms", ""),
        **({"sources": sources} if sources else {}),
    }


def open_documents(descriptor: dict[str, Any], folder: Path) -> Any:
    """The documents as a ``datasets`` dataset with a ``text`` column.

    Args:
        descriptor: content of documents.json.
        folder: the folder it lies in.

    Returns:
        A ``Dataset``, checked against its digest, or an ``IterableDataset`` for text of the hub.
        With several sources it has a column ``source``, too.

    Raises:
        AssetError: the file is missing or altered, or the hub cannot be reached.
    """
    import datasets
    import pyarrow.parquet

    if descriptor["kind"] == "hub":
        return hub_stream(descriptor)
    path = folder / descriptor["file"]
    remedy = f"delete {folder}/documents.json and run snakemake again"
    try:
        # use_threads=False: where no thread can be started, the reader would wait for one for ever.
        with pyarrow.parquet.ParquetFile(path) as file:
            dataset = datasets.Dataset(file.read(use_threads=False))
        found = texts_digest(dataset["text"])
        names = list(dataset["source"]) if "source" in dataset.column_names else []
    except Exception as error:  # damaged metadata raises whatever it leads the readers to
        raise AssetError(f"{path}: cannot be read ({error}); {remedy}") from error
    if found != descriptor["sha256"] or names != _source_names(descriptor.get("sources", [])):
        raise AssetError(f"{path}: the text is not what was downloaded; {remedy}")
    return dataset


def read_documents(record: Path) -> None:
    """Read and check the documents that a record names; text of the hub is not on disk."""
    found = read_json(record)
    if found["kind"] != "hub":
        open_documents(found, entry_folder(record, found))


def texts_digest(texts: Any) -> str:
    """sha256 over the documents and their lengths, independent of how they are stored."""
    state = hashlib.sha256()
    for text in texts:
        content = text.encode()
        state.update(len(content).to_bytes(8, "big") + content)
    return state.hexdigest()


def _source_names(sources: list[dict[str, Any]]) -> list[str]:
    """The source of every document; empty where there is one source without a name."""
    return [source["name"] for source in sources for _ in range(source["documents"])]


def _write_parquet(texts: list[str], sources: list[str], path: Path) -> None:
    import datasets

    datasets.disable_progress_bars()
    columns = {"text": texts} | ({"source": sources} if sources else {})
    with whole_file(path) as partial:
        datasets.Dataset.from_dict(columns).to_parquet(partial)
