"""Training, evaluating and splicing in one call each; see ``sagsae.__init__`` for all names."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from sagsae.activations import hookpoints
from sagsae.activations.hookpoints import Hookpoint
from sagsae.activations.median import first_rows, geometric_median
from sagsae.activations.store import Store
from sagsae.activations.stream import ActivationStream, iterate
from sagsae.autoencoders.base import Autoencoder
from sagsae.autoencoders.registry import knobs
from sagsae.autoencoders.storage import build
from sagsae.evaluation.metrics import ReconstructionMetrics, evaluate_reconstruction
from sagsae.evaluation.replacements import kept_only, reconstruction
from sagsae.schedules import Recipe, uses
from sagsae.training.history import History
from sagsae.training.trainer import Trainer


class Trained(NamedTuple):
    """What `train` returns; unpack it, or read its fields."""

    autoencoder: Autoencoder
    history: History


@contextmanager
def opened_trainer(
    store: Store,
    hookpoint: str,
    variant: str,
    width: int,
    recipe: Recipe,
    *,
    seed: int = 0,
    group_chunks: int = 16,
    device: torch.device | str = "cpu",
    origin: dict[str, Any] | None = None,
) -> Iterator[Trainer]:
    """The trainer of a fresh autoencoder before its first step; arguments as in `train`.

    What the autoencoder says of its origin in a file is made from the arguments; ``origin`` adds to
    it, or replaces some of it.
    """
    found, d = store.statistics(hookpoint), store.width(hookpoint)
    recipe.check_variant(variant)
    scale = found.scale * (math.sqrt(d) if recipe.input_norm == "sqrt_d" else 1.0)
    sae = build(variant, d, width, scale)
    sae.initialise(torch.from_numpy(found.mean * scale), seed, recipe)
    if recipe.b_dec_init == "median":
        sae.params["b_dec"].copy_(geometric_median(first_rows(store, hookpoint) * scale))
    sae.provenance = {
        "model": store.config.provenance.get("model"),
        "layer": store.config.provenance.get("layer"),
        "hookpoint": hookpoint,
        **({"k": recipe.k} if recipe.k else {"lam": recipe.lam}),
        "seed": seed,
        "recipe": recipe.described(),
        "store": store.config.digest(),
        **(origin or {}),
    }
    with ActivationStream(
        store, hookpoint, recipe.batch_size, seed, group_chunks=group_chunks, device=device
    ) as stream:
        yield Trainer(sae.to(device), stream, recipe)


def train(
    store: Store,
    hookpoint: str,
    variant: str,
    width: int,
    lam: float | None = None,
    *,
    k: int | None = None,
    tokens: int | None = None,
    batch_size: int = 1024,
    learning_rate: float = 7e-4,
    seed: int = 0,
    device: torch.device | str | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_seconds: float = 300.0,
    group_chunks: int = 16,
    progress: Callable[[int, dict[str, float]], None] | None = None,
    **recipe: Any,
) -> Trained:
    """Train one autoencoder on a store's rows of one hookpoint.

    Equal arguments give equal weights on one machine.

    Args:
        store: Activations, see `Store.open`.
        hookpoint: Name of one of the store's hookpoints.
        variant: A registered variant, for example "gated" or "sagsae_tied", or a class of your own,
            "my_package.module:Class".
        width: Number of latents H.
        lam: Sparsity coefficient lambda, for activations at unit mean square norm.
        k: Active latents per token, in place of ``lam``, of a k-sparse variant ("topk",
            "batchtopk", ...).
        tokens: Rows to train on, with repetition; by default each row of the store once.
        batch_size: Rows per optimiser step.
        learning_rate: Peak learning rate of Adam. The default suits the default batch size.
        seed: Seed of the initial weights and of the order of the rows.
        device: Where to compute; by default a GPU if there is one, else the CPU.
        checkpoint: File that keeps the state while training; a later call with the same arguments
            continues from it, and one with others is refused. Delete it to start again.
        checkpoint_seconds: Seconds between two checkpoints.
        group_chunks: Chunks of the store that are shuffled together, see `ActivationStream`.
        progress: Called every 50 steps as ``progress(step, row)`` with the row of the history.
        **recipe: Further fields of `Recipe`. By default lambda rises over the first sixth of the
            steps, at most 100, and the learning rate over half of that.

    Returns:
        The autoencoder on the CPU, and the history: loss terms of every 50th step, and seconds.

    Raises:
        KeyError: unknown hookpoint or variant.
        ValueError: fewer tokens than one batch, neither lambda nor k or the one that the variant
            does not take, a setting out of its range, or one of another family of variants.
        TypeError: a keyword that is no field of `Recipe`.
        OtherRunError: the checkpoint is of a run with other arguments.
        NonFiniteLoss: training diverged; lower the learning rate.
    """
    rows = store.n_rows if tokens is None else tokens
    steps = rows // batch_size
    if steps < 1:
        raise ValueError(f"{rows} tokens are less than one batch of {batch_size}")
    if lam is None and k is None:
        needed = " or ".join(knobs(variant))
        raise ValueError(f"what sets the sparsity of {variant}? Give train(..., {needed}=...)")
    rise = min(100, steps // 6)
    warm_up = {"lr_warmup_steps": rise // 2}
    if uses(variant, "lambda_warmup_steps"):
        warm_up["lambda_warmup_steps"] = rise
    settings = Recipe(
        steps=steps,
        batch_size=batch_size,
        lam=lam or 0.0,
        k=k or 0,
        learning_rate=learning_rate,
        **(warm_up | recipe),
    )
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    with opened_trainer(
        store,
        hookpoint,
        variant,
        width,
        settings,
        seed=seed,
        group_chunks=group_chunks,
        device=device,
    ) as trainer:
        trainer.progress = progress
        history = trainer.run(Path(checkpoint) if checkpoint else None, checkpoint_seconds)
    return Trained(trainer.sae.to("cpu"), history)


def evaluate(
    autoencoder: Autoencoder, store: Store, hookpoint: str, *, batch_size: int = 8192
) -> ReconstructionMetrics:
    """Measure an autoencoder on every row of a store, which should be a held-out one.

    Args:
        autoencoder: On the device that is to compute.
        store: Activations, see `Store.open`.
        hookpoint: Name of one of the store's hookpoints, as wide as the autoencoder.
        batch_size: Rows read at once.

    Returns:
        R2, L0, dead fraction, signed firing counts and calibration slopes, see
        `ReconstructionMetrics`.

    Raises:
        KeyError: unknown hookpoint.
        ValueError: the widths differ, or the activations do not vary.
    """
    device = next(iter(autoencoder.params.values())).device
    batches = (batch.to(device) for batch in iterate(store, hookpoint, batch_size))
    return evaluate_reconstruction(autoencoder, batches)


@contextmanager
def splice(
    model: nn.Module,
    hookpoint: Hookpoint | str,
    autoencoder: Autoencoder,
    kept: Tensor | None = None,
) -> Iterator[None]:
    """Put an autoencoder's reconstruction in place of a module's output in every forward pass.

    Args:
        model: A language model.
        hookpoint: Whose output is replaced: a `Hookpoint`, see `default_hookpoints`, or the dotted
            path of a module, for example "model.layers.15.mlp".
        autoencoder: On the model's device; trained on this output. Computes in float32.
        kept: [batch, ctx] bool, the positions to replace; all by default. Autoencoders of a study
            were not trained on first positions, which a study therefore leaves alone.

    Raises:
        ValueError: the path leads to no module, or (in a forward pass) the output does not have
            the autoencoder's width.
    """
    with _changed(model, hookpoint, autoencoder.d, reconstruction(autoencoder), kept):
        yield


@contextmanager
def steer(
    model: nn.Module,
    hookpoint: Hookpoint | str,
    direction: Tensor,
    kept: Tensor | None = None,
) -> Iterator[None]:
    """Add a direction to a module's output in every forward pass.

    Args:
        model: A language model.
        hookpoint: Whose output is changed, as for `splice`.
        direction: [d] on the model's device, in the units of the activations. A latent i of an
            autoencoder adds ``z / sae.scale * sae.W_dec[i]`` where its code is z.
        kept: [batch, ctx] bool, the positions to change; all by default.

    Raises:
        ValueError: the path leads to no module, or (in a forward pass) the output does not have
            the direction's width.
    """
    added = direction.detach()

    def shifted(x: Tensor) -> Tensor:
        return x + added.to(x.dtype)

    with _changed(model, hookpoint, len(added), shifted, kept):
        yield


@contextmanager
def _changed(
    model: nn.Module,
    hookpoint: Hookpoint | str,
    width: int,
    change: Callable[[Tensor], Tensor],
    kept: Tensor | None,
) -> Iterator[None]:
    """Let ``change`` act on a module's output at the kept positions of every forward pass."""
    point = Hookpoint(hookpoint, hookpoint) if isinstance(hookpoint, str) else hookpoint

    def replaced(x: Tensor) -> Tensor:
        if x.shape[-1] != width:
            raise ValueError(
                f"{point.module} gives activations of width {x.shape[-1]}, and {width} is needed; "
                "name the hookpoint that the autoencoder was trained on"
            )
        mask = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device) if kept is None else kept
        return kept_only(change, mask)(x)

    with hookpoints.splice(model, point, replaced):
        yield
