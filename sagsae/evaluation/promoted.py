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

from sagsae.evaluation.heads import trunk_output

TOKENS_AT_ONCE, ROWS_AT_ONCE = 2**14, 2**11
"""Part of the vocabulary, and directions, whose logits are computed together."""


@dataclass(frozen=True)
class Promoted:
    """Of n directions.

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

    hooks = [child.register_forward_hook(note) for child in model.base_model.children()]
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
        vocabulary, k = len(head), min(k, len(head))
        mean = seen @ head.float().mean(0)
        squares = torch.zeros(len(seen), dtype=torch.float64, device=head.device)
        best = [_Best(len(seen), k, head.device) for _ in range(2)]
        for start in range(0, vocabulary, TOKENS_AT_ONCE):
            part = head[start : start + TOKENS_AT_ONCE].float()
            for first in range(0, len(seen), ROWS_AT_ONCE):
                some = slice(first, first + ROWS_AT_ONCE)
                logits = seen[some] @ part.T - mean[some, None]
                squares[some] += logits.square().sum(1, dtype=torch.float64)
                best[0].offer(some, logits, start)
                best[1].offer(some, -logits, start)
        spread = (squares / vocabulary).sqrt().float().clamp_min(torch.finfo(torch.float32).tiny)
    up, down = best
    return Promoted(
        up.tokens.cpu(),
        (up.values / spread[:, None]).cpu(),
        down.tokens.cpu(),
        (-down.values / spread[:, None]).cpu(),
    )


class _Best:
    """The k largest values of each of n rows, over parts of the vocabulary."""

    def __init__(self, n: int, k: int, device: torch.device) -> None:
        self.values = torch.full((n, k), -torch.inf, device=device)
        self.tokens = torch.zeros((n, k), dtype=torch.int64, device=device)

    def offer(self, rows: slice, values: Tensor, start: int) -> None:
        """Values [n of rows, tokens] of the tokens from ``start`` on."""
        k = self.values.shape[1]
        found = values.topk(min(k, values.shape[1]), 1)
        both = torch.cat([self.values[rows], found.values], 1)
        names = torch.cat([self.tokens[rows], found.indices + start], 1)
        self.values[rows], places = both.topk(k, 1)
        self.tokens[rows] = names.gather(1, places)
