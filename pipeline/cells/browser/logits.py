"""Direct logit attribution of latents: decoder rows times the unembedding, as raw numbers.

The gain of the final norm is part of the unembedding, and a norm that subtracts the mean does so
here. Its division by the size of the residual stream is left out, since that differs from token to
token.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from sagsae.evaluation.steering.promoted import Promoted, final_norm

# Numbers that are held together: latents times tokens times width of the model.
NUMBERS_AT_ONCE = 2**26


def with_raw_logits(promoted: Promoted, model: Any, rows: Tensor) -> Promoted:
    """The same tokens, with logits per unit of activation instead of standard scores.

    Args:
        promoted: tokens that the rows promote.
        model: a Transformers causal language model.
        rows: [n, d] decoder rows.
    """
    head = model.get_output_embeddings().weight
    with torch.inference_mode():
        seen = unnormalised(final_norm(model), rows.detach().to(head.device), head.dtype)
        up, down = (_logits(seen, head, ids) for ids in (promoted.up, promoted.down))
    return replace(promoted, up_scores=up, down_scores=down)


def unnormalised(norm: nn.Module, rows: Tensor, dtype: torch.dtype) -> Tensor:
    """[n, d] rows after a norm with its gain, and without its bias and its division.

    Args:
        norm: a LayerNorm or RMSNorm of any make, or an identity.
        rows: [n, d] directions.
        dtype: arithmetic of the norm.
    """

    def odd(v: Tensor) -> Tensor:
        v = v.to(dtype)
        return (norm(v).float() - norm(-v).float()) / 2

    rows = rows.float()
    if isinstance(norm, nn.Identity):
        return rows
    if not odd(torch.ones_like(rows[:1])).any():  # a LayerNorm makes zeros of what is constant
        rows = rows - rows.mean(1, keepdim=True)
    size = rows.square().mean(1, keepdim=True).sqrt()
    return odd(rows / size.clamp_min(torch.finfo(torch.float32).tiny)) * size


def _logits(seen: Tensor, head: Tensor, ids: Tensor) -> Tensor:
    parts = max(1, NUMBERS_AT_ONCE // (ids.shape[1] * seen.shape[1]))
    logits = [
        torch.einsum("nd,nkd->nk", some, head[tokens.to(head.device)].float())
        for some, tokens in zip(seen.split(parts), ids.split(parts), strict=True)
    ]
    return torch.cat(logits).cpu()
