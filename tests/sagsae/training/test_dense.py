"""Which batches get dense products on a CPU, and whole trainings on either path."""

from __future__ import annotations

import pytest
import torch

from sagsae.activations.cpu_products import CpuKind
from sagsae.autoencoders.registry import MATRYOSHKA, VARIANTS, of_family
from sagsae.autoencoders.weights import build
from sagsae.training.cpu_step import CpuStep
from tests.sagsae.training.test_training import B, D
from tests.sagsae.training.test_ungated_training import trainer

SHARES = {
    (CpuKind.AMX, torch.bfloat16): 0.043,
    (CpuKind.AVX512_BF16, torch.bfloat16): 0.22,
    (CpuKind.NO_BFLOAT16, torch.bfloat16): torch.inf,
    **{(kind, torch.float32): 0.28 for kind in CpuKind},
}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_a_batch_goes_by_its_share_of_open_entries_and_the_kind_of_cpu(each_cpu_kind, dtype):
    """Thresholds open a given number of latents for every row."""
    share = SHARES[each_cpu_kind, dtype]
    width = 200
    sae = build("sagsae_tied", D, width)
    sae.initialise(torch.zeros(D), 0)
    step, x = CpuStep(sae, B, dtype), torch.randn(B, D)
    assert step.dense_from == share
    for many in (8, 9, 29, 31, 55, 57, width):
        sae.params["theta"].fill_(1e3)[:many] = -1e-9
        step(x, 0.1)
        assert (step.entries.ends - step.entries.starts == many).all()
        assert step.dense == (many / width >= share)


@pytest.mark.parametrize("name", sorted(set(VARIANTS) - set(of_family(MATRYOSHKA))))
def test_both_paths_train_alike(name):
    """In float64 but for rounding; and a training that is never dense is as one that cannot be."""
    found = {}
    for share in (0.0, torch.inf, 1.1):
        run = trainer(name, steps=20)
        run.compute.dense_from = share
        run.run()
        found[share] = run
        assert run.compute.dense == (share == 0.0)
    for key, value in found[torch.inf]._tensors().items():
        assert torch.equal(found[1.1]._tensors()[key], value), key
    for key, value in found[torch.inf].sae.params.items():
        torch.testing.assert_close(found[0.0].sae.params[key], value, rtol=1e-2, atol=1e-3, msg=key)


@pytest.mark.parametrize("name", of_family(MATRYOSHKA))
def test_nested_groups_have_no_dense_path(name):
    run = trainer(name, steps=2)
    run.compute.dense_from = 0.0
    run.run()
    assert not run.compute.dense
