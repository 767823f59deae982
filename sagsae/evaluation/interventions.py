"""Changing a language model's activations: splicing, steering, and what a reconstruction costs."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from sagsae.activations import hookpoints
from sagsae.activations.hookpoints import (
    Hookpoint,
    capture,
    ends_of,
    hookpoint_of,
    run_captured,
)
from sagsae.activations.reading import kept_mask, load_calibration
from sagsae.activations.store import Store
from sagsae.autoencoders.base import Autoencoder
from sagsae.evaluation.crossings import Crossing, crossed, crossed_losses
from sagsae.evaluation.loss_recovered import (
    Contexts,
    LossRecovered,
    all_losses,
    constant,
    kept_only,
    reconstruction,
    spliced_losses,
    sum_counted,
    zeros,
)


def splice(
    model: nn.Module,
    hookpoint: Hookpoint | str,
    autoencoder: Autoencoder,
    kept: Tensor | None = None,
    *,
    layer: int | None = None,
) -> AbstractContextManager[None]:
    """Put an autoencoder's reconstruction in place of a module's output in every forward pass.

    Args:
        model: A language model.
        hookpoint: What is replaced: a name of `default_hookpoints`, such as "resid", of the block
            ``layer`` or with its layer before it, as in "l15.resid"; a `Hookpoint`; or the dotted
            path of a module whose output is meant, for example "model.layers.15.mlp".
        autoencoder: Trained on this output; one that lies on another device is copied to the
            model's. Computes in float32.
        kept: [batch, ctx] bool, or 0 and 1, the positions to replace; see `kept_positions`. By
            default all but the first of each context, as of `loss_recovered`. A pass over a single
            position, which follows others in generation, is replaced.
        layer: Index of the block, from 0.

    Raises:
        ValueError: there is no such hookpoint or module, or (in a forward pass) the output does not
            have the autoencoder's width, or ``kept`` another shape or other values; or a
            transcoder.
    """
    if autoencoder.target is not None:
        raise ValueError(f"{autoencoder.name} is a transcoder: use replaced(model, ...)")
    change = reconstruction(_beside(model, autoencoder))
    point = hookpoint_of(model, hookpoint, layer)
    return _changed(model, point, autoencoder.d, change, kept, first=False)


def steer(
    model: nn.Module,
    hookpoint: Hookpoint | str,
    direction: Tensor,
    kept: Tensor | None = None,
    *,
    layer: int | None = None,
) -> AbstractContextManager[None]:
    """Add a direction to a module's output in every forward pass.

    Args:
        model: A language model.
        hookpoint: What is changed, as for `splice`.
        direction: [d], in the units of the activations. Latent i of an
            autoencoder adds ``z * sae.W_dec[i]`` where z is its code by ``sae.encode``.
        kept: [batch, ctx] bool, or 0 and 1, the positions to change; all by default.
        layer: Index of the block, from 0.

    Raises:
        ValueError: there is no such hookpoint or module, or (in a forward pass) the output does not
            have the direction's width, or ``kept`` another shape or other values.
    """
    added = direction.detach()

    def shifted(x: Tensor) -> Tensor:
        return x + added.to(x)

    return _changed(model, hookpoint_of(model, hookpoint, layer), len(added), shifted, kept)


def replaced(
    model: Any,
    transcoders: Mapping[int, Autoencoder],
    kept: Tensor | None = None,
    *,
    source: str = "",
    target: str = "",
) -> AbstractContextManager[None]:
    """Put predictions of transcoders in the place of what they predict, all at once, in every
    forward pass. Each reads the stream as the layers below have left it.

    Args:
        model: A causal language model of Transformers.
        transcoders: By layer; those that lie on another device are copied to the model's.
        kept: [batch, ctx] bool, or 0 and 1, as of `splice`.
        source: What they read, a name of `default_hookpoints`; by default what the provenance of
            each says, see ``hookpoint`` of `train`.
        target: What they predict, likewise.

    Raises:
        ValueError: what is no transcoder, one that was trained on another layer, or hookpoints that
            neither the arguments nor the provenance name; or (in a forward pass) ``kept`` of
            another shape or with other values.
    """
    crossings = []
    for layer, transcoder in sorted(transcoders.items()):
        known = hookpoints.default_hookpoints(model.config.model_type, layer)
        own = ends_of(transcoder.provenance, layer)
        names = source or own[0], target or own[1]
        if transcoder.target is None:
            raise ValueError(f"layer {layer}: {transcoder.name} is no transcoder: use splice")
        if unknown := [name for name in names if name not in known]:
            raise ValueError(
                f"layer {layer}: {transcoder.name} leads from {names[0]!r} to {names[1]!r}, and "
                f"{unknown[0]!r} is none of {', '.join(known)}: give source=... and target=..."
            )
        reads, predicts = (known[name] for name in names)
        crossings.append(Crossing(reads, predicts, _beside(model, transcoder)))
    return crossed(model, crossings, partial(_mask, kept=kept, first=False))


def loss_recovered(
    model: Any,
    tokens: Tensor,
    autoencoder: Autoencoder,
    hookpoint: Hookpoint | str,
    *,
    target: Hookpoint | str | None = None,
    layer: int | None = None,
    kept: Tensor | None = None,
    batch_contexts: int = 8,
) -> LossRecovered:
    """Next-token losses of a language model with an autoencoder's reconstruction in it.

    Args:
        model: A causal language model of Transformers.
        tokens: [n, L] token ids, without padding.
        autoencoder: Trained on this output; one that lies on another device is copied to the
            model's. Computes in float32.
        hookpoint: What is replaced, as for `splice`; of a transcoder, what it reads.
        target: What a transcoder predicts, whose activations are replaced.
        layer: Index of the block, from 0, of hookpoints by name.
        kept: [n, L] bool, or 0 and 1, the positions that are replaced and whose predictions count;
            see `kept_positions`. By default all but the first, which studies do not train on.
        batch_contexts: Contexts of one forward pass.

    Returns:
        The losses as the model is, with the reconstruction, with zeros, and with the mean over
        these positions: ``found.sae.mean - found.clean.mean`` is the cost in nats a token, and
        ``found.over_zero`` is Loss Recovered.

    Raises:
        ValueError: there is no such hookpoint or module, a transcoder without a target or another
            autoencoder with one, tokens are no [n, L], or ``kept`` has another shape or other
            values.
    """
    if (autoencoder.target is None) != (target is None):
        kind = "no transcoder: leave target out" if target else "a transcoder: give target=..."
        raise ValueError(f"{autoencoder.name} is {kind}")
    source = hookpoint_of(model, hookpoint, layer)
    point = source if target is None else hookpoint_of(model, target, layer)
    if tokens.ndim != 2:
        raise ValueError(f"tokens are {list(tokens.shape)}, not [n, L]: give contexts")
    contexts = Contexts(input_ids=tokens, kept=_mask(tokens[..., None], kept, first=False))
    crossing = Crossing(source, point, _beside(model, autoencoder))
    losses = {
        "sae": crossed_losses(model, contexts, batch_contexts, [crossing]),
        "zero": spliced_losses(model, contexts, batch_contexts, point, zeros),
        "mean": spliced_losses(
            model,
            contexts,
            batch_contexts,
            point,
            constant(_mean(model, contexts, point, batch_contexts)),
        ),
    }
    clean = sum_counted(all_losses(model, contexts, batch_contexts), contexts)
    sums = {name: sum_counted(found.loss, contexts) for name, found in losses.items()}
    return LossRecovered(clean=clean, **sums)


def kept_positions(model: Any, tokens: Tensor, store: Store, *, batch_contexts: int = 8) -> Tensor:
    """The positions that `dump` would keep: neither the first nor those with a massive norm.

    Args:
        model: The one that the store was dumped from.
        tokens: [n, L] token ids, without padding.
        store: From `dump`. It says which norms are massive, at any of its hookpoints.
        batch_contexts: Contexts of one forward pass.

    Returns:
        [n, L] bool on the CPU, for ``kept`` of `splice` and `loss_recovered`.

    Raises:
        ValueError: the store is not from a dump.
    """
    dumped = store.config.provenance.get("dump", {})
    if "modules" not in dumped:
        raise ValueError(f"{store.storage} does not say how it was dumped")
    points = {name: Hookpoint.at(name, path) for name, path in dumped["modules"].items()}
    medians, ratio = load_calibration(store.storage), dumped["max_norm_ratio"]
    device, parts = next(model.parameters()).device, list[Tensor]()
    with capture(model, points) as captured:
        for batch in tokens.split(batch_contexts):
            run_captured(model, batch.to(device, torch.long))
            parts.append(kept_mask(captured, medians, ratio).cpu())
    return torch.cat(parts)


def _beside(model: nn.Module, autoencoder: Autoencoder) -> Autoencoder:
    """The autoencoder, or a copy of it on the model's device."""
    device = next(model.parameters()).device
    if next(autoencoder.parameters()).device == device:
        return autoencoder
    return copy.deepcopy(autoencoder).to(device)


