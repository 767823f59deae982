"""Where in the text the rows of a store are from: the context of each, and its position there.

A store keeps document and position of a row. A document may go on in the next context, so they do
not name the context. The order of the rows in a block does: it is a permutation by the store's seed
of the order in which the model read them, and the commit says which contexts those were.
"""

from __future__ import annotations

import numpy as np

from sagsae.activations.store import Store
from sagsae.activations.tokens import TokenStore


def places_of_rows(store: Store, tokens: TokenStore, block: int) -> np.ndarray:
    """``context * L + position`` of each row of a block, [S] int64, in stored order.

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
