"""What a language model predicts, kept so that other predictions can be compared with it.

The divergence of spliced predictions q from the model's own p is, token by token,
KL(p || q) = sum_v p_v log p_v - sum_v p_v log q_v. With a linear head, log q_v is w_v . h minus
the logarithm of a sum that the loss of q has, too, so the second sum is g . h minus that
logarithm, where g = sum_v p_v w_v. So g [d] and the entropy of p say all of p: no pass compares
two vocabularies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from sagsae.activations.cpu_products import threads_of_torch
from sagsae.evaluation.resume import head_logits, rows_per_head, rows_per_softmax, trunk_output

# Largest difference between the logits of a head and those of its weights alone, relative to the
# largest logit, that rounding to bfloat16 explains.
ROUNDING = 2**-6
# Begins the names of their tensors in files.
PREDICTIONS = "predictions"


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """The model's own predictions p at every position of some contexts that predicts a token.

    Attributes:
        mean_row: [n, L - 1, d] float32, the mean of the head's rows w_v under p.
        entropy: [n, L - 1] float32 nats, of p.
    """

    mean_row: Tensor
    entropy: Tensor

    @property
    def tensors(self) -> dict[str, Tensor]:
        """By their names in a file of tensors."""
        return {f"{PREDICTIONS}.{name}": tensor for name, tensor in vars(self).items()}

    @classmethod
    def read(cls, tensors: Mapping[str, Tensor]) -> Self | None:
        """From a file of tensors; None where it has none."""
        begin = f"{PREDICTIONS}."
        own = {k.removeprefix(begin): x for k, x in tensors.items() if k.startswith(begin)}
        return cls(**own) if own else None

    def part(self, chosen: slice, device: torch.device | None = None) -> Self:
        """The predictions of some contexts."""
        mean_row, entropy = (x[chosen].to(device) for x in (self.mean_row, self.entropy))
        return type(self)(mean_row=mean_row, entropy=entropy)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """The predictions of all contexts, from parts of some contexts each."""
        return cls(
            mean_row=torch.cat([part.mean_row for part in parts]),
            entropy=torch.cat([part.entropy for part in parts]),
        )


def predictions_of(model: Any, input_ids: Tensor, weight: Tensor) -> Predictions | None:
    """The predictions of every token but the first of each context.

    Args:
        model: a Transformers causal language model; hooks on its modules are in force.
        input_ids: [B, L] int64, no padding.
        weight: [V, d] float32, of its head.

    Returns:
        None where the head is not linear, for instance where it caps logits.
    """
    output, found = trunk_output(model, input_ids), list[tuple[Tensor, Tensor]]()
    rows = output.last_hidden_state[:, :-1]
    for part in rows.flatten(0, 1).split(rows_per_head(model)):
        logits = head_logits(model, type(output), part)
        if not found and not _is_linear(logits, part, weight):
            return None
        pieces = logits.split(rows_per_softmax(logits))
        log_p = torch.cat([piece.float().log_softmax(-1) for piece in pieces])
        p = log_p.exp()
        # On more threads, the sum over the vocabulary has another order.
        with threads_of_torch(1):
            mean = p @ weight
        found.append((mean, -(log_p * p).sum(-1)))
    mean_row, entropy = (torch.cat(part) for part in zip(*found, strict=True))
    return Predictions(mean_row=mean_row.view(rows.shape), entropy=entropy.view(rows.shape[:2]))


def _is_linear(logits: Tensor, rows: Tensor, weight: Tensor) -> bool:
    first = rows[:8].float() @ weight.T
    difference = (logits[:8].float() - first).abs().max()
    return bool(difference <= ROUNDING * first.abs().max())


def divergences(own: Predictions, rows: Tensor, log_sums: Tensor) -> Tensor:
    """[n, L - 1] float32 nats: KL of the model's own predictions p from others q, KL(p || q).

    Args:
        own: p.
        rows: [n, L - 1, d] of ``last_hidden_state`` that q are from.
        log_sums: [n, L - 1], the logarithm of the sum of the exponentials of the logits of q.
    """
    return log_sums - (own.mean_row * rows.float()).sum(-1) - own.entropy
