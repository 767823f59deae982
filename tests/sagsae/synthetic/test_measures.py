"""Measures on dictionaries and codes whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sagsae.synthetic.anomalies import ExcursionSample, auroc, direction_aurocs
from sagsae.synthetic.pairs import Matches, antipodal, match_poles
from sagsae.synthetic.runs import unit_directions

few = settings(max_examples=40)


def one_pole_a_row(n: int, repeats: int = 4) -> torch.Tensor:
    """[2 n repeats, n, 2] bool: each pole active alone, in turn."""
    return torch.eye(2 * n, dtype=torch.bool).repeat(repeats, 1).view(-1, n, 2)


def matched(W_dec: torch.Tensor, z: torch.Tensor, directions: torch.Tensor) -> Matches:
    return match_poles(W_dec, z, antipodal(directions), one_pole_a_row(len(directions)))


def signed_code(n: int) -> torch.Tensor:
    """Code of n latents that each fire with the sign of the active pole of their own pair."""
    active = one_pole_a_row(n).float()
    return active[:, :, 0] - active[:, :, 1]


@few
@given(st.integers(1, 8), st.integers(0, 2**32), st.data())
def test_a_bipolar_dictionary_consolidates_every_pair_however_it_is_permuted(n, seed, data):
    directions = unit_directions(n, 16, seed)
    order = torch.tensor(data.draw(st.permutations(range(n))))
    flip = torch.tensor(data.draw(st.lists(st.sampled_from([-1.0, 1.0]), min_size=n, max_size=n)))
    found = matched(directions[order] * flip[:, None], signed_code(n)[:, order] * flip, directions)
    assert found.consolidated(0.999).all()
    assert not found.separate(0.5).any()
    assert found.latent[:, 0].tolist() == torch.argsort(order).tolist()


@few
@given(st.integers(1, 8), st.integers(0, 2**32))
def test_two_latents_a_pair_are_separate_and_never_consolidated(n, seed):
    directions = unit_directions(n, 16, seed)
    W_dec = torch.cat([directions, -directions])
    code = torch.cat([signed_code(n), -signed_code(n)], dim=1).clamp_min(0)
    found = matched(W_dec, code, directions)
    assert not found.consolidated(0.0).any()
    assert found.separate(0.999).all()


def test_a_side_answers_from_half_of_the_rows_on():
    directions, active = torch.eye(2), one_pole_a_row(2)
    code = signed_code(2)
    positive, negative = (active[:, 0, side].nonzero()[:, 0] for side in (0, 1))
    code[positive[:2], 0] = 0.0  # two of four rows left
    code[negative[:3], 0] = 0.0  # one of four
    found = matched(directions, code, directions)
    assert found.found(0.9).tolist() == [[True, False], [True, True]]


@few
@given(
    st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=60).filter(
        lambda rows: 0 < sum(hit for _, hit in rows) < len(rows)
    )
)
def test_auroc_is_the_share_of_ordered_pairs(rows):
    scores, positive = (np.array(part) for part in zip(*rows, strict=True))
    pairs = [(a > b) + (a == b) / 2 for a in scores[positive] for b in scores[~positive]]
    assert auroc(scores, positive) == pytest.approx(np.mean(pairs), abs=1e-12)
    assert auroc(-scores, positive) == pytest.approx(1 - np.mean(pairs), abs=1e-12)


def excursions(axes: int, repeats: int = 5) -> ExcursionSample:
    """Normal rows, and each axis in each direction in turn."""
    size = torch.cat([torch.zeros(1, axes), torch.eye(axes), -torch.eye(axes)]).repeat(repeats, 1)
    axis = torch.where(size.any(1), size.abs().argmax(1), -1)
    return ExcursionSample(x=size, axis=axis, negative=size.sum(1) < 0)


def test_a_signed_latent_tells_both_directions_and_a_positive_one_only_its_own():
    sample, axes = excursions(3), torch.eye(3)
    both = direction_aurocs(axes, sample.x, axes, sample)
    assert both.tolist() == [[1.0, 1.0]] * 3
    flipped = direction_aurocs(-axes, -sample.x, axes, sample)
    assert flipped.tolist() == [[1.0, 1.0]] * 3
    one = direction_aurocs(axes, sample.x.clamp_min(0), axes, sample)
    assert one[:, 0].tolist() == [1.0] * 3
    assert one[:, 1].max() < 0.6


def test_slopes_go_to_the_poles_that_their_sides_serve():
    slopes = torch.tensor([[1.0, 3.0], [2.0, torch.nan]], dtype=torch.float64)
    matches = Matches(
        latent=torch.tensor([[1, 0], [0, -1]]),
        negative=torch.tensor([[False, True], [False, False]]),
        cosine=torch.ones(2, 2),
    )
    found = matches.slopes(slopes)
    assert found[0].tolist() == [3.0, 2.0]
    assert found[1, 0] == 1.0
    assert found[1, 1].isnan()
