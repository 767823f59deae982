"""Transcoders in a language model, one or several at once, and what that costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import NamedTuple

from torch import Tensor, nn

from sagsae.activations.hookpoints import Hookpoint, capture, splice
from sagsae.autoencoders.base import Autoencoder
from sagsae.evaluation.loss_recovered import (
    Contexts,
    TokenLosses,
    changed_losses,
    check_reachable,
    reconstruction,
)


class Crossing(NamedTuple):
    """What a transcoder stands for in a language model; both ends of an autoencoder are one.

    Attributes:
        source: where it reads.
        target: where it predicts.
        transcoder: on the model's device.
    """

    source: Hookpoint
    target: Hookpoint
    transcoder: Autoencoder


@contextmanager
def crossed(
    model: nn.Module, crossings: Sequence[Crossing], kept: Callable[[Tensor], Tensor]
) -> Iterator[None]:
    """Put predictions of transcoders in the place of what they predict, in every forward pass.

    Each reads the stream as those before it have left it.

    Args:
        model: the language model.
        crossings: one or several.
        kept: [B, L] bool, the positions to replace, from the target's activations [B, L, d_out].
    """
    sources = {str(i): crossing.source for i, crossing in enumerate(crossings)}

    def replaced(i: int, y: Tensor) -> Tensor:
        mask, new = kept(y), y.clone()
        x = captured[str(i)][mask]
        new[mask] = reconstruction(crossings[i].transcoder)(x).to(y.dtype)
        return new

    with ExitStack() as stack:
        captured = stack.enter_context(capture(model, sources, early_exit=False))
        for i, crossing in enumerate(crossings):
            stack.enter_context(splice(model, crossing.target, partial(replaced, i)))
        yield


def crossed_losses(
    model: nn.Module,
    contexts: Contexts,
    batch_contexts: int,
    crossings: Sequence[Crossing],
    progress: Callable[[int], None] = lambda done: None,
) -> TokenLosses:
    """`spliced_losses` with predictions of transcoders, or reconstructions, in the place of kept
    positions; several at once.

    Raises:
        ValueError: a hookpoint lies in a skipped block.
    """
    for crossing in crossings:
        check_reachable(contexts, crossing.source)
        check_reachable(contexts, crossing.target)
    return changed_losses(
        model,
        contexts,
        batch_contexts,
        lambda kept: crossed(model, crossings, lambda _: kept),
        progress,
    )
