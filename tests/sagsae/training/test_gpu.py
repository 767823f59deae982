"""What a GPU needs of the step, as far as a machine without one can tell."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from sagsae.autoencoders.registry import GATED, of_family
from sagsae.training.optimiser import Optimiser
from sagsae.training.step import Step
from tests.sagsae.autoencoders.test_variants import batch, random_autoencoder
from tests.sagsae.training.test_training import trainer

WAITS = ("_local_scalar_dense", "nonzero", "is_nonzero", "equal", "unique", "masked_select")
"""Operations whose result the host must wait for."""


class Waits(TorchDispatchMode):
    """Records every operation that would make the host wait for a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name in WAITS or (name == "index" and args[1][0].dtype == torch.bool):
            self.found.append(name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", ["gated", "sagsae_tied", "sagsae_noaux"])
def test_the_loop_does_not_wait(name, monkeypatch):
    """Between logged steps and reset windows; on a CPU alone is every loss looked at."""
    run = trainer(name, reset_window_tokens=64 * 50)
    run.compute = Step(run.sae, run.recipe.batch_size, torch.float32)
    run.optimiser = Optimiser(run.compute, run.recipe)
    monkeypatch.setattr(run, "_check_finite", lambda: None)
    waits = {}
    for step in range(45):
        with Waits() as mode:
            run._advance()
        waits[step] = mode.found
    assert [step for step, found in waits.items() if found] == [0, 20, 40]


def test_the_wait_is_seen():
    with Waits() as mode:
        assert torch.ones(2).sum() > 0
    assert mode.found == ["_local_scalar_dense"]


@pytest.mark.parametrize("name", of_family(GATED))
def test_fused_parts_equal_plain_ones(name):
    """Captured whole, with lambda changing from step to step."""
    torch.compiler.reset()
    sae = random_autoencoder(name, 8, 20, 3)
    plain, fused = Step(sae, 33, torch.float64), Step(sae, 33, torch.float64)
    fused.fuse(backend="aot_eager")
    with torch._dynamo.config.patch(error_on_recompile=True):
        for k in range(3):
            x, lam = batch(33, 8, k), 0.1 * k
            fired = [torch.zeros(20, dtype=torch.bool) for _ in range(2)]
            expected, found = plain(x, lam, fired[0]), fused(x, lam, fired[1])
            torch.testing.assert_close(vars(found), vars(expected))
            assert torch.equal(*fired)
            for key, value in plain.grads.items():
                torch.testing.assert_close(fused.grads[key], value)