def _mean(model: Any, contexts: Contexts, point: Hookpoint, batch_contexts: int) -> Tensor:
    """[d] mean of the kept positions."""
    total, device = torch.zeros(()), next(model.parameters()).device
    with capture(model, {point.name: point}) as captured:
        for batch in contexts.batches(batch_contexts, device):
            run_captured(model, batch.input_ids)
            total = total + captured[point.name][batch.kept].double().sum(0).cpu()
    return total / int(contexts.kept.sum())


@contextmanager
def _changed(
    model: nn.Module,
    point: Hookpoint,
    width: int,
    change: Callable[[Tensor], Tensor],
    kept: Tensor | None,
    first: bool = True,
) -> Iterator[None]:
    """Let ``change`` act on a module's output at the kept positions of every forward pass; without
    ``kept`` at all, or all but the ``first``."""

    def replaced(x: Tensor) -> Tensor:
        if x.shape[-1] != width:
            raise ValueError(
                f"{point.module} gives activations of width {x.shape[-1]}, and {width} is needed; "
                "name the hookpoint that the autoencoder was trained on"
            )
        return kept_only(change, _mask(x, kept, first))(x)

    with hookpoints.splice(model, point, replaced):
        yield


def _mask(x: Tensor, kept: Tensor | None, first: bool) -> Tensor:
    """[B, L] bool on the device of activations x [B, L, d]: the positions that are changed.

    Raises:
        ValueError: ``kept`` is of another shape, or holds something else than 0 and 1.
    """
    if kept is None:
        mask = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
        mask[:, 0] = first or x.shape[1] == 1
        return mask
    if kept.shape != x.shape[:2]:
        raise ValueError(f"kept is {list(kept.shape)} for contexts of {list(x.shape[:2])}")
    mask = kept.to(x.device, torch.bool)
    if kept.dtype != torch.bool and not torch.equal(mask.to(kept), kept):
        raise ValueError("kept holds other values than 0 and 1: give True where a position is kept")
    return mask
