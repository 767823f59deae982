"""Several sources of text become one list of documents, with a record of each source.

Documents lie source after source. So the first document of each source says where any comes from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.data.model_folders import hub_errors
from pipeline.data.text_readers import hub_stream, read_texts, resolve_hub
from pipeline.data.wheels import AssetError
from pipeline.jobs.progress import say

DOWNLOAD = "{}.download"
"""Name of the file of a wheel source until all documents are written."""


def mixed_texts(mixed: dict[str, Any], folder: Path) -> tuple[list[str], list[dict[str, Any]]]:
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
    most, longest = part["max_documents"], part["max_characters"]
    characters = 0
    for count, (place, text) in enumerate(permuted, start=1):
        characters += len(text)
        if (most and count > most) or (longest and characters > longest):
            return
        yield place, text
