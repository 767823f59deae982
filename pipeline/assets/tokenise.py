"""Stage: the documents of one split become contexts of token ids for one model.

Documents are permuted by the study's seed; every k-th of them is held out, k = round(1 /
heldout_fraction). Each split is then tokenised without special tokens, joined with the end-of-text
token between documents, and cut into contexts that begin with the model's start token.

    python -m pipeline tokenise --spec JSON --asset .../asset.json --documents .../documents.json \\
        --out results/local/tokens/<model>-<split>.safetensors
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.assets.documents import open_documents
from pipeline.assets.fetch import model_folder
from pipeline.assets.mixture import token_shares
from pipeline.config.specs import TokenSpec
from pipeline.jobs.json_files import digest, read_json
from pipeline.jobs.progress import Progress, say
from pipeline.jobs.stage import locked
from sagsae.activations.dump import contexts_per_block
from sagsae.activations.tokens import TokenStore, pack, save_tokens
from sagsae.language_models import load_tokenizer
from sagsae.memory import needs_memory

DOCUMENTS_A_BATCH = 256


class TextTooShortError(ValueError):
    """A split has fewer tokens than the study asks for; the message gives both numbers."""


def heldout_period(heldout_fraction: float) -> int:
    """k, where every k-th permuted document is held out.

    Raises:
        ValueError: the fraction would hold out every document.
    """
    period = round(1 / heldout_fraction)
    if period < 2:
        raise ValueError(
            f"text.heldout_fraction {heldout_fraction} holds out every document; use at most 0.5"
        )
    return period


def documents_of(
    dataset: Any, descriptor: dict[str, Any], spec: TokenSpec
) -> Iterator[tuple[int, str]]:
    """(document id, text) of one split, in permuted order, empty documents left out.

    The id is the row in documents.parquet, or for streamed text the place in the shuffled stream.
    """
    period = heldout_period(spec.heldout_fraction)
    permuted: Iterable[tuple[int, str]]
    if descriptor["kind"] == "hub":
        stream = dataset.shuffle(seed=spec.seed, buffer_size=descriptor["shuffle_buffer"])
        permuted = enumerate(row["text"] for row in stream)
    else:
        rows = dataset.add_column("row", list(range(len(dataset))))
        shuffled = rows.shuffle(seed=spec.seed, keep_in_memory=True)
        batches = shuffled.iter(DOCUMENTS_A_BATCH)
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
    found = getattr(tokenizer, f"{which}_token_id")
    if found is None:
        have = [
            name for name in ("bos", "eos") if getattr(tokenizer, f"{name}_token_id") is not None
        ]
        raise ValueError(
            f"the tokenizer has no {which} token for {use}; it has {', '.join(have) or 'neither'}: "
            "choose `start_token` of the model accordingly (bos, eos or none), or save its "
            "tokenizer with the token set"
        )
    return found


def contexts_wanted(spec: TokenSpec) -> int:
    """Contexts that fill the whole blocks of the split, with slack for the dump's drop rule."""
    size = spec.rows_per_block
    return spec.rows // size * contexts_per_block(size, spec.context_length, spec.slack)


@needs_memory("the tokens of a split")
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
    try:
        tokens = pack(
            tokenised(documents, tokenizer, progress),
            context_length=length,
            start_token_id=start,
            separator_id=separator,
            n_contexts=wanted,
            metadata={
                "spec": digest(spec),
                "split": spec.split,
                "tokenizer_sha256": asset["tokenizer_sha256"],
                "documents": descriptor.get("sha256") or descriptor["resolved_revision"],
                "vocab_size": asset["vocab_size"],
            },
        )
    except ValueError as error:
        if "the text has" not in str(error):
            raise
        raise TextTooShortError(
            f"{spec.split} split: {error}. The fields are dump.{spec.split}_rows "
            f"({spec.rows}) and text.source, or the caps of text.sources; text.heldout_fraction "
            f"({spec.heldout_fraction}) divides the text between the splits"
        ) from None
    if sources := descriptor.get("sources"):
        lengths = np.array([len(text) for text in dataset["text"]])
        shares = token_shares(sources, tokens.doc_id[:, int(start is not None) :], lengths)
        say(f"{spec.split}: " + ", ".join(f"{s['name']} {s['share']:.1%}" for s in shares))
        tokens = replace(tokens, metadata=tokens.metadata | {"sources": shares})
    return tokens


def main(spec: TokenSpec, asset: Path, documents: Path, out: Path) -> None:
    """Tokenise, and write the token store.

    Args:
        spec: TokenSpec as JSON
        asset: asset.json of the model
        documents: documents.json of the text
        out: token store to write
    """
    found, descriptor = read_json(asset), read_json(documents)
    for path, made, wanted in (
        (asset, found["spec"], spec.asset),
        (documents, descriptor["spec"], spec.documents),
    ):
        if made != wanted:
            raise ValueError(
                f"{path}: made for another configuration ({made}, not {wanted}); delete it and run "
                "snakemake again"
            )
    with locked(out.parent, out.stem):
        dataset = open_documents(descriptor, documents.parent)
        tokens = tokenise(spec, found, model_folder(asset), descriptor, dataset)
        save_tokens(out, tokens)
    say(
        f"{out}: {tokens.n_contexts:,} contexts of {tokens.context_length} from "
        f"{len(np.unique(tokens.doc_id)):,} documents"
    )
