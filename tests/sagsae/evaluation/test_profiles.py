"""What is kept of latents, against plain reads of whole codes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from pipeline.data.tokenise import open_tokens
from sagsae.activations.store import Store
from sagsae.activations.stream import iterate
from sagsae.activations.tokens import TokenStore, places_of_rows
from sagsae.autoencoders.base import Autoencoder
from sagsae.evaluation.metrics import accumulate
from sagsae.evaluation.profiles import (
    INTERVALS,
    Keep,
    Profiles,
    profile_latents,
    random_numbers,
)
from tests.pipeline.tiny_study import LENGTH, make_tiny_study

WIDTH = 40
KEEP = Keep(top=3, samples=2, window=4, seed=7)


@dataclass
class Sample:
    """A small store, its contexts, where its rows are from, and the code of every place."""

    store: Store
    tokens: TokenStore
    places: np.ndarray
    sae: Autoencoder
    code: np.ndarray
    """[contexts * L, H]; NaN where no row was stored."""


@pytest.fixture(scope="module")
def sample(tmp_path_factory) -> Sample:
    """Of a study of which every context is a document; its norm rule drops some positions."""
    tiny = make_tiny_study(tmp_path_factory.mktemp("study"), "gpt_neox")
    store, tokens = tiny.store(), open_tokens(tiny.tokens)
    labels = [store.read_tokens(block) for block in store.blocks]
    document, position = (
        np.concatenate([part[name] for part in labels]) for name in ("doc_id", "position")
    )
    places = document.astype(np.int64) * LENGTH + position
    sae = tiny.started("sagsae_tied", WIDTH)
    rows = torch.cat(list(iterate(store, "resid", 64)))
    code = np.full((tokens.input_ids.size, WIDTH), np.nan, np.float32)
    code[places] = sae.code(rows.float() * sae.scale).detach().numpy()
    return Sample(store, tokens, places, sae, code)


@pytest.fixture(scope="module")
def found(sample) -> Profiles:
    return profile_latents(sample.sae, sample.store, "resid", sample.tokens, KEEP)


def test_places_are_found_where_documents_do_not_tell(sample, tmp_path):
    """Of the same contexts, in which documents end anywhere and come in any order."""
    found = [places_of_rows(sample.store, sample.tokens, block) for block in sample.store.blocks]
    assert np.concatenate(found).tolist() == sample.places.tolist()
    other = make_tiny_study(tmp_path, "gpt_neox", {"one": 0})
    store, tokens = other.store(), open_tokens(other.tokens)
    assert store.dropped["norm"] > 5
    found = [places_of_rows(store, tokens, block) for block in store.blocks]
    assert np.concatenate(found).tolist() == sample.places.tolist()


def test_sums_are_those_of_the_evaluation(sample, found):
    expected = accumulate(sample.sae, iterate(sample.store, "resid", 64)).firings
    assert torch.equal(found.firings.count, expected.count)
    torch.testing.assert_close(found.firings.energy, expected.energy)
    torch.testing.assert_close(found.firings.slopes, expected.slopes, equal_nan=True)
    assert found.tokens == len(sample.places)
    assert (found.firings.count > 0).all(0).sum() > 10


def sizes(sample: Sample, side: int, latent: int) -> np.ndarray:
    """Sizes of the activations of one sign at every place; 0 where there is none."""
    return np.nan_to_num(np.maximum(sample.code[:, latent] * (-1) ** side, 0))


def test_histograms_have_every_firing_in_its_bin(sample, found):
    for side in range(2):
        for latent in range(WIDTH):
            z = sizes(sample, side, latent)
            z = z[z > 0]
            counts = found.bins.counts[side, latent]
            if not len(z):
                assert not counts.any()
                continue
            reach = 2.0 ** found.bins.exponents[side, latent]
            assert reach / 2 <= z.max() < reach
            assert counts.tolist() == np.histogram(z, len(counts), (0, reach))[0].tolist()


def test_the_strongest_contexts_are_kept_one_place_of_each(sample, found):
    for side in range(2):
        for latent in range(WIDTH):
            by_context = sizes(sample, side, latent).reshape(-1, LENGTH)
            best = np.sort(by_context.max(1))[::-1][: KEEP.top]
            key = side * WIDTH + latent
            there = np.isfinite(found.strongest.score[key])
            assert there.sum() == (best > 0).sum()
            values = found.strongest.value[key][there]
            assert np.abs(values) == pytest.approx(best[best > 0])
            places = found.strongest.place[key][there]
            assert values.tolist() == sample.code[places, latent].tolist()
            assert len(set((places // LENGTH).tolist())) == len(places)


def test_samples_are_the_lowest_numbers_of_their_interval(sample, found):
    drawn = found.drawn
    for side in range(2):
        for latent in range(WIDTH):
            z = sizes(sample, side, latent)
            part = 2.0 ** found.bins.exponents[side, latent] / INTERVALS
            for interval in range(INTERVALS):
                inside = np.flatnonzero((z > 0) & (z // part == interval))
                numbers = random_numbers(inside.astype(np.int64) * WIDTH + latent, KEEP.seed)
                expected = inside[np.argsort(numbers)][: KEEP.samples]
                key = (side * WIDTH + latent) * INTERVALS + interval
                there = np.isfinite(drawn.score[key])
                assert drawn.place[key][there].tolist() == expected.tolist()


def test_windows_are_the_code_around(sample, found):
    """Beyond the context, and where no row is stored, nothing fires."""
    edges = 0
    for lowest, per in ((found.strongest, 1), (found.drawn, INTERVALS)):
        for key, at in zip(*np.nonzero(np.isfinite(lowest.score)), strict=True):
            latent, place = key // per % WIDTH, lowest.place[key, at]
            expected = [
                sample.code[place + offset, latent]
                if 0 <= place % LENGTH + offset < LENGTH
                else np.nan
                for offset in range(-KEEP.window, KEEP.window + 1)
            ]
            edges += np.isnan(expected).sum()
            want = np.nan_to_num(expected).astype(np.float16)
            assert lowest.window[key, at].tolist() == want.tolist()
    assert edges > 100
