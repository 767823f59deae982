"""Next-token loss of a language model with its activations replaced, and Loss Recovered.

Only kept positions are replaced: those that the activation store would keep. The others hold the
model's own activation in every run, so that a few huge activations, which no autoencoder is
trained on, do not decide the result. The loss is summed over the tokens predicted from kept
positions; the last position of a context predicts nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from sagsae.activations.hookpoints import Hookpoint, splice
from sagsae.autoencoders.base import Autoencoder
from sagsae.evaluation.predictions import Predictions, divergences, predictions_of
from sagsae.evaluation.resume import (
    head_logits,
    resume_from,
    rows_per_head,
    rows_per_softmax,
    runs_from,
    trunk_output,
)

# Maps activations [N, d] at kept positions, original units, to what replaces them.
Replace = Callable[[Tensor], Tensor]


def kept_only(replacement: Replace, kept: Tensor) -> Replace:
    """A replacement for `splice` that touches kept positions only.

    Args:
        replacement: see `Replace`; its result is converted to the model's dtype.
        kept: [B, L] bool.
    """

    def replaced(x: Tensor) -> Tensor:
        new = x.clone()
        new[kept] = replacement(x[kept]).to(x.dtype)
        return new

    return replaced


def zeros(x: Tensor) -> Tensor:
    """Zero ablation."""
    return torch.zeros_like(x)


def constant(mean: Tensor) -> Replace:
    """Mean ablation by a vector [d], original units."""
    return lambda x: mean.to(x.device, x.dtype).expand_as(x)


def reconstruction(autoencoder: Autoencoder) -> Replace:
    """Replacement by the reconstruction of an autoencoder on the model's device, in float32."""

    def replaced(x: Tensor) -> Tensor:
        x = x.float() * autoencoder.scale
        return autoencoder.predict(x, autoencoder.code(x)) / autoencoder.out_scale

    return replaced


@dataclass(frozen=True, kw_only=True)
class Contexts:
    """Evaluation contexts, all of one length and without padding.

    Attributes:
        input_ids: [n, L] integer token ids.
        kept: [n, L] bool, positions that are replaced and whose predictions count.
        hidden: [n, L, d] hidden states that enter block `layer`, in the model's dtype; None makes
            every pass a full one.
        blocks: dotted path of the model's list of blocks; read only with `hidden`.
        layer: block that `hidden` enters; read only with `hidden`.
        predictions: the model's own; None where divergences from them are not asked for.
    """

    input_ids: Tensor
    kept: Tensor
    hidden: Tensor | None = None
    blocks: str = ""
    layer: int = 0
    predictions: Predictions | None = None

    @property
    def predicted(self) -> Tensor:
        """[n, L - 1] bool: position t is kept, so the loss on token t + 1 counts."""
        return self.kept[:, :-1]

    @property
    def full(self) -> Contexts:
        """These contexts without hidden states: every pass runs all blocks."""
        return replace(self, hidden=None)

    def first(self, number: int) -> Contexts:
        """The first ones alone."""
        return next(self.batches(number, self.input_ids.device))

    def batches(self, size: int, device: torch.device) -> Iterator[Contexts]:
        """Parts of at most `size` contexts, moved to the device."""
        for start in range(0, len(self.input_ids), size):
            part = slice(start, start + size)
            yield replace(
                self,
                input_ids=self.input_ids[part].to(device, torch.long),
                kept=self.kept[part].to(device),
                hidden=None if self.hidden is None else self.hidden[part].to(device),
                predictions=self.predictions and self.predictions.part(part, device),
            )


@dataclass(frozen=True)
class SummedLoss:
    """Cross-entropy in nats, summed over tokens (float64), and how many tokens."""

    total: float
    tokens: int

    @property
    def mean(self) -> float:
        """Nats a token."""
        return self.total / self.tokens


