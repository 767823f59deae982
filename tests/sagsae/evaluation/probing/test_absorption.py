"""Absorption: against rules written out row by row, and where it was planted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sagsae.evaluation.probing.absorption import Direction, absorbed, absorption
from sagsae.evaluation.probing.probes import CodeProbes, SideCodes, Task, dense_probe
from tests.sagsae.evaluation.planted import Planted


def by_the_rules(x, z, decoder, unit, main) -> tuple[float, bool]:
    """One row, as SAEBench says it: z [2 H] sizes of the sides, decoder [2 H, d]."""
    cosine = decoder @ unit / np.linalg.norm(decoder, axis=1)
    parts = z * (decoder @ unit)
    total, others = float(x @ unit), [i for i in range(len(z)) if i not in main]
    own = sum(parts[i] for i in main)
    able = sorted((parts[i] for i in others if cosine[i] >= 0.1 and parts[i] > 0), reverse=True)
    helped = sum(able[:3])
    if total <= 0 or own >= total or helped / total < 0.4:
        fraction = 0.0
    elif own <= 0:
        fraction = 1.0
    else:
        taken = min(helped, total - own)
        fraction = min(max(taken / (taken + own), 0.0), 1.0)
    firing = [i for i in range(len(z)) if z[i] > 0]
    top = max(firing, key=lambda i: (parts[i], -i), default=None)
    full = (
        total > 0
        and top is not None
        and all(z[i] < 1e-8 for i in main)
        and cosine[top] >= 0.025
        and parts[top] / total >= 0.4
    )
    return fraction, bool(full)


@settings(max_examples=150)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 4), st.integers(0, 3))
def test_every_row_is_judged_by_the_rules(seed, width, d, count):
    rng = np.random.default_rng(seed)
    z = np.where(rng.random((9, width)) < 0.5, rng.standard_normal((9, width)), 0).astype(
        np.float32
    )
    decoder = rng.standard_normal((width, d))
    unit = rng.standard_normal(d)
    unit /= np.linalg.norm(unit)
    x = z @ decoder * rng.uniform(0.5, 2, (9, 1)) + 0.3 * rng.standard_normal((9, d))
    sides = np.concatenate([np.maximum(z, 0), np.maximum(-z, 0)], 1).astype(float)
    main = rng.permutation(2 * width)[: min(count, 2 * width)]
    codes = SideCodes.of(Planted(torch.eye(width), lambda x: x), [torch.from_numpy(z)])
    direction = Direction.of(torch.from_numpy(unit), torch.from_numpy(decoder))
    fraction, full = absorbed(codes, torch.from_numpy(x @ unit), direction, torch.from_numpy(main))
    both = np.concatenate([decoder, -decoder])
    expected = [by_the_rules(x[i], sides[i], both, unit, main.tolist()) for i in range(9)]
    np.testing.assert_allclose(fraction, [one[0] for one in expected], atol=1e-9)
    assert full.tolist() == [one[1] for one in expected]


CHILDREN = 10
ROWS = 2000


class World:
    """Words that begin with one letter, a tenth of which are rare words of their own.

    The first axis is the letter, the next ten are one rare word each, which has the letter, and the
    others hold noise. Every tenth row with the letter is one of the rare words.
    """

    def __init__(self) -> None:
        rng = torch.Generator().manual_seed(0)
        row = torch.arange(ROWS)
        self.labels = row % 2 == 0
        self.rare = self.labels & (row % 20 == 0)
        self.word = (row // 20) % CHILDREN
        self.x = 0.05 * torch.randn(ROWS, 24, generator=rng)
        self.x[:, 0] = self.labels * 1.0
        self.x[:, 1 : 1 + CHILDREN] = 0
        self.x[self.rare, 1 + self.word[self.rare]] = 1.0
        cut = 3 * ROWS // 4
        self.task = Task("letter.a", row[:cut], self.labels[:cut], row[cut:], self.labels[cut:])

    def autoencoder(self, absorbs: bool, sign: float) -> Planted:
        """One latent for the letter and one for each rare word. Where these absorb, the first is
        silent on rare words, whose latents speak for the letter too. ``sign``: of all z."""
        axes = torch.eye(24)[: 1 + CHILDREN]
        decoder = axes.clone()
        if absorbs:
            decoder[1:] += axes[0]
            decoder[1:] /= 2**0.5

        def code(x: torch.Tensor) -> torch.Tensor:
            inside = x[:, : 1 + CHILDREN].round()
            z = inside.clone()
            if absorbs:
                z[:, 0] *= inside[:, 1:].sum(1) == 0
                z[:, 1:] *= 2**0.5
            return sign * z

        return Planted(sign * decoder, code)

    def measured(self, autoencoder: Planted):
        probes = CodeProbes(SideCodes.of(autoencoder, [self.x]), self.task)
        return absorption(autoencoder, self.x, probes, dense_probe(self.x, self.task))

    @property
    def share(self) -> float:
        """Of the test rows with the letter, the rare words."""
        test = self.task.test
        return float(self.rare[test].sum() / self.labels[test].sum())


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.mark.parametrize(("sign", "side"), [(1.0, 0), (-1.0, 1 + CHILDREN)])
class TestPlanted:
    def test_rare_words_that_speak_for_the_letter_are_counted(self, world, sign, side):
        found = world.measured(world.autoencoder(True, sign))
        assert found.main.tolist() == [side]
        assert found.rows == int(world.task.test_labels.sum())
        assert world.share == pytest.approx(0.1)
        assert found.full == pytest.approx(world.share)
        assert found.fraction == pytest.approx(world.share)

    def test_where_the_letter_always_has_its_latent_nothing_is_absorbed(self, world, sign, side):
        found = world.measured(world.autoencoder(False, sign))
        assert found.main.tolist() == [side]
        assert (found.full, found.fraction) == (0.0, 0.0)
