"""Which tokens a direction promotes and suppresses: what the model's own head makes of it alone.

The direction goes through the final norm and the unembedding, as if nothing came between. Of the
norm the odd part is taken, (norm(v) - norm(-v)) / 2, in which a bias cancels. Logits are given as
standard scores over the vocabulary, since the size at which a direction arrives there is unknown.
This is the logit lens (nostalgebraist 2020) on directions; the standard scores are this project's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sagsae.evaluation.resume import trunk_output

# Logits that are held together: directions times the vocabulary.
LOGITS_AT_ONCE = 2**26
TINY = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class Promoted:
    """What n directions promote and suppress.

    Attributes:
        up: [n, k] int64, tokens whose logits rise most, the first most.
        up_scores: [n, k] float32, their standard scores over the vocabulary.
        down: [n, k] int64, tokens whose logits fall most, the first most.
        down_scores: [n, k] float32.
    """

    up: Tensor
    up_scores: Tensor
    down: Tensor
    down_scores: Tensor


def final_norm(model: Any) -> nn.Module:
    """What a causal language model of Transformers applies last before its head.

    Found by running one token: the child of the trunk whose output is the trunk's. An identity
    where there is none.
    """
    found: list[tuple[nn.Module, Tensor]] = []

    def note(module: nn.Module, args: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            found.append((module, output))

    hooks = [child.register_forward_hook(note) for child in model.get_decoder().children()]
    try:
        with torch.inference_mode():
            ids = torch.zeros(1, 1, dtype=torch.long, device=next(model.parameters()).device)
            last = trunk_output(model, ids).last_hidden_state
    finally:
        for hook in hooks:
            hook.remove()
    for module, output in reversed(found):
        if output.shape == last.shape and torch.equal(output, last):
            return module
    return nn.Identity()


def promoted_tokens(model: Any, rows: Tensor, k: int) -> Promoted:
    """Tokens that each of some directions promotes and suppresses.

    Args:
        model: a Transformers causal language model.
        rows: [n, d] directions of the residual stream.
        k: how many tokens of each; all where the vocabulary has fewer.
    """
    head = model.get_output_embeddings().weight
    with torch.inference_mode():
        v, norm = rows.detach().to(head.device, head.dtype), final_norm(model)
        seen = ((norm(v).float() - norm(-v).float()) / 2).to(head.device)
        unembedding, k = head.float().T, min(k, len(head))
        parts = []
        for some in seen.split(max(1, LOGITS_AT_ONCE // len(head))):
            logits = some @ unembedding
            spread = logits.std(1, correction=0, keepdim=True)
            scores = (logits - logits.mean(1, keepdim=True)) / spread.clamp_min(TINY)
            up, down = scores.topk(k), (-scores).topk(k)
            parts.append((up.indices, up.values, down.indices, -down.values))
    return Promoted(*(torch.cat(column).cpu() for column in zip(*parts, strict=True)))
