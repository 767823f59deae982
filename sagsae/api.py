"""Training and evaluating in one call each; see ``sagsae.__init__`` for all names."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from operator import index
from pathlib import Path
from typing import Any, NamedTuple

import torch

from sagsae.activations.rows import Rows, TrainingRows, batches_of, geometric_median, rows_of
from sagsae.activations.store import Store
from sagsae.autoencoders.base import Autoencoder, Target
from sagsae.autoencoders.linear_map import LinearMap
from sagsae.autoencoders.registry import did_you_mean, knobs
from sagsae.autoencoders.weights import build
from sagsae.evaluation.metrics import ReconstructionMetrics, evaluate_reconstruction
from sagsae.training.history import History
from sagsae.training.recipe import SETTINGS, Recipe, uses
from sagsae.training.trainer import Trainer, stopped_by_signals


class Trained(NamedTuple):
    """What `train` returns; unpack it, or read its fields."""

    autoencoder: Autoencoder
    history: History


@contextmanager
def opened_trainer(
    rows: TrainingRows,
    variant: str | type[Autoencoder],
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
    recipe.check_variant(_name(variant))
    if recipe.skip and rows.target is None:
        raise ValueError(
            "skip: an autoencoder has none; give a target, which a transcoder predicts"
        )
    seed, target = index(seed), rows.target
    grown = recipe.input_norm == "sqrt_d"
    scale = rows.scale * (math.sqrt(rows.d) if grown else 1.0)
    made = partial(build, variant) if isinstance(variant, str) else variant
    if target is None:
        sae = made(rows.d, width, scale)
    else:
        d_out = len(target.mean)
        out_scale = target.scale * (math.sqrt(d_out) if grown else 1.0)
        sae = made(rows.d, width, scale, Target(d_out, out_scale, recipe.skip))
    sae.initialise(torch.from_numpy(rows.mean * scale), seed, recipe)
    if target is not None:
        linear = LinearMap.fit(rows.first().split(8192), rows.d)
        sae.start_from(linear.scaled(sae.scale, sae.out_scale), recipe)
    if recipe.b_dec_init == "median":
        _, predicted = sae.sides_of(rows.first())
        sae.params["b_dec"].copy_(geometric_median(predicted * sae.out_scale))
    sae.provenance = {
        **rows.origin,
        **({"k": recipe.k} if recipe.k else {"lam": recipe.lam}),
        "seed": seed,
        "recipe": recipe.described(),
        **(origin or {}),
    }
    shuffled = rows.stream(recipe.batch_size, seed, group_chunks=group_chunks, device=device)
    with shuffled as stream:
        yield Trainer(sae.to(device), stream, recipe)


def train(
    data: Store | Rows | Iterable[Rows],
    variant: str | type[Autoencoder],
    width: int,
    lam: float | None = None,
    *,
    k: int | None = None,
    hookpoint: str = "",
    target: str = "",
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
    """Train one autoencoder on activations, or one transcoder on pairs of them.

    Equal arguments give equal weights on one machine.

    Args:
        data: A store, see `dump` and `Store.open`; or a tensor [T, d]; or batches [n, d] in their
            order, each row of which is used once. For a transcoder, a pair of tensors, or batches
            that are pairs: what is read [n, d], and what is predicted [n, d_out]. A tuple is a
            pair, a list is batches.
        variant: A registered variant, for example "gated" or "sagsae_tied", or a class of your own,
            as itself or as "my_package.module:Class".
        width: Number of latents H.
        lam: Sparsity coefficient lambda, for activations at unit mean square norm.
        k: Active latents per token, in place of ``lam``, of a k-sparse variant ("topk",
            "batchtopk", ...).
        hookpoint: Name of one of the store's hookpoints, if the store has several. Of other rows,
            where they come from, such as "mlp_in" or "l5.mlp_in": kept in the provenance.
        target: Name of the hookpoint that a transcoder predicts, likewise.
        tokens: Rows to train on, with repetition; by default each row once.
        batch_size: Rows per optimiser step.
        learning_rate: Peak learning rate of Adam. The default suits the default batch size.
        seed: Seed of the initial weights and of the order of the rows.
        device: Where to compute; by default a GPU if there is one, else the CPU.
        checkpoint: File that keeps the state while training, also when Ctrl-C or SIGTERM stops it;
            a later call with the same arguments continues from it, and one with others is refused.
            Delete it to start again.
        checkpoint_seconds: Seconds between two checkpoints.
        group_chunks: Chunks of the store that are shuffled together, see `ActivationStream`.
        progress: Called every 50 steps as ``progress(step, row)`` with the row of the history, a
            dictionary of numbers: ``lambda step, row: wandb.log(row, step=step)`` tracks a run.
        **recipe: Further fields of `Recipe`, such as ``skip`` of a transcoder. By default lambda
            rises over the first sixth of the steps, at most 100, and the learning rate over half
            of that; of k-sparse variants, a latent is dead after a tenth of the rows, at most a
            million.

    Returns:
        The autoencoder on the CPU, and the history: loss terms of every 50th step, and seconds.

    Raises:
        KeyError: unknown hookpoint or variant.
        ValueError: fewer tokens than one batch, or no ``tokens`` for an iterable, neither lambda
            nor k or the one that the variant does not take, a width below 1, a setting out of its
            range or of another family of variants, a warm-up as long as the run, a checkpoint for
            an iterable, whose rows do not come again, or a file at ``checkpoint`` that is none.
        TypeError: a keyword that is no field of `Recipe`.
        OtherRunError: the checkpoint is of a run with other arguments.
        Interrupted: Ctrl-C or SIGTERM, with a checkpoint that continues there.
        NonFiniteLoss: training diverged; lower the learning rate.

    Warns:
        UserWarning: the run diverged or ended with an R2 below 0, the threshold of BatchTopK misses
            k on the rows that it was fitted on, or the given ``dead_window_tokens`` is longer than
            the run.
    """
    if unknown := [given for given in recipe if given not in SETTINGS]:
        hint = did_you_mean(unknown[0], [*SETTINGS, *(train.__kwdefaults__ or {})])
        raise TypeError(f"train has no argument {unknown[0]!r}, and a recipe no such setting{hint}")
    _check_batch_size(batch_size)
    rows = rows_of(data, hookpoint, target)
    count = rows.count if tokens is None else tokens
    if count is None:
        raise ValueError("how many rows are the batches to give? Give train(..., tokens=...)")
    if rows.count is None and checkpoint is not None:
        raise ValueError("batches of an iterable come once: train without a checkpoint on them")
    steps = count // batch_size
    if steps < 1:
        raise ValueError(f"{count} tokens are less than one batch of {batch_size}")
    name = _name(variant)
    if lam is None and k is None:
        needed = " or ".join(knobs(name))
        raise ValueError(f"what sets the sparsity of {name}? Give train(..., {needed}=...)")
    rise = min(100, steps // 6)
    defaults = {"lr_warmup_steps": rise // 2}
    if uses(name, "lambda_warmup_steps"):
        defaults["lambda_warmup_steps"] = rise
    if k is not None and uses(name, "dead_window_tokens"):
        tenth = max(1, steps * batch_size // 10)
        defaults["dead_window_tokens"] = min(SETTINGS["dead_window_tokens"].default, tenth)
    settings = Recipe(
        steps=steps,
        batch_size=batch_size,
        lam=lam or 0.0,
        k=k or 0,
        learning_rate=learning_rate,
        **(defaults | recipe),
    )
    _check_warm_ups(settings)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    with opened_trainer(
        rows, variant, width, settings, seed=seed, group_chunks=index(group_chunks), device=device
    ) as trainer:
        trainer.progress = progress
        seen, window = steps * batch_size, trainer.sae.dead_window_tokens
        if window > seen:
            warnings.warn(
                f"AuxK never acts: a latent is dead after {window:,} tokens, the run has {seen:,}. "
                "Give a smaller dead_window_tokens, or auxk_coefficient=0",
                stacklevel=2,
            )
        with stopped_by_signals(trainer) if checkpoint else nullcontext():
            history = trainer.run(Path(checkpoint) if checkpoint else None, checkpoint_seconds)
    for fault in history.faults:
        warnings.warn(f"{fault}. Try a lower learning_rate, or more tokens", stacklevel=2)
    return Trained(trainer.sae.to("cpu"), history)


def _check_warm_ups(recipe: Recipe) -> None:
    """Refuse a warm-up that does not end: the run would end at another value than its file says."""
    for name in ("lr_warmup_steps", "lambda_warmup_steps", "k_warmup_steps"):
        if (length := getattr(recipe, name)) and length >= recipe.steps:
            raise ValueError(
                f"{name}: a warm-up of {length} steps does not end in a run of {recipe.steps}: "
                "give fewer, or train on more tokens"
            )


def _name(variant: str | type[Autoencoder]) -> str:
    return variant if isinstance(variant, str) else variant.name


def evaluate(
    autoencoder: Autoencoder,
    data: Store | Rows | Iterable[Rows],
    hookpoint: str = "",
    *,
    target: str = "",
    batch_size: int = 8192,
) -> ReconstructionMetrics:
    """Measure an autoencoder on every row of some data, which should be held-out ones.

    Args:
        autoencoder: On the device that is to compute.
        data: What `train` takes: a store, see `Store.open`; a tensor [T, d]; batches [n, d]; of a
            transcoder pairs.
        hookpoint: Name of one of the store's hookpoints, as wide as the autoencoder; may be left
            out where it has one alone.
        target: Name of the store's hookpoint that a transcoder predicts.
        batch_size: Rows read at once.

    Returns:
        R2, L0, dead fraction, signed firing counts and calibration slopes, see
        `ReconstructionMetrics`.

    Raises:
        KeyError: unknown hookpoint.
        ValueError: the widths differ, the activations do not vary, or a batch of no rows.
    """
    _check_batch_size(batch_size)
    device = next(iter(autoencoder.params.values())).device
    batches = batches_of(data, batch_size, hookpoint, target)
    return evaluate_reconstruction(autoencoder, (batch.to(device) for batch in batches))


def _check_batch_size(batch_size: int) -> None:
    if batch_size < 1:
        raise ValueError(f"batch_size: {batch_size} rows are no batch: give 1 or more")
