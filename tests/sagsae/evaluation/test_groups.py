"""Metrics of groups of rows against NumPy in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sagsae.evaluation.metrics import GroupSums, accumulate
from tests.sagsae.evaluation.samples import FakeAutoencoder

D, WIDTH, ROWS, GROUPS = 6, 9, 1301, 4
EMPTY = 2


def rows() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return (torch.randn(ROWS, D, generator=generator) * 3 + 0.7).bfloat16()


def groups() -> torch.Tensor:
    """Of every row; one group has none, another has rows about a mean of its own."""
    drawn = torch.randint(0, GROUPS - 1, (ROWS,), generator=torch.Generator().manual_seed(1))
    return torch.where(drawn == EMPTY, GROUPS - 1, drawn)


@pytest.mark.parametrize("batch", [1, 512, ROWS])
def test_groups_agree_with_numpy_whatever_the_batches(batch):
    x, group = rows(), groups()
    x[group == 1] += 5
    sae, sums = FakeAutoencoder(D, WIDTH, 0.25), GroupSums(group, GROUPS)
    accumulate(sae, x.split(batch), sums)
    found = sums.metrics()
    values, own = x.double().numpy(), group.numpy()
    u = values * sae.scale @ sae.rotation.double().numpy()
    z = np.sign(u) * np.maximum(np.abs(u) - sae.threshold, 0)
    error = ((values - z @ sae.rotation.double().numpy().T / sae.scale) ** 2).sum(1)
    for number, metrics in enumerate(found):
        mine = own == number
        if number == EMPTY:
            assert (metrics.tokens, metrics.l0, metrics.r2, metrics.r2_common) == (0, *[None] * 3)
            continue
        sst = ((values[mine] - values[mine].mean(0)) ** 2).sum()
        common = ((values[mine] - values.mean(0)) ** 2).sum()
        assert metrics.tokens == mine.sum()
        assert metrics.l0 == pytest.approx((z[mine] != 0).sum(1).mean())
        assert metrics.sse == pytest.approx(error[mine].sum(), rel=1e-5)
        assert metrics.sst == pytest.approx(sst)
        assert metrics.sst_common == pytest.approx(common)
        assert metrics.r2 == pytest.approx(1 - error[mine].sum() / sst, rel=1e-5)
        assert metrics.r2_common == pytest.approx(1 - error[mine].sum() / common, rel=1e-5)
    assert found[1].sst_common > 2 * found[1].sst
