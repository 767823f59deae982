"""What a step of autograd may cost: programs that are compiled, operations, waits of the host.

It is the step of a GPU, here on a CPU. A compiler that only counts takes the place of PyTorch's.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from sagsae.autoencoders.auxk import strongest
from sagsae.autoencoders.registry import GATED, VARIANTS, K
from sagsae.autoencoders.weights import build
from sagsae.training.recipe import Recipe, uses
from sagsae.training.trainer import Trainer

B, D, H = 64, 16, 256
OPTIONS: dict[str, Any] = {
    "beta1": 0.9,
    "clip_gradient_norm": 1.0,
    "decoder_norm": "free",
    "auxiliary_decoder": "trained",
    "weight_average": 0.9,
    "input_norm": "sqrt_d",
    "encoder_input": "plain",
    "k_warmup_steps": 5,
    "threshold_parameter": "log",
    "level_reduction": "mean",
}
"""Each setting that changes what a step computes."""
GRAPHS = 2
"""With and without dead latents; one more where k changes."""
OPERATIONS = {
    "gated": 205,
    "sagsae": 295,
    "sagsae_sym": 290,
    "sagsae_tied": 280,
    "sagsae_noaux": 230,
    "sagsae_onesided": 215,
    "relu": 140,
    "absrelu": 165,
    "topk": 215,
    "abstopk": 225,
    "batchtopk": 220,
    "absbatchtopk": 225,
    "jumprelu": 195,
    "absjumprelu": 215,
    "matryoshka_batchtopk": 350,
    "matryoshka_absbatchtopk": 360,
}
"""Of a step without logging, forward, backward and Adam, by the default recipe."""
WAITS = ("nonzero", "_local_scalar_dense", "item", "is_nonzero")


class Stream:
    """Sparse rows, which leave some latents silent."""

    wait_seconds = 0.0

    def __init__(self) -> None:
        self.random = torch.Generator().manual_seed(0)
        self.features = torch.randn(24, D, generator=self.random)

    def __next__(self) -> torch.Tensor:
        z = torch.rand(B, len(self.features), generator=self.random)
        return (z * (z > 0.8)) @ self.features

    def state(self) -> dict[str, Any]:
        return {}


def trainer(monkeypatch, name: str, **changes: Any) -> Trainer:
    """A trainer as on a GPU, with a compiler that counts its graphs in ``run.graphs``."""
    monkeypatch.setattr("sagsae.training.optimiser._is_gate", lambda sae: False)
    monkeypatch.setattr(Trainer, "_check_finite", lambda run: None)  # a CPU alone asks every step
    settings: dict[str, Any] = {"steps": 1000, "batch_size": B, "learning_rate": 0.003}
    settings |= {"lam": 0.0, "k": 8} if VARIANTS[name].knob == K else {"lam": 0.1}
    settings |= {"dead_window_tokens": 10 * B} if VARIANTS[name].knob == K else {}
    settings |= {"reset_window_tokens": 1000 * B} if VARIANTS[name].family == GATED else {}
    recipe = Recipe(**settings | {"matmul_dtype": "bfloat16"} | changes)
    sae = build(name, D, H, 0.5)
    sae.initialise(torch.zeros(D), 0, recipe)
    run = Trainer(sae, Stream(), recipe, log_every=20)
    run._lists_dead = True
    return run


def test_a_continued_training_lists_the_latents_of_the_last_logged_step(monkeypatch):
    """Those that died since then wait for the next one, as in a training that was not stopped."""
    run = trainer(monkeypatch, "topk")
    for _ in range(36):
        run._advance()
    was, run.sae.listed = run.sae.listed, None
    dead = run.sae.dead
    run._advance()
    numbers = {int(n) for n, counts in zip(*run.sae.listed, strict=True) if counts}
    before = {int(n) for n, counts in zip(*was, strict=True) if counts}
    assert numbers <= before
    assert {int(n) for n in dead.nonzero()} - before  # some died since
    assert {n for n in before if dead[n]} - {int(n) for n in (~run.sae.dead).nonzero()} <= numbers


class Operations(TorchDispatchMode):
    """Counts what PyTorch is asked to do, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.counts = Counter[str]()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.counts[func._schema.name.removeprefix("aten::")] += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.slow
@pytest.mark.parametrize("given", ["defaults", "options"])
@pytest.mark.parametrize("name", VARIANTS)
def test_a_training_compiles_few_graphs(name, given, monkeypatch):
    """Also while latents die and come back."""
    torch.compiler.reset()
    graphs = []

    def counting(graph, _):
        graphs.append(graph)
        return graph.forward

    options = {key: value for key, value in OPTIONS.items() if uses(name, key)}
    options = options if given == "options" else {}
    run = trainer(monkeypatch, name, **options)
    run.compute.fuse(backend=counting)
    dead = []
    for _ in range(121):
        run._advance()
        dead.append(0 if run.sae.dead is None else int(run.sae.dead.sum()))
    assert 0 < len(graphs) <= GRAPHS + ("k_warmup_steps" in options)
    assert len(set(dead)) > 3 or not run.sae.dead_window_tokens


@pytest.mark.parametrize("given", ["defaults", "options"])
@pytest.mark.parametrize("name", VARIANTS)
def test_a_step_is_few_operations_and_waits_for_none(name, given, monkeypatch):
    options = {key: value for key, value in OPTIONS.items() if uses(name, key)}
    run = trainer(monkeypatch, name, **(options if given == "options" else {}))
    for _ in range(21):
        run._advance()
    with Operations() as operations:
        run._advance()
    assert not operations.counts.keys() & set(WAITS)
    if given == "defaults":
        assert 0.8 * OPERATIONS[name] < operations.counts.total() <= OPERATIONS[name]


def test_a_wait_is_seen(monkeypatch):
    run = trainer(monkeypatch, "topk")
    with Operations() as operations:
        run._advance()  # is logged, and lists the dead latents
    assert {"nonzero", "_local_scalar_dense"} <= operations.counts.keys()


@pytest.mark.parametrize("most", [1, 7, 40, 61])
@pytest.mark.parametrize("part", [64, 16, 7])
def test_the_strongest_of_a_large_batch_are_found_in_parts(part, most, monkeypatch):
    """More entries than PyTorch sorts at once on a GPU."""
    monkeypatch.setattr("sagsae.autoencoders.auxk.LARGEST_SORT", part)
    keys = torch.rand(1, 61, generator=torch.Generator().manual_seed(0))
    kept = strongest(2 * keys, keys, most)
    assert (kept != 0).sum() == most
    assert kept[kept != 0].sort().values.equal(2 * keys[0].sort().values[61 - most :])