class TokenLosses(NamedTuple):
    """Losses of every token but the first of each context, [n, L - 1] float32 nats.

    Attributes:
        loss: cross entropy, given the tokens before.
        divergence: KL of the model's own predictions from these; None without the model's own.
    """

    loss: Tensor
    divergence: Tensor | None


def token_losses(model: Any, input_ids: Tensor, own: Predictions | None = None) -> TokenLosses:
    """Loss on every token but the first of each context, given the tokens before it.

    The head runs on row chunks of all positions, kept or not, so that a token's loss never
    depends on which others are wanted.

    Args:
        model: a Transformers causal language model; hooks on its modules are in force.
        input_ids: [B, L] int64, no padding.
        own: what the model predicts without those hooks.
    """
    with torch.inference_mode():
        output = trunk_output(model, input_ids)
        rows, labels = output.last_hidden_state[:, :-1], input_ids[:, 1:]
        size = rows_per_head(model)
        chunks = zip(rows.flatten(0, 1).split(size), labels.flatten().split(size), strict=True)
        parts = [_head_losses(model, type(output), *chunk) for chunk in chunks]
        loss, of_label = (torch.cat(part).view(labels.shape) for part in zip(*parts, strict=True))
        found = None if own is None else divergences(own, rows, loss + of_label.float())
        return TokenLosses(loss, found)


