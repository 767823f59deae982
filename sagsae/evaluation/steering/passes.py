"""Forward passes of a language model under many interventions at once.

An intervention adds one vector to a hookpoint's activations, at kept positions. A pass runs one
context under many of them. Blocks below the hidden states of the context are skipped, see
`sagsae.evaluation.resume`; the head runs on the positions that are read alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from sagsae.activations.hookpoints import Hookpoint, splice
from sagsae.evaluation.heads import head_logits, rows_per_head, trunk_output
from sagsae.evaluation.loss_recovered import Contexts, resumed


@dataclass(frozen=True, kw_only=True)
class Steering:
    """A language model, and where and how it is steered.

    Attributes:
        model: a Transformers causal language model, in evaluation mode.
        hookpoint: whose output is changed.
        positions: kept positions of a context that are read, at most.
        tokens: tokens that each sign promotes most, how many.
        batch: interventions a forward pass, each on one context. It may change the last bits.
    """

    model: Any
    hookpoint: Hookpoint
    positions: int = 16
    tokens: int = 10
    batch: int = 16

    def logits(self, context: Contexts, added: Tensor) -> Iterator[tuple[slice, slice, Tensor]]:
        """Logits of one context under interventions, a bounded number at once.

        Args:
            context: one, on the model's device.
            added: [J, d] float32, what each intervention adds, in the activations' units.

        Yields:
            Which interventions, which of the read positions, and their logits [j, p, V] in the
            model's dtype.
        """
        read, most = read_positions(context.kept[0], self.positions), rows_per_head(self.model)
        if not len(read):
            return
        together, places = max(1, most // len(read)), min(most, len(read))
        for first in range(0, len(added), self.batch):
            output = self._pass(context, added[first : first + self.batch])
            rows = output.last_hidden_state[:, read]
            for start in range(0, len(rows), together):
                for place in range(0, len(read), places):
                    block = rows[start : start + together, place : place + places]
                    found = head_logits(self.model, type(output), block.flatten(0, 1))
                    which = slice(first + start, first + start + len(block))
                    at = slice(place, place + block.shape[1])
                    yield which, at, found.view(*block.shape[:2], -1)

    def _pass(self, context: Contexts, added: Tensor) -> Any:
        """The trunk's output [J, L, d] under J interventions."""
        kept, many = context.kept[0, :, None], len(added)

        def change(x: Tensor) -> Tensor:
            return torch.where(kept, (x.float() + added[:, None]).to(x.dtype), x)

        copies = replace(
            context,
            input_ids=context.input_ids.expand(many, -1),
            kept=context.kept.expand(many, -1),
            hidden=None if context.hidden is None else context.hidden.repeat(many, 1, 1),
        )
        with resumed(self.model, copies), splice(self.model, self.hookpoint, change):
            return trunk_output(self.model, copies.input_ids)

    def untouched(self, context: Contexts) -> Tensor:
        """[P, V] float32 logits of one context at the positions that are read."""
        nothing = torch.zeros(1, 1, device=context.input_ids.device)
        parts = [logits[0].float() for _, _, logits in self.logits(context, nothing)]
        return torch.cat(parts) if parts else torch.empty(0, 0)


def read_positions(kept: Tensor, most: int) -> Tensor:
    """Positions at the middles of ``most`` equal parts of the kept ones; all where fewer are kept.

    Args:
        kept: [L] bool.
    """
    places = kept.nonzero().flatten()
    most = min(most, len(places))
    return places[(2 * torch.arange(most, device=kept.device) + 1) * len(places) // (2 * most)]
