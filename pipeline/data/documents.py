"""The documents of a study: each kind of text source becomes one checked Parquet file.

Text of the hub is the exception: where it is the only source it is streamed later, and only its
commit is recorded here. Several sources become one list of documents, source after source: the
first document of each source says where any comes from.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.data.model_folders import hub_errors
from pipeline.data.text_readers import hub_stream, read_texts, resolve_hub
from pipeline.data.wheels import AssetError
from pipeline.jobs.cache import entry_folder
from pipeline.jobs.json_files import read_json
from pipeline.jobs.progress import say
from sagsae.files import whole_file

PARQUET = "documents.parquet"
# Name of the file of a wheel source until all documents are written.
DOWNLOAD = "{}.download"


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
    import datasets

    folder.mkdir(parents=True, exist_ok=True)
    if source["kind"] == "hub":
        return {**resolve_hub(source), "streaming": True, "terms": ""}
    sources: list[dict[str, Any]] = []
    if source["kind"] == "mixed":
        texts, sources = _mixed_texts(source, folder)
    else:
        texts = list(read_texts(source, folder / DOWNLOAD.format("text")))
    if not any(texts):
        raise AssetError(f"text of kind {source['kind']} {source.get('paths', '')} holds no text")
    datasets.disable_progress_bars()
    with whole_file(folder / PARQUET) as partial:
        datasets.Dataset.from_dict({"text": texts}).to_parquet(partial)
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


def _mixed_texts(mixed: dict[str, Any], folder: Path) -> tuple[list[str], list[dict[str, Any]]]:
    """Read all sources.

    Args:
        mixed: dump of a ``MixedText``.
        folder: for downloads, which the caller removes: a run that fails fetches none again.

    Returns:
        The documents, and per source ``name``, ``first_document``, ``documents``, ``characters``,
        ``terms``, and ``resolved_revision`` of a hub source.

    Raises:
        AssetError: a source cannot be had, or gives no document.
    """
    texts: list[str] = []
    records: list[dict[str, Any]] = []
    for part in mixed["sources"]:
        try:
            chosen, record = _source(part, folder, mixed["seed"])
        except AssetError as error:
            raise AssetError(f"source {part['name']!r}: {error}") from error
        records.append(
            {
                "name": part["name"],
                "first_document": len(texts),
                "documents": len(chosen),
                "characters": sum(map(len, chosen)),
                "terms": part["source"].get("terms", ""),
                **record,
            }
        )
        say(f"{part['name']}: {len(chosen):,} documents, {sum(map(len, chosen)):,} characters")
        texts += chosen
    return texts, records


def _source(part: dict[str, Any], folder: Path, seed: int) -> tuple[list[str], dict[str, Any]]:
    """What is taken of one source, in its own order, and what is to be recorded."""
    source = part["source"]
    if source["kind"] == "hub":
        resolved = resolve_hub(source)
        stream = hub_stream(resolved).shuffle(seed=seed, buffer_size=source["shuffle_buffer"])
        with hub_errors(f"{source['repo']} at {source['revision']}", "text.sources"):
            texts = _documents(part, (row["text"] for row in stream))
            chosen = list(_below_cap(enumerate(texts), part))
        record = {"resolved_revision": resolved["resolved_revision"]}
    else:
        download = folder / DOWNLOAD.format(part["name"])
        found = list(_documents(part, read_texts(source, download)))
        order = np.random.default_rng(seed).permutation(len(found)).tolist()
        chosen = sorted(_below_cap(((place, found[place]) for place in order), part))
        record = {}
    if not chosen:
        raise AssetError("it holds no text, or its cap of max_characters is below one document")
    return [text for _, text in chosen], record


def _documents(part: dict[str, Any], texts: Iterable[str]) -> Iterator[str]:
    """Texts cut and changed as the source says; empty ones are left out."""
    changes = [(re.compile(item["pattern"]), item["by"]) for item in part["replace"]]
    for text in texts:
        pieces = re.split(part["split_at"], text) if part["split_at"] else [text]
        for piece in pieces:
            piece = piece or ""  # of a group that took no part in the match
            for pattern, by in changes:
                piece = pattern.sub(lambda _, by=by: by, piece)
            if part["split_at"]:
                piece = piece.strip()
            if piece:
                yield piece


def _below_cap(
    permuted: Iterable[tuple[int, str]], part: dict[str, Any]
) -> Iterator[tuple[int, str]]:
    """Documents up to the first that would exceed a cap.

    To pass over it and go on would prefer short documents.
    """
    longest, characters = part["max_characters"], 0
    for place, text in permuted:
        characters += len(text)
        if longest and characters > longest:
            return
        yield place, text


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
        return hub_stream(descriptor)
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