def _head_losses(model: Any, output: type, rows: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """[N] float32 losses and [N] logits of the labels from the trunk's [N, d] outputs, through the
    model's own head."""
    logits = head_logits(model, output, rows)
    size = rows_per_softmax(logits)
    pairs = zip(logits.split(size), labels.split(size), strict=True)
    losses = [cross_entropy(x.float(), y, reduction="none") for x, y in pairs]
    return torch.cat(losses), logits.gather(1, labels[:, None])[:, 0]


def all_losses(model: nn.Module, contexts: Contexts, batch_contexts: int) -> Tensor:
    """[n, L - 1] float32 losses on the CPU of the model as it is, every position included."""
    parts = []
    for batch in contexts.batches(batch_contexts, next(model.parameters()).device):
        with resumed(model, batch):
            parts.append(token_losses(model, batch.input_ids).loss.cpu())
    return torch.cat(parts)


def with_predictions(model: Any, contexts: Contexts, batch_contexts: int) -> Contexts:
    """The contexts with the model's own predictions; without where its head is not linear."""
    weight, parts = model.get_output_embeddings().weight.float(), list[Predictions]()
    for batch in contexts.batches(batch_contexts, weight.device):
        with resumed(model, batch), torch.inference_mode():
            found = predictions_of(model, batch.input_ids, weight)
        if found is None:
            return contexts
        parts.append(found.part(slice(None), torch.device("cpu")))
    return replace(contexts, predictions=Predictions.joined(parts))


def spliced_losses(
    model: nn.Module,
    contexts: Contexts,
    batch_contexts: int,
    hookpoint: Hookpoint,
    replacement: Replace,
    progress: Callable[[int], None] = lambda done: None,
) -> TokenLosses:
    """Losses with kept positions replaced, on every token but the first of each context.

    Args:
        model: the language model, in evaluation mode.
        contexts: what to run it on.
        batch_contexts: contexts a forward pass. It may change the last bits of the result.
        hookpoint: whose output is replaced.
        replacement: see `Replace`.
        progress: called with the number of contexts done after every pass.

    Returns:
        On the CPU, with divergences where the contexts have predictions. What is predicted from
        other positions is there, too.

    Raises:
        ValueError: the hookpoint lies in a skipped block.
    """
    check_reachable(contexts, hookpoint)

    def change(kept: Tensor) -> AbstractContextManager[None]:
        return splice(model, hookpoint, kept_only(replacement, kept))

    return changed_losses(model, contexts, batch_contexts, change, progress)


def changed_losses(
    model: nn.Module,
    contexts: Contexts,
    batch_contexts: int,
    change: Callable[[Tensor], AbstractContextManager[None]],
    progress: Callable[[int], None] = lambda done: None,
) -> TokenLosses:
    """`spliced_losses` with any change of the model.

    Args:
        model, contexts, batch_contexts, progress: as of `spliced_losses`.
        change: makes the change from the kept positions [B, L] of a batch.
    """
    parts: list[TokenLosses] = []
    for batch in contexts.batches(batch_contexts, next(model.parameters()).device):
        with resumed(model, batch), change(batch.kept):
            parts.append(token_losses(model, batch.input_ids, batch.predictions))
        progress(sum(len(part.loss) for part in parts))
    loss = torch.cat([part.loss.cpu() for part in parts])
    found = [part.divergence.cpu() for part in parts if part.divergence is not None]
    return TokenLosses(loss, torch.cat(found) if found else None)


def sum_counted(losses: Tensor, contexts: Contexts) -> SummedLoss:
    """Sum the losses [n, L - 1] that count, always in the same order.

    Raises:
        ValueError: none counts, or the sum is not finite.
    """
    found = sum_among(losses, contexts.predicted)
    if found is None:
        raise ValueError("no position that predicts a token is kept; check the drop rules")
    return found


def sum_among(losses: Tensor, chosen: Tensor) -> SummedLoss | None:
    """Sum of the losses [n, L - 1] where `chosen` is true; None if it is true nowhere.

    Raises:
        ValueError: the sum is not finite.
    """
    counted = losses[chosen].double()
    if not len(counted):
        return None
    total = float(counted.sum())
    if not math.isfinite(total):
        raise ValueError(f"the summed loss is {total}: check the model, or what was spliced in")
    return SummedLoss(total, len(counted))


def check_reachable(contexts: Contexts, hookpoint: Hookpoint) -> None:
    """Raise ValueError where a pass resumed at the contexts' hidden states skips the hookpoint."""
    if contexts.hidden is None or runs_from(contexts.blocks, contexts.layer, hookpoint.module):
        return
    raise ValueError(
        f"hookpoint {hookpoint.name!r} ({hookpoint.module}) does not lie in block "
        f"{contexts.layer} of {contexts.blocks} or above, so a pass resumed there would not "
        "reach it; pass contexts without hidden states"
    )


def resumed(model: nn.Module, batch: Contexts) -> Any:
    """A context in which passes start from the hidden states of ``batch``, if it has some."""
    if batch.hidden is None:
        return nullcontext()
    return resume_from(model, batch.blocks, batch.layer, batch.hidden)


@dataclass(frozen=True, kw_only=True)
class LossRecovered:
    """Loss Recovered from summed losses over one set of tokens; the ratio is taken last.

    Attributes:
        clean: the model as it is.
        sae: activations replaced by their reconstruction.
        zero: activations replaced by 0.
        mean: activations replaced by the training split's mean.
    """

    clean: SummedLoss
    sae: SummedLoss
    zero: SummedLoss
    mean: SummedLoss

    @property
    def tokens(self) -> int:
        """Predicted tokens."""
        return self.clean.tokens

    @property
    def gap(self) -> float:
        """CE_zero - CE_clean in nats a token: what there is to recover."""
        return (self.zero.total - self.clean.total) / self.tokens

    @property
    def over_zero(self) -> float | None:
        """(CE_zero - CE_sae) / (CE_zero - CE_clean); None where zeros change nothing."""
        return self._recovered(self.zero)

    @property
    def over_mean(self) -> float | None:
        """(CE_mean - CE_sae) / (CE_mean - CE_clean); None where the mean changes nothing."""
        return self._recovered(self.mean)

    def _recovered(self, ablated: SummedLoss) -> float | None:
        gap = ablated.total - self.clean.total
        return (ablated.total - self.sae.total) / gap if gap else None

    def noisy(self, least_gap: float) -> bool:
        """Whether the gap is below `least_gap` nats a token, so that the ratio means little."""
        return self.gap < least_gap
