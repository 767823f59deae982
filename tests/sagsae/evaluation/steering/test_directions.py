"""Which latents and pairs are steered along, on dictionaries whose answer is known."""

from __future__ import annotations

import math

import pytest
import torch

from sagsae.evaluation.calibration import Firings
from sagsae.evaluation.steering import directions
from sagsae.evaluation.steering.directions import (
    nearest,
    opposite_pairs,
    random_directions,
    strongest_two_sided,
)


def firings(plus, minus, energy) -> Firings:
    """Counts by sign, and the energy of each latent, half of it on either sign."""
    count = torch.tensor([plus, minus])
    half = torch.tensor(energy, dtype=torch.float64) / 2
    return Firings(count, torch.stack([half, half]), torch.zeros(2, len(energy)))


def test_the_strongest_latents_with_both_signs_come_first():
    found = firings([3, 1, 0, 5, 2], [1, 9, 7, 0, 2], [1.0, 4.0, 9.0, 8.0, 4.0])
    assert strongest_two_sided(found, 2).tolist() == [1, 4]
    assert strongest_two_sided(found, 9).tolist() == [1, 4, 0]
    none = firings([3, 0], [0, 3], [1.0, 1.0])
    assert strongest_two_sided(none, 5).tolist() == []


def angles(*degrees: float) -> torch.Tensor:
    return torch.tensor([[math.cos(math.radians(a)), math.sin(math.radians(a))] for a in degrees])


def test_pairs_are_the_most_opposed_and_share_no_latent():
    """0 and 170 are the most opposed; then 60 and 225, since 0 is taken; 100 is left."""
    rows = angles(0, 60, 170, 225, 100)
    alike = firings([1] * 5 + [1] * 5, [0] * 10, [5.0, 3.0, 6.0, 4.0, 2.0] + [0.1] * 5)
    weak = torch.cat([rows, -rows])  # exactly opposed, and too weak to compete
    pairs, cosines = opposite_pairs(3 * weak, alike, 9)
    assert pairs.tolist() == [[2, 0], [3, 1]]  # the stronger one first
    expected = [math.cos(math.radians(a)) for a in (170, 165)]
    assert cosines.tolist() == pytest.approx(expected)
    assert opposite_pairs(weak, alike, 1)[0].tolist() == [[2, 0]]


def test_pairs_agree_with_all_cosines_however_many_rows_are_taken_at_once(monkeypatch):
    rows = random_directions(40, 6, seed=1)
    found = firings([1] * 40, [0] * 40, list(range(40, 0, -1)))
    table = (rows[:20] @ rows[:20].T).double()
    expected, left = [], list(range(20))
    for _ in range(5):
        pair = min(((i, j) for i in left for j in left if i < j), key=lambda p: float(table[p]))
        expected.append(list(pair))
        left = [i for i in left if i not in pair]
    for size in (3, 4096):
        monkeypatch.setattr(directions, "ROWS_AT_ONCE", size)
        assert opposite_pairs(rows, found, 5)[0].tolist() == expected


def test_the_nearest_rows_are_those_most_along_and_most_against(monkeypatch):
    monkeypatch.setattr(directions, "ROWS_AT_ONCE", 2)
    others = angles(10, 95, 200, 300) * torch.tensor([[1.0], [9.0], [0.1], [2.0]])
    numbers, cosines = nearest(5 * angles(0, 90, 290), others)
    assert numbers.tolist() == [[0, 2], [1, 3], [3, 1]]
    expected = [[10, 160], [5, 150], [10, 165]]
    wanted = [math.cos(math.radians(a)) for pair in expected for a in pair]
    assert cosines.flatten().tolist() == pytest.approx(wanted, abs=1e-6)
