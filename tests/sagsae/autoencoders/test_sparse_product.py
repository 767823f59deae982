"""A product with a sparse code is the dense one within rounding, and costs what is not zero."""

from __future__ import annotations

import pytest
import torch

from sagsae.autoencoders.dictionary import sparse_product


def made(rows: int, share: float, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    codes = torch.randn(rows, 300, dtype=dtype)
    kept = torch.rand(rows, 300) < share
    kept[0] = False  # a row without an entry
    return torch.where(kept, codes, 0), torch.randn(300, 20, dtype=dtype)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.09, 0.5, 1.0])
@pytest.mark.parametrize(("dtype", "within"), [(torch.float32, 1e-5), (torch.float64, 1e-13)])
def test_it_is_the_product(share, dtype, within):
    codes, matrix = made(64, share, dtype)
    expected = codes.double() @ matrix.double()
    with torch.no_grad():
        found = sparse_product(codes, matrix)
    assert found.dtype == dtype
    assert (found - expected).abs().max() <= within * (1 + expected.abs().max())
    assert found[0].eq(0).all()


def test_gradients_take_the_dense_product():
    codes, matrix = made(8, 0.05, torch.float64)
    codes.requires_grad_()
    sparse_product(codes, matrix).sum().backward()
    torch.testing.assert_close(codes.grad, matrix.sum(1).expand(8, -1))
