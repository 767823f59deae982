"""Rows whose features are known, and how autoencoders are judged by them, beside SAELens's own."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import sagsae
from sagsae.synthetic.features import BLOCK, BRANCHES, KnownFeatures, drawn_rates, levels, rates
from sagsae.synthetic.truth import judged
from tests.peers import environment

N, D, ROOTS, BLOCKS, H = 600, 24, 4, 24, 40


@pytest.fixture(scope="module")
def features() -> KnownFeatures:
    return KnownFeatures.make(N, D, 0, roots=ROOTS)


@pytest.fixture(scope="module")
def sizes(features) -> torch.Tensor:
    return torch.cat([features.block(0, number).sizes for number in range(BLOCKS)])


@pytest.fixture(scope="module")
def theirs(features, sizes, tmp_path_factory):
    """Metrics by SAELens of made-up tensors, beside these; and its generator's rows."""
    folder = tmp_path_factory.mktemp("peer")
    sae = sagsae.train(features.block(0, 0).x, "batchtopk", H, k=4, batch_size=64, tokens=6400)[0]
    blocks = [features.block(1, number) for number in range(3)]
    x, truth = torch.cat([b.x for b in blocks]), torch.cat([b.sizes for b in blocks])
    z = sae.encode(x).detach()
    given = {"decoder": sae.W_dec.detach(), "features": features.directions, "latents": z}
    given |= {"sizes": truth, "x": x, "y": sae.decode(z).detach()}
    given = {name: value.contiguous() for name, value in given.items()}
    save_file(given, folder / "in")
    sizes_of = [str(n) for n in (N, D, ROOTS, BLOCKS * BLOCK)]
    said = environment.run("known_features.py", *sizes_of, folder / "in", folder / "out")
    ours = judged(sae, features, blocks)
    return ours, json.loads(said.splitlines()[-1]), load_file(folder / "out")


@pytest.mark.slow
def test_metrics_are_those_of_saelens(theirs):
    ours, found, _ = theirs
    for name, value in found.items():
        assert getattr(ours, name) == pytest.approx(value, abs=1e-6), name


@pytest.mark.slow
def test_rates_sizes_and_exclusions_are_those_of_saelens(theirs, sizes):
    _, _, peer = theirs
    np.testing.assert_allclose(drawn_rates(N, ROOTS), peer["drawn"], rtol=2e-3)
    rows = len(sizes)
    ours, other = ((of > 0).double() for of in (sizes, peer["sizes"]))
    p, q = ours.mean(0), other.mean(0)
    error = ((p + q) / 2 * 2 / rows).sqrt().clamp_min(1e-4)
    z = (p - q) / error
    # Loadings of each are its own: they move no rate of a feature by itself, but those of children.
    assert float(z.square().mean()) < 4
    assert float(ours.sum(1).mean()) == pytest.approx(float(other.sum(1).mean()), rel=0.05)
    often = (p > 0.02) & (q > 0.02)
    means = [of[:, often].sum(0) / (of[:, often] > 0).sum(0) for of in (sizes, peer["sizes"])]
    assert float(means[0].mean()) == pytest.approx(float(means[1].mean()), rel=0.05)
    for of in (ours, other):
        for parents, children in levels(ROOTS):
            groups = of[:, children].unflatten(1, (-1, BRANCHES)).sum(2)
            assert int(groups.max()) == 1
            assert not (groups > of[:, parents]).any()


def test_rates_without_a_hierarchy_and_blocks_by_number():
    alone = KnownFeatures.make(400, 32, 3)
    drawn = [alone.block(7, number) for number in range(40)]
    fires = torch.cat([block.sizes > 0 for block in drawn]).double()
    wanted, rows = rates(400), len(fires)
    spread = (wanted * (1 - wanted) / rows).sqrt()
    # Sizes below zero are silent: few, of the widest.
    assert float(((fires.mean(0) - wanted) / spread).abs().median()) < 2
    assert torch.equal(alone.block(7, 5).x, drawn[5].x)
    assert not torch.equal(alone.block(8, 5).x, drawn[5].x)
    covariance = np.corrcoef(fires.T.numpy()[:40])
    shared = (alone.loadings[:40] @ alone.loadings[:40].T).fill_diagonal_(0).numpy()
    np.fill_diagonal(covariance, 0)
    assert np.corrcoef(covariance.ravel(), shared.ravel())[0, 1] > 0.7
    x, sizes = drawn[0]
    torch.testing.assert_close(x, sizes @ alone.directions + alone.bias)


