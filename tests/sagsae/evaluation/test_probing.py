"""Probes on planted features: which sides they take, and how often they are right."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from sagsae.evaluation.probing import (
    CodeProbes,
    Line,
    Score,
    Task,
    dense_probe,
    most_different,
    neuron_probe,
    probe_columns,
)
from sagsae.evaluation.sides import SideCodes
from tests.sagsae.evaluation.planted import Planted

ROWS = 400


def task_of(labels: torch.Tensor, name: str = "letter.a") -> Task:
    """The first three quarters of the rows train."""
    rows = torch.arange(len(labels))
    cut = 3 * len(labels) // 4
    return Task(name, rows[:cut], labels[:cut], rows[cut:], labels[cut:])


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


def test_a_side_and_a_latent_of_one_sign_are_worth_the_same():
    """Two sides of one latent against two latents of one sign: the same columns, the same score."""
    z, labels = signed()
    noisy = labels["up"] ^ (torch.rand(ROWS, generator=torch.Generator().manual_seed(1)) < 0.2)
    one_sided = torch.cat([z.clamp(min=0), (-z).clamp(min=0)], 1)
    for k in (1, 2, 5):
        two = CodeProbes(codes_of(z), task_of(noisy)).best(k)
        one = CodeProbes(codes_of(one_sided), task_of(noisy)).best(k)
        assert (two.features.tolist(), two.score) == (one.features.tolist(), one.score)


def test_sides_are_ranked_by_the_difference_of_their_means():
    z, labels = signed()
    task = task_of(labels["up"])
    sides = torch.cat([z.clamp(min=0), (-z).clamp(min=0)], 1)[task.train].numpy()
    own = task.train_labels.numpy()
    difference = sides[own].mean(0, dtype=float) - sides[~own].mean(0, dtype=float)
    probes = CodeProbes(codes_of(z), task)
    np.testing.assert_allclose(probes.difference, difference, atol=1e-7)
    order = np.argsort(-np.abs(difference), kind="stable")
    assert probes.best(4).features.tolist() == order[:4].tolist()


def test_features_without_a_difference_are_not_taken():
    assert most_different(torch.tensor([0.0, -2.0, 0.0, 1.0]).double(), 3).tolist() == [1, 3]
    assert most_different(torch.tensor([1.0, -1.0, 1.0]).double(), 2).tolist() == [0, 1]
    task = task_of(torch.arange(40) % 2 == 0)
    dead = CodeProbes(codes_of(torch.zeros(40, 3)), task).best(2)
    assert dead.features.tolist() == []
    assert dead.score == Score(0.5, 0.0)


def test_a_column_counts_as_much_in_any_unit():
    z, labels = signed()
    task = task_of(
        labels["up"] ^ (torch.rand(ROWS, generator=torch.Generator().manual_seed(2)) < 0.3)
    )
    train, test = z[task.train].double(), z[task.test].double()
    unit = torch.tensor([1e-6, 1.0, 1e4, 3.0]).double()
    assert probe_columns(train, test, task) == probe_columns(train * unit, test * unit, task)


def test_scores_are_those_of_the_counts():
    found = torch.tensor([True, True, False, False, True])
    labels = torch.tensor([True, False, True, False, True])
    assert Score.of(found, labels) == Score(3 / 5, pytest.approx(2 * 2 / (3 + 3)))
    assert Score.of(~labels, labels) == Score(0.0, 0.0)


def test_the_gradient_of_a_fit_vanishes():
    """Of the sum of losses and half the squared weight, written out in NumPy."""
    rng = np.random.default_rng(0)
    for columns in (1, 5, 200):
        x = rng.standard_normal((300, columns))
        labels = x @ rng.standard_normal(columns) + rng.standard_normal(300) > 0.3
        line = Line.fit(torch.from_numpy(x), torch.from_numpy(labels))
        sign = np.where(labels, 1.0, -1.0)
        weight = line.weight.numpy()
        pull = -sign / (1 + np.exp(sign * (x @ weight + line.bias)))
        assert np.abs(np.append(x.T @ pull + weight, pull.sum())).max() < 1e-4


def test_classes_that_a_line_parts_have_a_finite_answer():
    x = torch.tensor([[-3.0], [-2.0], [2.0], [1000.0]])
    line = Line.fit(x, torch.tensor([False, False, True, True]))
    assert (line.scores(x) > 0).tolist() == [False, False, True, True]
    assert 0 < float(line.weight) < 10


def test_threads_change_no_bit_of_a_fit():
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(3000, 100, generator=rng, dtype=torch.float64)
    found = []
    for threads in (1, 3):
        with threadpool_limits(threads):
            found.append(Line.fit(x, x[:, 0] > 0.3))
    assert torch.equal(found[0].weight, found[1].weight)
    assert found[0].bias == found[1].bias


class TestActivations:
    def made(self) -> tuple[torch.Tensor, Task]:
        """Coordinate 5 tells the label, far from the origin, as at a site whose mean is large."""
        rng = torch.Generator().manual_seed(4)
        labels = torch.arange(ROWS) % 2 == 0
        x = torch.randn(ROWS, 80, generator=rng) + 100
        x[:, 5] += 12 * labels
        return x, task_of(labels)

    def test_the_best_coordinate_is_found(self):
        x, task = self.made()
        found = neuron_probe(x, task, 1)
        assert found.features.tolist() == [5]
        assert found.score.accuracy == 1.0

    def test_a_line_is_for_raw_activations_and_points_at_the_feature(self):
        x, task = self.made()
        found = dense_probe(x.bfloat16(), task)
        rows = x.bfloat16()[task.test]
        assert torch.equal(found.line.scores(rows) > 0, task.test_labels)
        assert found.score == Score(1.0, 1.0)
        weight = found.line.weight / found.line.weight.norm()
        assert float(weight[5]) > 0.95

    def test_neither_the_unit_nor_the_place_of_the_origin_matters(self):
        x, task = self.made()
        noisy = Task(
            task.name, task.train, task.train_labels ^ (task.train % 7 == 0), *vars_of(task)
        )
        one = dense_probe(x, noisy)
        other = dense_probe(1000 * (x - 50), noisy)
        assert one.score == other.score
        np.testing.assert_allclose(1000 * other.line.weight, one.line.weight, atol=2e-6)


def vars_of(task: Task) -> tuple[torch.Tensor, torch.Tensor]:
    return task.test, task.test_labels
