"""Tiny random models of six architectures, and an autoencoder whose code is known."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from sagsae.activations.hookpoints import default_hookpoints
from sagsae.autoencoders.base import Autoencoder
from sagsae.evaluation.loss_recovered import Contexts, all_losses, spliced_losses, sum_counted
from sagsae.evaluation.resume import find_blocks, record_entry

VOCABULARY, LAYERS, HIDDEN, LENGTH = 97, 4, 32, 16
LAYER = 2
"""The block whose activations are replaced where no other is named."""
HOOKPOINTS = ["mlp_out", "attn", "resid"]

_COMMON = {
    "vocab_size": VOCABULARY,
    "hidden_size": HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,  # large, so that every module matters to the loss
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 0,
}
_GEMMA: dict[str, Any] = {
    "num_key_value_heads": 2,
    "head_dim": 8,
    "query_pre_attn_scalar": 8,
    "sliding_window": 5,
    "layer_types": ["sliding_attention", "full_attention"] * 2,
    "final_logit_softcapping": 3.0,
}
_OWN: dict[str, dict[str, Any]] = {
    "gpt2": {"n_inner": 64},
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": HIDDEN},
    "gpt_neox": {"use_parallel_residual": True},
    "smollm3": {"num_key_value_heads": 2},
    "llama": {"num_key_value_heads": 2},
    "gemma3_text": _GEMMA,
}
ARCHITECTURES = list(_OWN)
_OWN["gemma2"] = _GEMMA


def tiny_model(architecture: str, dtype: torch.dtype = torch.float32) -> Any:
    """A seeded random causal language model of 4 blocks."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(architecture, **{**_COMMON, **_OWN[architecture]})
    return AutoModelForCausalLM.from_config(config, dtype=dtype).eval()


class FakeAutoencoder:
    """Soft-thresholds each coordinate of `x R`, R orthogonal: signed codes, shrunk and sparse.

    Latents beyond the first d never fire.
    """

    threshold, target = 0.5, None
    sides_of, predict, out_scale = Autoencoder.sides_of, Autoencoder.predict, Autoencoder.out_scale

    def __init__(self, d: int, width: int, scale: float) -> None:
        self.d, self.width, self.scale = d, width, scale
        generator = torch.Generator().manual_seed(3)
        self.rotation = torch.linalg.qr(torch.randn(d, d, generator=generator))[0]
        rows = torch.nn.functional.pad(self.rotation.T, (0, 0, 0, max(0, width - d)))
        self.W_dec = rows

    def code(self, x: Tensor) -> Tensor:
        u = x @ self.rotation
        z = u.sign() * (u.abs() - self.threshold).clamp_min(0)
        return torch.nn.functional.pad(z, (0, self.width - self.d))

    def reconstruct(self, z: Tensor) -> Tensor:
        return z[:, : self.d] @ self.rotation.T


def summed_loss(model, contexts, batch, point, replacement=None, *progress):
    """The loss that counts, with activations replaced; without a replacement the model's own."""
    if replacement is None:
        return sum_counted(all_losses(model, contexts, batch), contexts)
    found = spliced_losses(model, contexts, batch, point, replacement, *progress)
    return sum_counted(found.loss, contexts)


def point_of(model, name="resid", layer=LAYER):
    points = default_hookpoints(model.config.model_type, layer)
    if name not in points:
        pytest.skip("the MLP of OPT is no module of its own")
    return points[name]


def contexts_of(model, input_ids, kept, layer=LAYER) -> Contexts:
    """With the hidden states that enter the tapped block, from a full pass."""
    blocks = find_blocks(model)
    with record_entry(model, blocks, layer) as entered, torch.no_grad():
        model(input_ids=input_ids, use_cache=False)
    return Contexts(input_ids=input_ids, kept=kept, hidden=entered[0], blocks=blocks, layer=layer)


@contextmanager
def replaced_output(model, name, value_of, kept):
    """An independent splice: a plain hook that loops over the kept positions."""

    def hook(module, inputs, output):
        x = (output[0] if isinstance(output, tuple) else output).clone()
        for b, t in kept.nonzero().tolist():
            x[b, t] = value_of(x[b, t])
        return (x, *output[1:]) if isinstance(output, tuple) else x

    handle = model.get_submodule(point_of(model, name).module).register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