def test_opposites_never_fire_together_and_signs_are_even():
    pairs = KnownFeatures.make(300, 32, 0, rank=0, opposites=0.5)
    paired = (pairs.partner >= 0).nonzero()[:, 0]
    assert len(paired) == 150
    assert torch.equal(pairs.partner[pairs.partner[paired]], paired)
    torch.testing.assert_close(pairs.directions[pairs.partner[paired]], -pairs.directions[paired])
    fires = pairs.block(0, 0).sizes > 0
    assert not (fires[:, paired] & fires[:, pairs.partner[paired]]).any()
    signed = KnownFeatures.make(300, 32, 0, signed=True).block(0, 0).sizes
    assert int((signed > 0).sum()) / int((signed != 0).sum()) == pytest.approx(0.5, abs=0.03)
    with pytest.raises(ValueError, match="a hierarchy of 340 of 300 features"):
        KnownFeatures.make(300, 32, 0, roots=4)


def test_a_perfect_dictionary_is_judged_perfect():
    truth = KnownFeatures.make(20, 64, 0, rank=0)
    sae = sagsae.train(truth.block(0, 0).x, "relu", 20, 0.01, batch_size=64, tokens=640)[0]
    params = sae.params
    inverse = torch.linalg.pinv(truth.directions)
    params["W_dec"].copy_(truth.directions)
    params["W_enc"].copy_(inverse)
    params["b_dec"].copy_(truth.bias * sae.scale)
    params["b_enc"].fill_(-0.1 * sae.scale)
    found = judged(sae, truth, (truth.block(1, number) for number in range(8)))
    assert found.f1 > 0.99
    assert found.mcc == pytest.approx(1, abs=1e-5)
    assert found.uniqueness == 1
    assert found.features_found == 20


@pytest.mark.parametrize("family", ["batchtopk", "absbatchtopk"])
@pytest.mark.parametrize("signed", [False, True])
def test_features_found_are_counted_once_each(family, signed):
    """Beside loops over detectors and rows."""
    features = KnownFeatures.make(40, 16, 0, rank=0, signed=signed)
    x = torch.cat([features.block(0, number).x for number in range(8)])
    sae = sagsae.train(x, family, 96, k=6, learning_rate=3e-3, batch_size=128, tokens=160_000)[0]
    drawn = features.block(1, 0)
    codes, sizes = sae.encode(drawn.x).detach().numpy(), drawn.sizes.numpy()
    truth = (features.directions / features.directions.norm(dim=1, keepdim=True)).numpy()
    two_sided = family.startswith("abs")
    found = set()
    for latent, row in enumerate(sae.W_dec.detach().numpy()):
        for sign in (1, -1) if two_sided else (1,):
            cosine = truth @ row * sign
            nearest = int((cosine if two_sided or signed else abs(cosine)).argmax())
            fires = codes[:, latent] * sign > 0
            there = sizes[:, nearest] > 0 if two_sided or not signed else sizes[:, nearest] != 0
            if 2 * (fires & there).sum() >= 0.5 * (fires.sum() + there.sum()) > 0:
                found.add(nearest)
    assert 1 < len(found) < 40
    assert judged(sae, features, [drawn]).features_found == len(found)


@pytest.mark.parametrize("features", [2, 3, 7, 8])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_few_features_have_opposites(features, share):
    """Of an odd number one has none."""
    made = KnownFeatures.make(features, 4, 0, opposites=share)
    paired = int((made.partner >= 0).sum())
    assert paired == min(2 * round(share * features / 2), 2 * (features // 2))
    assert made.block(0, 0, 50).x.isfinite().all()
    assert made.thresholds.isfinite().all()


@pytest.mark.parametrize(
    ("features", "share"), [(1, 0.0), (0, 0.0), (10, 2.0), (10, -0.5), (10, float("nan"))]
)
def test_what_no_features_can_be_made_of_is_refused(features, share):
    with pytest.raises(ValueError, match="give 2 or more, and a share from 0 to 1"):
        KnownFeatures.make(features, 4, 0, opposites=share)


@pytest.mark.parametrize("skip", [None, False, True])
def test_bfloat16_copies_are_judged(skip):
    """Also transcoders, whose skip belongs to the reconstruction."""
    truth = KnownFeatures.make(20, 32, 0, rank=0)
    x = truth.block(0, 0).x
    data, more = (x, {}) if skip is None else ((x, x), {"skip": skip})
    sae = sagsae.train(data, "relu", 20, 0.01, batch_size=64, tokens=6400, **more)[0]
    exact = judged(sae, truth, [truth.block(1, 0)])
    found = judged(sae.bfloat16(), truth, [truth.block(1, 0)])
    assert found.shrinkage == pytest.approx(exact.shrinkage, abs=0.02)
    assert found.mcc == pytest.approx(exact.mcc, abs=0.02)
    if skip:
        assert exact.shrinkage == pytest.approx(1, abs=0.1)
