"""Worker: what SAELens's own store of cached activations reads of a dataset.

    python rows_saelens.py FOLDER HOOK_NAME CONTEXT_SIZE WIDTH OUT.safetensors

Writes ``x`` [rows, d] and ``tokens`` [rows], all rows in the order of the dataset, and ``batch``
[32, d], the first mixed batch that a training would get.
"""

from __future__ import annotations

import sys

import torch
from sae_lens.training.activations_store import ActivationsStore
from safetensors.torch import save_file


def main(folder: str, hook_name: str, context_size: str, width: str, out: str) -> None:
    def opened(prompts: int) -> ActivationsStore:
        return ActivationsStore(
            model=None,
            dataset=None,
            streaming=False,
            hook_name=hook_name,
            hook_head_index=None,
            context_size=int(context_size),
            d_in=int(width),
            n_batches_in_buffer=4,
            total_training_tokens=10_000,
            store_batch_size_prompts=prompts,
            train_batch_size_tokens=32,
            prepend_bos=False,
            normalize_activations="none",
            device=torch.device("cpu"),
            dtype="float32",
            cached_activations_path=folder,
        )

    store, x, tokens = opened(2), [], []
    while True:
        try:
            rows, ids = store.get_raw_llm_batch(raise_on_epoch_end=True)
        except StopIteration:
            break
        x.append(rows)
        tokens.append(ids)
    batch = next(opened(1)).contiguous()
    found = {"x": torch.cat(x), "tokens": torch.cat(tokens).long(), "batch": batch}
    save_file(found, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
