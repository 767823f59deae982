"""Codes by side, against the dense code that they are made of."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sagsae.evaluation.sides import SideCodes, decoder_of_sides, latents_of
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


def test_activations_are_scaled_and_the_dtype_of_the_store_is_read():
    planted = Planted(torch.eye(2), lambda x: x)
    planted.scale = 2.0
    codes = SideCodes.of(planted, [torch.tensor([[1.0, -2.0]]).bfloat16()])
    assert codes.columns(torch.tensor([0, 3])).tolist() == [[2.0, 4.0]]


def test_the_negative_side_of_a_latent_points_the_other_way():
    decoder = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    assert decoder_of_sides(decoder).tolist() == [[1, 0], [0, 2], [-1, 0], [0, -2]]
    assert latents_of(torch.tensor([0, 1, 2, 3]), 2).tolist() == [0, 1, 0, 1]


@settings(max_examples=30)
@given(signed_codes())
def test_sides_and_their_decoder_rows_reconstruct_what_the_code_does(z):
    decoder = torch.randn(z.shape[1], 4, generator=torch.Generator().manual_seed(0)).double()
    sides = codes_of(z).columns(torch.arange(2 * z.shape[1]))
    assert torch.allclose(sides @ decoder_of_sides(decoder), z.double() @ decoder, atol=1e-12)


def test_a_dead_code_has_no_entries():
    codes = codes_of(torch.zeros(4, 3))
    assert codes.mean().tolist() == [0.0] * 6
    with pytest.raises(IndexError):
        codes.take(torch.tensor([4]))
