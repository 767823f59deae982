"""Text as fixed-length contexts of token ids, in one safetensors file that checks itself."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from sagsae.activations.store import Store
from sagsae.files import canonical_json, digest, write_atomic

# What reading a damaged file may raise.
_BAD = (SafetensorError, KeyError, TypeError, AttributeError, ValueError, OSError, RecursionError)

# Its value is a sha256 and JSON, in one string: safetensors keeps several keys in any order.
_METADATA_KEY = "sagsae_tokens"


class TextTooShortError(ValueError):
    """A text has fewer tokens than were asked for; the message gives both numbers."""


@dataclass(frozen=True)
class TokenStore:
    """Packed contexts.

    Attributes:
        input_ids: [n_contexts, L] int32 token ids.
        doc_id: [n_contexts, L] int32, the document each token came from. A separator belongs to
            the document before it, a start token to the document after it.
        metadata: JSON values; `vocab_size`, when given, bounds the ids.
    """

    input_ids: np.ndarray
    doc_id: np.ndarray
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("input_ids", "doc_id"):
            value = getattr(self, name)
            if value.dtype != np.int32 or value.ndim != 2:
                raise ValueError(
                    f"{name} is {value.dtype} {value.shape}, not int32 [n_contexts, L]"
                )
            if value.size and value.min() < 0:
                raise ValueError(f"{name} holds {value.min()}; ids must not be negative")
        if self.input_ids.shape != self.doc_id.shape:
            shapes = f"input_ids {self.input_ids.shape}, doc_id {self.doc_id.shape}"
            raise ValueError(f"the shapes must be equal: {shapes}")
        vocab_size = self.metadata.get("vocab_size")
        if vocab_size is not None and self.input_ids.size and self.input_ids.max() >= vocab_size:
            raise ValueError(
                f"input_ids holds {self.input_ids.max()} but the vocabulary has {vocab_size} "
                "entries; tokenizer and vocab_size do not belong together"
            )

    @property
    def n_contexts(self) -> int:
        """How many contexts there are."""
        return len(self.input_ids)

    @property
    def context_length(self) -> int:
        """Tokens per context, L."""
        return int(self.input_ids.shape[1])

    def first(self, n_contexts: int) -> Self:
        """The first contexts, as a store of their own; no copy.

        Raises:
            ValueError: there are fewer.
        """
        if n_contexts > self.n_contexts:
            raise ValueError(f"there are {self.n_contexts} contexts, {n_contexts} were asked for")
        return replace(self, input_ids=self.input_ids[:n_contexts], doc_id=self.doc_id[:n_contexts])

    def digest(self, contexts: slice = slice(None)) -> str:
        """sha256 of some contexts' ids and documents and their shape: equal digests, equal dumps.

        Args:
            contexts: which; all without it.
        """
        ids, docs = self.input_ids[contexts], self.doc_id[contexts]
        return digest(canonical_json(list(ids.shape)) + ids.tobytes() + docs.tobytes())


def pack(
    documents: Iterable[tuple[int, list[int]]],
    context_length: int,
    start_token_id: int | None,
    separator_id: int | None,
    n_contexts: int,
    metadata: dict[str, Any] | None = None,
) -> TokenStore:
    """Concatenate documents and cut them in windows of `context_length` tokens.

    Every document is followed by `separator_id`; every window begins with `start_token_id` and
    continues the text where the last window ended, so no text token is lost or repeated. `None`
    leaves the separator or the start token out. Documents without tokens are skipped, and
    documents beyond the last window are not read.

    Args:
        documents: (document id, token ids without special tokens), read lazily and in order.
        context_length: L, start token included.
        start_token_id: first token of every window.
        separator_id: token between documents.
        n_contexts: how many windows to make.
        metadata: stored beside the packing parameters; `vocab_size` is checked.

    Returns:
        A store of `n_contexts` windows.

    Raises:
        TextTooShortError: the text is too short.
        ValueError: an id is out of range.
    """
    prefix = 0 if start_token_id is None else 1
    per_window = context_length - prefix
    if per_window < 1 or n_contexts < 1:
        raise ValueError(
            f"context_length {context_length} leaves {per_window} text tokens a context and "
            f"n_contexts is {n_contexts}; both must be at least 1"
        )
    wanted = n_contexts * per_window
    ids, docs, filled = np.empty(wanted, np.int32), np.empty(wanted, np.int32), 0
    end = [] if separator_id is None else [separator_id]
    for doc, tokens in documents:
        piece = [*tokens, *end][: wanted - filled] if len(tokens) else []
        ids[filled : filled + len(piece)] = piece
        docs[filled : filled + len(piece)] = doc
        filled += len(piece)
        if filled == wanted:
            break
    if filled < wanted:
        raise TextTooShortError(
            f"the text has {filled} tokens, enough for {filled // per_window} contexts of "
            f"{per_window} text tokens, but {n_contexts} contexts ({wanted} tokens) were asked "
            "for; ask for fewer contexts or give more text"
        )
    shape = (n_contexts, context_length)
    input_ids, doc_id = np.empty(shape, np.int32), np.empty(shape, np.int32)
    input_ids[:, prefix:] = ids.reshape(n_contexts, per_window)
    doc_id[:, prefix:] = docs.reshape(n_contexts, per_window)
    if start_token_id is not None:
        input_ids[:, 0] = start_token_id
        doc_id[:, 0] = doc_id[:, 1]
    packing = {"start_token_id": start_token_id, "separator_id": separator_id}
    return TokenStore(input_ids, doc_id, {**(metadata or {}), **packing})


def save_tokens(path: Path, tokens: TokenStore) -> None:
    """Write the store to `path`, atomically; equal stores give equal bytes.

    The file carries the sha256 of its content: safetensors notices a torn file but not an altered
    one.
    """
    arrays = {"input_ids": tokens.input_ids, "doc_id": tokens.doc_id}
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    metadata = json.dumps(tokens.metadata, sort_keys=True, allow_nan=False)
    signed = f"{_content_digest(tokens, metadata)} {metadata}"
    write_atomic(path, save(arrays, metadata={_METADATA_KEY: signed}))


def load_tokens(path: Path) -> TokenStore:
    """Read and check a token store.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, is no token store, or its ids are out of range.
    """
    if not path.exists():
        raise FileNotFoundError(f"no token store at {path}; make it with pack and save_tokens")
    try:
        with safe_open(path, "numpy") as file:
            recorded, _, metadata = (file.metadata() or {})[_METADATA_KEY].partition(" ")
            arrays = file.get_tensor("input_ids"), file.get_tensor("doc_id")
            tokens = TokenStore(*arrays, json.loads(metadata))
        if recorded != _content_digest(tokens, metadata):
            raise ValueError("its content does not have the sha256 it was written with")
        return tokens
    except _BAD as error:
        raise ValueError(f"{path} is not a usable token store: {error}; make it again") from error


def _content_digest(tokens: TokenStore, metadata: str) -> str:
    return digest(f"{tokens.digest()} {metadata}".encode())


def places_of_rows(store: Store, tokens: TokenStore, block: int) -> np.ndarray:
    """``context * L + position`` of each row of a block, [S] int64, in stored order.

    A document may go on in the next context, so document and position do not name the context. The
    order of the rows does: it is a permutation by the store's seed of the order in which the model
    read them, and the commit says which contexts those were.

    Args:
        store: filled from ``tokens`` by `sagsae.activations.dump`.
        tokens: all its contexts.
        block: a committed block.

    Raises:
        ValueError: the rows are not of these contexts.
    """
    rows, size = store.read_tokens(block), store.config.rows_per_block
    order = np.random.default_rng([store.config.seed, block]).permutation(size)
    as_read = {name: np.empty(size, np.int32) for name in rows}
    for name, values in rows.items():
        as_read[name][order] = values
    first = store.commits[block].cursor.get("first_context")
    if not isinstance(first, int):
        raise ValueError(f"{store.storage}: block {block} does not say which contexts it holds")
    position = as_read["position"]  # falls where the next context begins
    context = first + np.concatenate([[0], np.cumsum(np.diff(position) <= 0)])
    places = context * tokens.context_length + position
    if places.max() >= tokens.input_ids.size or not (
        np.array_equal(tokens.input_ids.ravel()[places], as_read["token_id"])
        and np.array_equal(tokens.doc_id.ravel()[places], as_read["doc_id"])
    ):
        raise ValueError(
            f"{store.storage}: the rows of block {block} are not those of the contexts from "
            f"{first} on: store and tokens do not belong together; open those of one dump"
        )
    return places[order]
