"""Probes on planted features: which sides they take, and how often they are right."""

from __future__ import annotations

import pytest
import torch

from sagsae.evaluation.probing.probes import CodeProbes, Score, SideCodes, Task, dense_probe
from tests.sagsae.evaluation.planted import Planted

ROWS = 400


def task_of(labels: torch.Tensor) -> Task:
    """The first three quarters of the rows train."""
    rows = torch.arange(len(labels))
    cut = 3 * len(labels) // 4
    return Task("letter.a", rows[:cut], labels[:cut], rows[cut:], labels[cut:])


def signed() -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """A code of four latents. Latent 1 is above 0 for one label, below 0 for another."""
    rng = torch.Generator().manual_seed(0)
    z = 0.3 * torch.randn(ROWS, 4, generator=rng)
    which = torch.arange(ROWS) % 4
    z[:, 1] = torch.where(which == 0, 1.0, torch.where(which == 1, -2.0, 0.0))
    return z, {"up": which == 0, "down": which == 1}


def codes_of(z: torch.Tensor) -> SideCodes:
    return SideCodes.of(Planted(torch.eye(z.shape[1]), lambda x: x), [z])


@pytest.mark.parametrize(("label", "side"), [("up", 1), ("down", 5)])
def test_one_side_of_a_latent_is_found_for_each_label(label, side):
    z, labels = signed()
    probes = CodeProbes(codes_of(z), task_of(labels[label]))
    found = probes.best(1)
    assert found.features.tolist() == [side]
    assert found.score == Score(1.0, 1.0)
    assert len(probes.best(3).features) == 3
    assert probes.best(3).features[0] == side


def test_scores_are_those_of_the_counts():
    found = torch.tensor([True, True, False, False, True])
    labels = torch.tensor([True, False, True, False, True])
    assert Score.of(found, labels) == Score(3 / 5, pytest.approx(2 * 2 / (3 + 3)))
    assert Score.of(~labels, labels) == Score(0.0, 0.0)


class TestActivations:
    def made(self) -> tuple[torch.Tensor, Task]:
        """Coordinate 5 tells the label, far from the origin, as at a site whose mean is large."""
        rng = torch.Generator().manual_seed(4)
        labels = torch.arange(ROWS) % 2 == 0
        x = torch.randn(ROWS, 80, generator=rng) + 100
        x[:, 5] += 12 * labels
        return x, task_of(labels)

    def test_a_line_is_for_raw_activations_and_points_at_the_feature(self):
        x, task = self.made()
        found = dense_probe(x.bfloat16(), task)
        rows = x.bfloat16()[task.test]
        assert torch.equal(found.line.scores(rows) > 0, task.test_labels)
        assert found.score == Score(1.0, 1.0)
        weight = found.line.weight / found.line.weight.norm()
        assert float(weight[5]) > 0.95
