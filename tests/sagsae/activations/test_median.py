"""The geometric median, where the decoder's bias may start."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sagsae.activations.rows import geometric_median, rows_of
from sagsae.api import opened_trainer
from sagsae.training.recipe import Recipe
from tests.pipeline.tiny_study import make_tiny_study


def sum_of_distances(point: Tensor, points: Tensor) -> Tensor:
    return (points - point).norm(dim=1).sum()


def minimised(points: Tensor) -> Tensor:
    """The same by gradients."""
    point = points.mean(0).requires_grad_()
    search = torch.optim.LBFGS([point], max_iter=500, line_search_fn="strong_wolfe")

    def slope() -> Tensor:
        search.zero_grad()
        total = sum_of_distances(point, points)
        total.backward()
        return total

    search.step(slope)
    return point.detach()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_other_point_is_nearer_to_all(seed):
    """Against a minimiser of another kind, on skewed points whose mean is far from it."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(200, 3, generator=generator, dtype=torch.float64).pow(6) * 20
    found, best = geometric_median(points), minimised(points)
    torch.testing.assert_close(found, best, rtol=1e-3, atol=1e-3)
    least = sum_of_distances(best, points)
    assert sum_of_distances(found, points) <= least * (1 + 1e-6)
    assert sum_of_distances(points.mean(0), points) > least * 1.01


def test_a_decoder_starts_there(tmp_path):
    """In the units in which it is trained, of the first rows of the store."""
    store = make_tiny_study(tmp_path, "gpt_neox").store("train")
    how = {"steps": 1, "batch_size": 8, "lam": 0.0, "k": 2, "learning_rate": 1e-3}
    rows = rows_of(store, "resid")
    for norm in ("unit", "sqrt_d"):
        recipe = Recipe(**how, b_dec_init="median", input_norm=norm)
        with opened_trainer(rows, "topk", 12, recipe) as trainer:
            sae = trainer.sae
        expected = geometric_median(rows.first()) * sae.scale
        torch.testing.assert_close(sae.params["b_dec"], expected, rtol=1e-4, atol=1e-6)
        with opened_trainer(rows, "topk", 12, Recipe(**how, input_norm=norm)) as trainer:
            other = trainer.sae
        assert not torch.allclose(other.params["b_dec"], expected, rtol=1e-4)
