"""Codes by side, against the dense code that they are made of."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sagsae.evaluation.probing.probes import SideCodes, decoder_of_sides
from tests.sagsae.evaluation.planted import Planted


def dense(z: torch.Tensor) -> torch.Tensor:
    """[n, 2 H], the positive sides before the negative ones."""
    return torch.cat([z.clamp(min=0), (-z).clamp(min=0)], 1).double()


def codes_of(z: torch.Tensor) -> SideCodes:
    planted = Planted(torch.eye(z.shape[1]), lambda x: x)
    return SideCodes.of(planted, z.split(3))


@st.composite
def signed_codes(draw) -> torch.Tensor:
    rows, width = draw(st.integers(1, 12)), draw(st.integers(1, 6))
    values = st.sampled_from([0.0, 0.0, 0.0, 1.5, -0.25, 3.0, -2.0])
    flat = draw(st.lists(values, min_size=rows * width, max_size=rows * width))
    return torch.tensor(flat).view(rows, width)


@settings(max_examples=60)
@given(signed_codes(), st.data())
def test_rows_columns_and_means_are_those_of_the_dense_code(z, data):
    codes, full = codes_of(z), dense(z)
    assert len(codes) == len(z)
    every = torch.arange(2 * z.shape[1])
    assert torch.equal(codes.columns(every), full)
    assert torch.allclose(codes.mean(), full.mean(0), atol=1e-12)
    assert torch.equal(codes.firings(), (full > 0).sum(0))
    rows = data.draw(st.lists(st.integers(0, len(z) - 1), max_size=8))
    sides = data.draw(st.lists(st.sampled_from(every.tolist()), unique=True))
    part = codes.take(torch.tensor(rows, dtype=torch.int64))
    chosen = torch.tensor(sides, dtype=torch.int64)
    assert torch.equal(part.columns(chosen), full[rows][:, chosen])


@settings(max_examples=30)
@given(signed_codes())
def test_sides_and_their_decoder_rows_reconstruct_what_the_code_does(z):
    decoder = torch.randn(z.shape[1], 4, generator=torch.Generator().manual_seed(0)).double()
    sides = codes_of(z).columns(torch.arange(2 * z.shape[1]))
    assert torch.allclose(sides @ decoder_of_sides(decoder), z.double() @ decoder, atol=1e-12)
