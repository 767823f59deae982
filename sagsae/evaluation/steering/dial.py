"""Steering a language model along directions, and what that does to its next-token distribution.

At a hookpoint, ``size * direction`` is added to the activations at kept positions. Measured are

- the divergence KL(without || with) of the next-token distributions, and
- the logit difference between the tokens that positive sizes promote most and those that negative
  sizes promote most, as its change from the model left alone.

Which tokens these are is found at the extreme sizes on the first half of the contexts. Both
measures are taken on the second half, so nothing is measured where it was chosen. Means are over
the positions that are read: a few kept positions of each context, evenly spread.

Definition: this project's, after the words of arXiv 2605.28149 v2.

An intervention adds one vector to a hookpoint's activations, at kept positions. A pass runs one
context under many of them. Blocks below the hidden states of the context are skipped, see
`sagsae.evaluation.resume`; the head runs on the positions that are read alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from sagsae.activations.hookpoints import Hookpoint, splice
from sagsae.evaluation.loss_recovered import Contexts, check_reachable, resumed
from sagsae.evaluation.resume import head_logits, rows_per_head, rows_per_softmax, trunk_output
from sagsae.evaluation.steering.directions import Arms


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


@dataclass(frozen=True, kw_only=True)
class Curves:
    """The effect of n directions at m sizes.

    Attributes:
        sizes: [m] float64, ascending, symmetric about 0, which is in the middle.
        kl: [n, m] float64, nats, mean over positions; 0 at size 0.
        effect: [n, m] float64, change of the logit difference, nats, mean over positions; 0 at
            size 0.
        effect_se: [n, m] float64, its standard error over the measured contexts; 0 at size 0, NaN
            elsewhere with one context.
        promoted: [n, 2, k] int64, the tokens that positive and that negative sizes promote most.
        contexts: contexts that were measured.
        positions: positions that were read in them.
    """

    sizes: Tensor
    kl: Tensor
    effect: Tensor
    effect_se: Tensor
    promoted: Tensor
    contexts: int
    positions: int


def interventions(contexts: int, directions: int, sizes: int) -> int:
    """How many interventions, each on one context, `steer` makes."""
    half = contexts // 2
    return 2 * directions * (half + sizes * (contexts - half))


def steer(
    steering: Steering,
    contexts: Contexts,
    arms: Arms,
    sizes: Sequence[float],
    progress: Callable[[int], None] = lambda done: None,
) -> Curves:
    """Measure the effect of directions.

    Args:
        steering: the model, and where and how it is steered.
        contexts: the first half chooses tokens, the rest is measured.
        arms: n directions.
        sizes: amounts above 0 that are added to either side, ascending, in the activations' units.
        progress: called with the number of interventions done, each on one context; there are
            `interventions` of them.

    Raises:
        ValueError: fewer than two contexts, sizes that do not ascend from above 0, no kept position
            in a half, or a hookpoint in a skipped block.
    """
    amounts = torch.tensor(list(sizes), dtype=torch.float64)
    if len(contexts.input_ids) < 2:
        raise ValueError("one context: half of them choose the tokens, so two are needed at least")
    if not len(amounts) or float(amounts[0]) <= 0 or not bool((amounts.diff() > 0).all()):
        raise ValueError(f"sizes {list(sizes)}: they must ascend, from above 0")
    check_reachable(contexts, steering.hookpoint)
    device = next(steering.model.parameters()).device
    every = torch.stack([arms.plus, arms.minus], 1).to(device)
    added = (every[:, :, None] * amounts.float().to(device)[:, None]).flatten(0, 2)
    batches = contexts.batches(1, device)
    half = len(contexts.input_ids) // 2
    done = 0

    def advance(interventions: int) -> None:
        nonlocal done
        progress(done := done + interventions)

    with torch.inference_mode():
        ends = added[len(amounts) - 1 :: len(amounts)]
        promoted = _promoted(steering, islice(batches, half), ends, advance)
        promoted = promoted.view(len(arms), 2, -1)
        tokens = promoted.repeat_interleave(2 * len(amounts), 0)
        sums = _measured(steering, batches, added, tokens, advance)
    shape = (-1, len(arms), 2, len(amounts))
    return _curves(amounts, promoted, *(part.view(shape) for part in sums))


def _promoted(
    steering: Steering,
    contexts: Iterable[Contexts],
    ends: Tensor,
    advance: Callable[[int], None],
) -> Tensor:
    """[J, k] tokens whose logits rise most, on average over positions, under each of ``ends``."""
    total = torch.empty(0, 0)
    for context in contexts:
        clean = steering.untouched(context)
        if len(clean) and not len(total):
            total = clean.new_zeros(len(ends), clean.shape[1])
        for which, at, logits in steering.logits(context, ends):
            total[which] += logits.sum(1, dtype=torch.float32) - clean[at].sum(0)
        advance(len(ends))
    if not len(total):
        raise ValueError("no position is kept in the first half of the contexts")
    return total.topk(min(steering.tokens, total.shape[1])).indices


def _measured(
    steering: Steering,
    contexts: Iterable[Contexts],
    added: Tensor,
    promoted: Tensor,
    advance: Callable[[int], None],
) -> tuple[Tensor, Tensor, Tensor]:
    """Sums over the positions of each of C contexts.

    Args:
        added: [J, d].
        promoted: [J, 2, k] tokens whose logits are compared under each intervention.

    Returns:
        Divergences, changes of the logit difference, and positions, [C, J] float64 on the CPU each.
    """
    sums = []
    for context in contexts:
        clean = steering.untouched(context)
        kl, effect = torch.zeros(2, len(added), dtype=torch.float64, device=added.device)
        for which, at, logits in steering.logits(context, added):
            tokens, before = promoted[which], clean[at].expand(len(logits), -1, -1)
            change = _difference(logits, tokens) - _difference(before, tokens)
            effect[which] += change.double().sum(1)
            kl[which] += _divergences(clean[at], logits).double().sum(1)
        sums.append(torch.stack([kl, effect, torch.full_like(kl, len(clean))]).cpu())
        advance(len(added))
    kl, effect, positions = torch.stack(sums, 1)
    if not positions.any():
        raise ValueError("no position is kept in the second half of the contexts")
    return kl, effect, positions


def _difference(logits: Tensor, tokens: Tensor) -> Tensor:
    """[j, p] float32 mean logit of the first k tokens minus that of the others.

    Args:
        logits: [j, p, V].
        tokens: [j, 2, k].
    """
    places = tokens.flatten(1)[:, None].expand(-1, logits.shape[1], -1)
    means = logits.gather(2, places).float().unflatten(2, tokens.shape[1:]).mean(-1)
    difference: Tensor = means[..., 0] - means[..., 1]
    return difference


def _divergences(clean: Tensor, logits: Tensor) -> Tensor:
    """[j, p] float32 divergences KL(clean || steered) of next-token distributions, nats.

    Args:
        clean: [p, V] float32 logits.
        logits: [j, p, V].
    """
    size, found = rows_per_softmax(logits), []
    for before, after in zip(clean, logits.unbind(1), strict=True):
        share, norm = before.softmax(0), before.logsumexp(0)
        parts = []
        for rows in map(Tensor.float, after.split(size)):
            parts.append(rows.logsumexp(1) - norm - (rows - before) @ share)
        found.append(torch.cat(parts))
    return torch.stack(found, 1)


def _curves(
    amounts: Tensor, promoted: Tensor, kl: Tensor, effect: Tensor, positions: Tensor
) -> Curves:
    """From the sums of C contexts [C, n, 2, m], the positive arm first, to means over positions."""
    contexts, total = len(kl), positions.sum(0)
    mean = effect.sum(0) / total
    spread = (effect - positions * mean).square().sum(0)
    se = (spread * contexts / (contexts - 1)).sqrt() / total if contexts > 1 else mean * torch.nan

    def both(arms: Tensor) -> Tensor:
        middle = torch.zeros_like(arms[:, 0, :1])
        return torch.cat([arms[:, 1].flip(1), middle, arms[:, 0]], 1)

    return Curves(
        sizes=torch.cat([-amounts.flip(0), torch.zeros(1, dtype=torch.float64), amounts]),
        kl=both(kl.sum(0) / total),
        effect=both(mean),
        effect_se=both(se),
        promoted=promoted.cpu(),
        contexts=contexts,
        positions=int(total.flatten()[0]),
    )
