"""Dead latents by where they began."""

from __future__ import annotations

import torch

from sagsae.evaluation.signs.starts import DeadByStart, dead_by_start


def test_shares_of_the_quarters_that_began_against_and_along_the_mean():
    cosines = torch.tensor([-0.9, -0.5, -0.1, 0.0, 0.1, 0.3, 0.6, 0.9])
    rows = torch.stack([cosines, (1 - cosines**2).sqrt()], dim=1)
    rows *= torch.arange(1.0, 9)[:, None]  # norms do not count
    dead = torch.tensor([True, False, True, True, True, True, False, False])
    assert dead_by_start(rows, torch.tensor([5.0, 0.0]), dead) == DeadByStart(0.5, 0.0)
