"""Agreement of seeds, poles of two-sided latents and dead latents, where the answer is known."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from sagsae.evaluation.signs import (
    DeadByStart,
    Poles,
    assigned_cosines,
    best_cosines,
    consistency,
    dead_by_start,
    poles,
    signed_pairs,
)
from tests.sagsae.evaluation.planted import Planted

BASIS = torch.eye(6)


def test_a_dictionary_in_another_order_is_the_same():
    found = consistency([BASIS[:4], BASIS[[2, 0, 3, 1]] * 3], either_sign=False)
    assert (found.greedy, found.assigned, found.found) == (1, 1, 1)


def test_opposite_rows_are_the_same_for_two_sided_latents_alone():
    flipped = BASIS[:4] * torch.tensor([1, -1, 1, -1])[:, None]
    assert consistency([BASIS[:4], flipped], either_sign=True).found == 1
    one_sided = consistency([BASIS[:4], flipped], either_sign=False)
    assert one_sided.found == 0.5
    assert one_sided.greedy == pytest.approx(0.5)


def test_a_latent_must_come_back_in_every_other_seed():
    found = consistency([BASIS[:2], BASIS[:2], BASIS[[0, 5]]], either_sign=False)
    assert found.found == 0.5


def test_the_assignment_is_the_best_of_all():
    torch.manual_seed(0)
    rows, others = torch.randn(5, 8), torch.randn(5, 8)
    cosines = torch.nn.functional.cosine_similarity(rows[:, None], others[None], dim=2)
    orders = itertools.permutations(range(5))
    best = max(sum(float(cosines[i, j]) for i, j in enumerate(order)) for order in orders)
    assert float(assigned_cosines(rows, others, either_sign=False).sum()) == pytest.approx(best)
    assert torch.equal(
        best_cosines(rows, others, either_sign=True).round(decimals=5),
        cosines.abs().amax(1).round(decimals=5),
    )


@pytest.mark.parametrize("decoders", [[BASIS], [BASIS, BASIS[:0]]])
def test_one_seed_or_no_latent_says_nothing(decoders):
    with pytest.raises(ValueError, match="two seeds"):
        consistency(decoders, either_sign=False)


def test_opposite_pairs_and_what_chance_gives():
    rows = torch.cat([BASIS[:3], -BASIS[:2], BASIS[2:3] + 0.1 * BASIS[3:4]])
    found = signed_pairs(rows)
    assert (found.opposite, found.alike, found.latents) == (2, 1, 6)


def linear(rows: Tensor, *, both: bool) -> Planted:
    """Projections on the rows of a decoder, those of one sign or of both."""

    def code(x: Tensor) -> Tensor:
        codes = x @ rows.T
        codes = codes * (codes.abs() > 0.5)
        return codes if both else codes.relu()

    return Planted(rows, code)


def test_poles_that_have_a_latent_each_that_have_one_and_that_have_none():
    two = linear(BASIS[:4], both=True)
    one = linear(torch.cat([BASIS[:2], -BASIS[:1], BASIS[5:]]), both=False)
    x = torch.cat([BASIS, -BASIS, BASIS[:3], -BASIS[:3]])
    assert poles(two, one, [x[:7], x[7:]]) == Poles(1, 1, 2, 1, 0.5, 0.25)


def test_a_match_that_points_along_must_fire_with_the_pole():
    two, one = linear(BASIS[:1], both=True), linear(torch.cat([BASIS[:1], -BASIS[:1]]), both=False)
    x = torch.cat([BASIS[:1], -BASIS[:1]])
    assert poles(two, one, [x]) == Poles(1, 0, 0, 1, 1.0, 1.0)
    one.scale = 0.1  # too small to fire
    assert poles(two, one, [x]) == Poles(0, 0, 1, 1, 1.0, 1.0)


def test_a_latent_that_hardly_uses_its_other_sign_is_not_asked():
    two, one = linear(BASIS[:1], both=True), linear(BASIS[:1], both=False)
    x = torch.cat([BASIS[:1].expand(20, -1), -BASIS[:1]])
    assert poles(two, one, [x]) == Poles(0, 0, 0, 0, 0.0, 0.0)


def test_shares_of_the_quarters_that_began_against_and_along_the_mean():
    cosines = torch.tensor([-0.9, -0.5, -0.1, 0.0, 0.1, 0.3, 0.6, 0.9])
    rows = torch.stack([cosines, (1 - cosines**2).sqrt()], dim=1)
    rows *= torch.arange(1.0, 9)[:, None]  # norms do not count
    dead = torch.tensor([True, False, True, True, True, True, False, False])
    assert dead_by_start(rows, torch.tensor([5.0, 0.0]), dead) == DeadByStart(0.5, 0.0)
