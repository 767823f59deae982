"""Tokens as text, and the numbers that scripts have in the place of token ids."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.cells.browser.scripts import column, write_script
from sagsae.activations.tokens import TokenStore

CONTEXTS_PER_FILE = 512


class Vocabulary:
    """The tokens that a cell's pages need, in ascending order of their ids.

    Args:
        ids: [n] token ids, ascending.
    """

    def __init__(self, ids: np.ndarray) -> None:
        self.ids = ids

    def numbers(self, ids: np.ndarray) -> np.ndarray:
        """Places of token ids among those of the vocabulary, in the same shape."""
        return np.searchsorted(self.ids, ids)

    def write(self, folder: Path, texts: list[str]) -> int:
        """Write the texts; bytes written."""
        return write_script(folder, "vocabulary", texts)

    def write_contexts(self, folder: Path, tokens: TokenStore, contexts: np.ndarray) -> int:
        """Write the tokens of some contexts, in files of `CONTEXTS_PER_FILE`; bytes written.

        A file has all of its contexts up to the last that is wanted.
        """
        size = 0
        for file in np.unique(contexts // CONTEXTS_PER_FILE):
            first, last = file * CONTEXTS_PER_FILE, (file + 1) * CONTEXTS_PER_FILE
            last = contexts[contexts < last].max() + 1
            wanted = np.isin(np.arange(first, last), contexts)
            ids = np.where(wanted[:, None], tokens.input_ids[first:last], self.ids[0])
            value = {
                "first": int(first),
                "length": tokens.context_length,
                "tokens": column(self.numbers(ids)),
            }
            size += write_script(folder, f"contexts-{file}", value)
        return size
