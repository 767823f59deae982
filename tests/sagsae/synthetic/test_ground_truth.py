"""What must hold where the truth is known, on trained autoencoders, for three seeds each."""

from __future__ import annotations

import pytest

from sagsae.synthetic.anomalies import ExcursionSource, direction_aurocs
from sagsae.synthetic.pairs import PairSource, antipodal, match_poles
from sagsae.synthetic.runs import measure, train, unit_directions
from sagsae.training.recipe import Recipe

pytestmark = [pytest.mark.long, pytest.mark.slow]

PAIRS, D, ROWS = 8, 32, 8192
SEEDS = [0, 1, 2]


def recipe(lam: float) -> Recipe:
    return Recipe(
        steps=1000,
        batch_size=512,
        lam=lam,
        learning_rate=3e-3,
        lr_warmup_steps=50,
        lambda_warmup_steps=100,
        matmul_dtype="float32",
    )


def pairs(seed: int, **changes: float) -> PairSource:
    poles = antipodal(unit_directions(PAIRS, D, seed))
    return PairSource(poles=poles, probability=0.5 / PAIRS, **changes)


@pytest.mark.parametrize("seed", SEEDS)
def test_one_signed_latent_a_pair_where_gated_needs_two(seed):
    source, rates = pairs(seed), {}
    for variant, width in (("sagsae_tied", PAIRS), ("gated", 2 * PAIRS)):
        found = measure(train(source, variant, width, recipe(0.8), seed), source, ROWS, seed)
        matches = match_poles(found.W_dec, found.z, source.poles, found.sample.active())
        rates[variant] = matches.consolidated(0.9).double().mean()
        assert found.metrics.r2 > 0.9
    assert rates["sagsae_tied"] >= 0.85
    assert rates["gated"] == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_both_signs_are_true_to_size_however_unequal_they_are(seed):
    source = pairs(seed, negative_scale=4.0, noise=0.03)
    found = measure(train(source, "sagsae_tied", PAIRS, recipe(0.3), seed), source, ROWS, seed)
    matches = match_poles(found.W_dec, found.z, source.poles, found.sample.active())
    mean = matches.slopes(found.metrics.slopes).nanmean(0)
    assert mean.tolist() == pytest.approx([1.0, 1.0], abs=0.05)


@pytest.mark.parametrize("seed", SEEDS)
def test_under_half_the_latents_a_signed_code_tells_more_directions(seed):
    axes = unit_directions(PAIRS, D, seed)
    source = ExcursionSource(axes=axes, fluctuation=0.3, share=0.5, low=1, high=2)
    means = {}
    for variant in ("sagsae_tied", "gated"):
        found = measure(train(source, variant, PAIRS // 2, recipe(0.9), seed), source, ROWS, seed)
        means[variant] = direction_aurocs(found.W_dec, found.z, axes, found.sample)
    assert means["sagsae_tied"].mean() > means["gated"].mean() + 0.07
    assert means["sagsae_tied"].min(1).values.mean() > means["gated"].min(1).values.mean() + 0.1
