"""From texts to an activation store in one call."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from operator import index
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer

from sagsae.activations.dump import dump_activations
from sagsae.activations.hookpoints import Hookpoint, hookpoint_of
from sagsae.activations.language_models import identity_of, load_language_model, load_tokenizer
from sagsae.activations.reading import DumpSettings, contexts_per_block
from sagsae.activations.store import Store
from sagsae.activations.tokens import TokenStore, pack

CALIBRATION_CONTEXTS = 64
BLOCK, CHUNK, LEAST = 8192, 1024, 64


def dump(
    model: Any,
    texts: Iterable[str],
    hookpoints: Iterable[str] | Mapping[str, Hookpoint],
    out: str | Path,
    *,
    layer: int | None = None,
    layers: Sequence[int] = (),
    tokenizer: Any = None,
    context_length: int = 128,
    seed: int = 0,
    device: torch.device | str | None = None,
    **settings: Any,
) -> Store:
    """Record what a language model's modules give on some texts.

    The texts are joined with the end-of-text token between them and cut in contexts, each of which
    begins with the start token if the tokenizer has one. The first position of each context is left
    out. A call that was killed continues where it was; equal arguments make one store. More texts
    after the same ones add blocks to it, and fewer of them open its first blocks.

    Which model it is follows from the bytes of its parameters and buffers and from its
    configuration, see `identity_of`.

    Only whole blocks are kept, of 8192 rows, or of fewer where the texts are short. What follows
    the last one is left out, and a warning says how much that is.

    Args:
        model: A causal language model of Transformers, or the folder of one.
        texts: Documents, in their order. Empty ones are passed over.
        hookpoints: Names that `default_hookpoints` knows, such as "resid" and "mlp_in", of the
            block ``layer`` or of each of ``layers``; or `Hookpoint`s by name.
        out: Folder in which the store is made.
        layer: Index of the block, from 0.
        layers: Of several blocks, all from one pass; in the store a name then has its layer before
            it, as in "l5.resid". A token is kept at every hookpoint or at none.
        tokenizer: Of the model; by default the one that lies beside the model.
        context_length: Tokens of a context, start token included.
        seed: Of the order of rows within a block.
        device: Where to compute; by default a GPU if there is one, else the CPU. The model is given
            back where it was.
        **settings: Further fields of `DumpSettings`, such as ``max_norm_ratio`` and ``dtype``:
            "bfloat16", "float32", or "int8" for rows of half the size.

    Returns:
        The store of these texts' rows, with as many whole blocks as they fill.

    Raises:
        ValueError: too little text for one block of 64 rows, one string in place of texts, names
            without a layer, both layer and layers, a model with forward hooks, or a store in
            ``out`` that begins with these texts and goes on with others.
        StoreError: a damaged store in ``out``.
    """
    if isinstance(texts, str):
        raise ValueError("texts is one string, and would be read by characters: give [text]")
    if isinstance(layers, Integral):
        raise ValueError(f"layers is one number: give layers=[{layers}], or layer={layers}")
    numbers = sorted(map(index, layers))
    layer = layer if layer is None else index(layer)
    if settings.get("dtype") == "int8":
        settings |= {"dtype": "bfloat16", "int8": True}
    if isinstance(model, str | Path):
        model, tokenizer = load_language_model(model), tokenizer or load_tokenizer(model)
    tokenizer = tokenizer or AutoTokenizer.from_pretrained(model.name_or_path)
    points = _hookpoints(model, hookpoints, layer, numbers)
    tokens = _contexts(tokenizer, texts, index(context_length))
    slack = settings.get("slack", DumpSettings.slack)
    block = BLOCK
    while block > LEAST and contexts_per_block(block, context_length, slack) > tokens.n_contexts:
        block //= 2
    per_block = contexts_per_block(block, context_length, slack)
    n_blocks = max(1, tokens.n_contexts // per_block)
    if (left := tokens.n_contexts - n_blocks * per_block) > 0:
        warnings.warn(
            f"{left} of {tokens.n_contexts} contexts of {context_length} tokens are left out: they "
            f"fill no block of {block} rows, which takes {per_block} contexts",
            stacklevel=2,
        )
    name = Path(model.name_or_path).name or model.config.model_type
    given = DumpSettings(
        rows_per_chunk=min(CHUNK, block),
        rows_per_block=block,
        n_blocks=n_blocks,
        seed=index(seed),
        provenance={"model": name, "weights": identity_of(model)}
        | ({"layers": numbers} if numbers else {"layer": layer}),
        **settings,
    )
    home, training = next(model.parameters()).device, model.training
    try:
        where = dump_activations(
            model,
            tokens,
            torch.from_numpy(tokens.input_ids[:CALIBRATION_CONTEXTS]),
            points,
            Path(out),
            name,
            given,
            device=device or ("cuda" if torch.cuda.is_available() else "cpu"),
        )
    finally:
        model.to(home).train(training)
    return Store.open(where, rows=n_blocks * block)


def _hookpoints(
    model: Any,
    hookpoints: Iterable[str] | Mapping[str, Hookpoint],
    layer: int | None,
    layers: Sequence[int],
) -> dict[str, Hookpoint]:
    if layers and (layer is not None or isinstance(hookpoints, Mapping)):
        raise ValueError("layers is of hookpoints by their names, and stands in the place of layer")
    if isinstance(hookpoints, Mapping):
        return dict(hookpoints)
    prefixes = {f"l{number}.": number for number in layers}
    if layer is not None:
        prefixes[""] = layer
    if not prefixes:
        raise ValueError("of which block are the hookpoints? Give dump(..., layer=...)")
    names = [hookpoints] if isinstance(hookpoints, str) else list(hookpoints)
    return {
        prefix + name: hookpoint_of(model, prefix + name, number)
        for prefix, number in prefixes.items()
        for name in names
    }


def _contexts(tokenizer: Any, texts: Iterable[str], length: int) -> TokenStore:
    """All whole contexts of the texts."""
    documents = [
        tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"] for text in texts
    ]
    start, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    total = sum(len(document) + (end is not None) for document in documents if document)
    count = max(1, total // (length - (start is not None)))
    return pack(enumerate(documents), length, start, end, count)
