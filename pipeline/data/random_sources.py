"""Random words, and a tiny random language model with a tokenizer of such words; for tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

SYLLABLES = [c + v for c in "bdfgklmnprstvz" for v in "aeiou"]
# Of the lexicon, of documents and of weights.
SEED = 0
# Distinct words.
VOCABULARY = 800


def random_documents(documents: int, words: int) -> Iterator[str]:
    """Documents of random words; the k-th word of the lexicon has frequency 1/k.

    Args:
        documents: how many.
        words: mean number of words per document (Poisson, at least one).
    """
    lexicon = np.array(_lexicon())
    frequency = 1 / np.arange(1, VOCABULARY + 1)
    frequency /= frequency.sum()
    rng = np.random.default_rng(SEED)
    for _ in range(documents):
        length = max(1, rng.poisson(words))
        yield " ".join(rng.choice(lexicon, size=length, p=frequency))


def _lexicon() -> list[str]:
    rng = np.random.default_rng(SEED)
    words: dict[str, None] = {}
    while len(words) < VOCABULARY:
        words["".join(rng.choice(SYLLABLES, size=rng.integers(1, 5)))] = None
    return list(words)


def random_tokenizer() -> Any:
    """A byte-level BPE of about a thousand tokens with <bos> and <eos>, trained on random words."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1024,
        special_tokens=["<bos>", "<eos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(random_documents(documents=200, words=100), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<bos>", eos_token="<eos>")


def save_random_model(source: dict[str, Any], folder: Path) -> None:
    """Save a seeded random model and its tokenizer.

    Args:
        source: dump of a ``RandomModel``.
        folder: existing folder to save into.

    Raises:
        ValueError: a parameter that the architecture does not have.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    architecture, parameters = source["architecture"], source["parameters"]
    known = AutoConfig.for_model(architecture)
    unknown = [name for name in parameters if not hasattr(known, name) or name == "vocab_size"]
    if unknown:
        raise ValueError(
            f"parameters: {architecture} has no {', '.join(unknown)} to set (vocab_size comes from "
            "the tokenizer); see its Transformers configuration class"
        )
    tokenizer = random_tokenizer()
    special = {
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.eos_token_id,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        config = AutoConfig.for_model(architecture, **parameters, **special)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
