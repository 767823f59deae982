"""Stage: the documents of one split become contexts of token ids for one model.

Documents are permuted by the study's seed; every k-th of them is held out, k = round(1 /
heldout_fraction). Each split is then tokenised without special tokens, joined with the end-of-text
token between documents, and cut into contexts that begin with the model's start token.

    python -m pipeline tokenise --spec JSON --asset .../asset.json --documents .../documents.json \\
        --cache cache --out results/local/tokens/<model>-<split>.json

The contexts lie in the cache, in one file for all studies whose settings differ in the number of
rows alone. A study that needs more makes the file longer; one that needs fewer reads its beginning.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.data.documents import open_documents
from pipeline.data.fetch import model_folder
from pipeline.jobs.cache import CONTEXTS, TOKENS, Entry, entry_folder, write_record
from pipeline.jobs.json_files import digest, expect_fields, read_json
from pipeline.jobs.progress import Progress, say
from pipeline.study.made_for import check_made_for
from pipeline.study.specs import TokenSpec
from sagsae.activations.language_models import load_tokenizer
from sagsae.activations.reading import contexts_per_block
from sagsae.activations.tokens import TextTooShortError, TokenStore, load_tokens, pack, save_tokens

DOCUMENTS_A_BATCH = 256
# Fields of a specification that decide how many contexts there are, and not which.
COUNTS = {"rows", "rows_per_block", "slack"}


def documents_of(
    dataset: Any, descriptor: dict[str, Any], spec: TokenSpec
) -> Iterator[tuple[int, str]]:
    """(document id, text) of one split, in permuted order, empty documents left out.

    The id is the row in documents.parquet, or for streamed text the place in the shuffled stream.
    """
    period = round(1 / spec.heldout_fraction)
    permuted: Iterable[tuple[int, str]]
    if descriptor["kind"] == "hub":
        stream = dataset.shuffle(seed=spec.seed, buffer_size=descriptor["shuffle_buffer"])
        permuted = enumerate(row["text"] for row in stream)
    else:
        rows = dataset.add_column("row", list(range(len(dataset))))
        batches = rows.shuffle(seed=spec.seed, keep_in_memory=True).iter(DOCUMENTS_A_BATCH)
        permuted = (
            pair for batch in batches for pair in zip(batch["row"], batch["text"], strict=True)
        )
    for place, (doc, text) in enumerate(permuted):
        if (place % period == 0) == (spec.split == "heldout") and text:
            yield doc, text


def tokenised(
    documents: Iterable[tuple[int, str]], tokenizer: Any, progress: Progress
) -> Iterator[tuple[int, list[int]]]:
    """(document id, token ids without special tokens), a batch of documents at a time."""
    read = tokens = 0
    documents = iter(documents)
    while batch := list(islice(documents, DOCUMENTS_A_BATCH)):
        texts = [text for _, text in batch]
        encoded = tokenizer(
            texts, add_special_tokens=False, return_attention_mask=False, verbose=False
        )
        for (doc, _), ids in zip(batch, encoded["input_ids"], strict=True):
            read, tokens = read + 1, tokens + len(ids) + 1  # and the separator
            progress.update(min(tokens, progress.total), f"{read:,} documents")
            yield doc, ids


def special_id(tokenizer: Any, which: str, use: str) -> int | None:
    """The id of the tokenizer's "bos" or "eos" token; None for "none".

    Raises:
        ValueError: the tokenizer has no such token.
    """
    if which == "none":
        return None
    token: int | None = getattr(tokenizer, f"{which}_token_id")
    if token is None:
        raise ValueError(
            f"the tokenizer has no {which} token for {use}: choose `start_token` of the model "
            "accordingly (bos, eos or none), or save its tokenizer with the token set"
        )
    return token


def contexts_wanted(spec: TokenSpec) -> int:
    """Contexts that fill the whole blocks of the split, with slack for the dump's drop rule."""
    size = spec.rows_per_block
    return spec.rows // size * contexts_per_block(size, spec.context_length, spec.slack)


