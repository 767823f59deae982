"""From activations and labels to scores, on features of both signs that were planted."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
import torch

from sagsae.evaluation.probing.scores import probe_activations, probe_autoencoder
from sagsae.evaluation.probing.tasks import Sampling, gathered, make_tasks
from sagsae.evaluation.probing.token_labels import Labelling
from tests.sagsae.evaluation.planted import Planted

ROWS, D, KS = 4000, 16, (1, 2)


@pytest.fixture(scope="module")
def planted():
    """Eight letters. Letters 2 i and 2 i + 1 are the two senses of axis i; a digit is on axis 8, so
    that a token may have both; a rotation hides the axes."""
    rng = np.random.default_rng(0)
    letter = rng.integers(0, 8, ROWS)
    digit = rng.random(ROWS) < 0.4
    features = np.zeros((ROWS, D), np.float32)
    features[np.arange(ROWS), letter // 2] = np.where(letter % 2 == 0, 1.0, -1.0)
    features[:, 8] = digit
    rotation = np.linalg.qr(rng.standard_normal((D, D)))[0].astype(np.float32)
    x = torch.from_numpy(features @ rotation + 0.02 * rng.standard_normal((ROWS, D)).astype("f4"))
    labellings = [
        Labelling("letter", tuple("abcdefgh"), letter.astype(np.int16)),
        Labelling("digit", ("digit",), np.where(digit, 0, -1).astype(np.int16)),
    ]
    tasks, left_out = make_tasks(labellings, np.repeat(np.arange(ROWS // 20), 20), Sampling())
    assert not left_out
    rows, tasks = gathered(tasks)
    decoder = torch.from_numpy(rotation[[0, 1, 2, 3, 8]])

    def two_sided(x):
        z = x @ decoder.T
        return torch.where(z.abs() > 0.5, z, 0.0)

    both = torch.cat([decoder, -decoder])
    signed = Planted(decoder, two_sided)
    one_sided = Planted(both, lambda x: torch.where(x @ both.T > 0.5, x @ both.T, 0.0))
    x = x[rows]
    return x, tasks, probe_activations(x, tasks, KS), signed, one_sided


def test_every_label_is_one_side(planted):
    x, tasks, baselines, signed, _ = planted
    found = probe_autoencoder(signed, x, tasks, KS, baselines)
    assert (found.sides, found.latents) == (9, 5)
    sides = [int(one.probes[0].features) for one in found.tasks]
    assert sides == [0, 5, 1, 6, 2, 7, 3, 8, 4]
    assert all(one.probes[0].score.accuracy > 0.999 for one in found.tasks)
    assert all(one.latents[0] == 1 for one in found.tasks)
    letters = [one.absorption for one in found.tasks[:-1]]
    assert all(one.main.tolist() == sides[i : i + 1] for i, one in enumerate(letters))
    assert max(one.fraction for one in letters) == max(one.full for one in letters) == 0.0
    assert found.tasks[-1].absorption is None


def test_a_dictionary_of_twice_as_many_latents_of_one_sign_scores_the_same(planted):
    x, tasks, baselines, signed, one_sided = planted
    two = probe_autoencoder(signed, x, tasks, KS, baselines)
    one = probe_autoencoder(one_sided, x, tasks, KS, baselines)
    assert (one.sides, one.latents) == (9, 9)
    for mine, theirs in zip(two.tasks, one.tasks, strict=True):
        assert [asdict(p.score) for p in mine.probes] == [asdict(p.score) for p in theirs.probes]
        assert mine.probes[0].features.tolist() == theirs.probes[0].features.tolist()


def test_threads_and_other_tasks_change_nothing(planted):
    x, tasks, baselines, signed, _ = planted
    before, found = torch.get_num_threads(), []
    try:
        for threads, order in ((1, slice(None)), (3, slice(None, None, -1))):
            torch.set_num_threads(threads)
            own = tasks[order]
            base = probe_activations(x, own, KS)
            scores = probe_autoencoder(signed, x, own, KS, base)
            found.append({t.name: repr(one) for t, one in zip(own, scores.tasks, strict=True)})
            found.append(
                {t.name: b.dense.line.weight.tolist() for t, b in zip(own, base, strict=True)}
            )
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[2]
    assert found[1] == found[3]
    assert found[1][tasks[0].name] == baselines[0].dense.line.weight.tolist()
