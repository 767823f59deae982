"""Worker: where circuit-tracer's hooks lie, by its own tables and in blocks of TransformerLens.

    python circuit_tracer_hooks.py HOOK...

Prints JSON: ``paths``, class of a model of Transformers -> hook -> [module, "input" or "output"];
``blocks``, whether a block normalises what its MLP gives -> hook -> its norm, and ``added``, the
norm of what the MLP adds to the stream.
"""

from __future__ import annotations

import json
import sys

import huggingface_hub.constants
import torch
from transformer_lens import HookedTransformer, HookedTransformerConfig

# Gone from the hub's client, and read by circuit-tracer where it downloads.
huggingface_hub.constants.HF_HUB_ENABLE_HF_TRANSFER = False

from circuit_tracer.replacement_model.replacement_model_transformerlens import (  # noqa: E402
    ReplacementMLP,
)
from circuit_tracer.utils import tl_nnsight_mapping as tables  # noqa: E402


def norms(normalises: bool, hooks: list[str]) -> dict[str, float]:
    config = HookedTransformerConfig(
        n_layers=1,
        d_model=32,
        n_ctx=16,
        d_head=8,
        d_mlp=64,
        d_vocab=97,
        act_fn="gelu",
        normalization_type="RMS",
        use_normalization_before_and_after=normalises,
        seed=0,
        initializer_range=0.2,
    )
    model = HookedTransformer(config)
    model.blocks[0].mlp = ReplacementMLP(model.blocks[0].mlp)
    model.setup()
    with torch.no_grad():
        _, cache = model.run_with_cache(torch.arange(12)[None])
    found = {hook: cache[f"blocks.0.{hook}"] for hook in hooks}
    found["added"] = cache["blocks.0.hook_resid_post"] - cache["blocks.0.hook_resid_mid"]
    return {name: float(x.norm()) for name, x in found.items()}


def main(*hooks: str) -> None:
    known = tables.get_supported_architectures()
    paths = {name: tables.get_mapping(name).feature_hook_mapping for name in known}
    blocks = {str(after): norms(after, list(hooks)) for after in (False, True)}
    print(json.dumps({"paths": paths, "blocks": blocks}))


if __name__ == "__main__":
    main(*sys.argv[1:])