def tokenise(
    spec: TokenSpec, asset: dict[str, Any], folder: Path, descriptor: dict[str, Any], dataset: Any
) -> TokenStore:
    """Tokenise and pack one split.

    Args:
        spec: ``Study.token_spec``.
        asset: content of asset.json.
        folder: the model folder, for its tokenizer.
        descriptor: content of documents.json.
        dataset: what ``open_documents`` made of it.

    Returns:
        The contexts; equal arguments give equal bytes.

    Raises:
        TextTooShortError: the split has too few tokens.
        ValueError: the tokenizer lacks a needed special token.
    """
    tokenizer = load_tokenizer(folder)
    start = special_id(tokenizer, spec.start_token, "the start of each context")
    separator = special_id(tokenizer, "eos", "the end of each document")
    wanted, length = contexts_wanted(spec), spec.context_length
    total = wanted * (length - (start is not None))
    progress = Progress(f"tokenise {spec.split}", total, "tokens", every=5.0)
    documents = documents_of(dataset, descriptor, spec)
    keys = ("name", "first_document")
    sources = [{key: part[key] for key in keys} for part in descriptor.get("sources", [])]
    try:
        return pack(
            tokenised(documents, tokenizer, progress),
            context_length=length,
            start_token_id=start,
            separator_id=separator,
            n_contexts=wanted,
            metadata={
                "family": family(spec, asset, descriptor),
                "split": spec.split,
                "tokenizer_sha256": asset["tokenizer_sha256"],
                "documents": documents_digest(descriptor),
                "vocab_size": asset["vocab_size"],
                **({"sources": sources} if sources else {}),
            },
        )
    except TextTooShortError as error:
        raise TextTooShortError(
            f"{spec.split} split: {error}. The fields are dump.{spec.split}_rows "
            f"({spec.rows}) and text.source, or the caps of text.sources; text.heldout_fraction "
            f"({spec.heldout_fraction}) divides the text between the splits"
        ) from None


def documents_digest(descriptor: dict[str, Any]) -> str:
    """What says which documents there are: their digest, or the commit of streamed ones."""
    return descriptor.get("sha256") or descriptor["resolved_revision"]


def family(spec: TokenSpec, asset: dict[str, Any], descriptor: dict[str, Any]) -> str:
    """Digest of all that determines the contexts but their number.

    Of two specifications of one family, the contexts of one are the first of the other.
    """
    of = {key: asset[key] for key in ("tokenizer_sha256", "vocab_size")}
    return digest(spec.model_dump(exclude=COUNTS) | of | {"text": documents_digest(descriptor)})


def open_tokens(record: Path) -> TokenStore:
    """The contexts that a study's record names.

    Raises:
        ValueError: record or file are damaged, or do not belong together.
    """
    content = read_json(record)
    with expect_fields(record):
        path, count = entry_folder(record, content) / CONTEXTS, content["contexts"]
        expected = content["sha256"]
    tokens = load_tokens(path).first(count)
    if tokens.digest() != expected:
        raise ValueError(f"{path}: its first {count} contexts are not those that {record} names")
    return tokens


def main(spec: TokenSpec, asset: Path, documents: Path, cache: Path, out: Path) -> None:
    """Tokenise what the cache does not have yet, and record it.

    Args:
        spec: TokenSpec as JSON
        asset: asset.json of the model
        documents: documents.json of the text
        cache: folder of the cache
        out: record to write
    """
    model, descriptor = read_json(asset), read_json(documents)
    check_made_for(asset, model, {"spec": spec.asset})
    check_made_for(documents, descriptor, {"spec": spec.documents})
    entry = Entry(cache, TOKENS, family(spec, model, descriptor))
    with entry.used(), entry.making():
        path, count = entry.folder / CONTEXTS, contexts_wanted(spec)
        tokens = load_tokens(path) if path.exists() else None
        if tokens is None or tokens.n_contexts < count:
            dataset = open_documents(descriptor, entry_folder(documents, descriptor))
            more = tokenise(spec, model, model_folder(asset), descriptor, dataset)
            if tokens is not None and tokens.digest() != more.first(tokens.n_contexts).digest():
                raise ValueError(
                    f"{path}: its {tokens.n_contexts} contexts are not the first of the {count} "
                    "that are made now, perhaps by another version of the tokenizer; delete its "
                    "folder, and run snakemake again: stores of the old contexts stay as they are"
                )
            save_tokens(path, more)
            tokens = more
        tokens = tokens.first(count)
        record = {
            "spec": digest(spec),
            "family": entry.key,
            "contexts": tokens.n_contexts,
            "documents": len(np.unique(tokens.doc_id)),
            "sha256": tokens.digest(),
        }
        write_record(out, record, entry.folder)
    say(
        f"{out}: {tokens.n_contexts:,} contexts of {tokens.context_length} from "
        f"{record['documents']:,} documents"
    )
