"""Words, histograms and gates of the latent browser, on small made-up cases."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.cells.browser import page
from pipeline.cells.browser.latents import gate_of
from pipeline.cells.browser.logits import unnormalised
from pipeline.cells.browser.page import Vocabulary
from sagsae.activations.tokens import TokenStore
from sagsae.autoencoders.registry import GATED, of_family
from sagsae.autoencoders.weights import build
from tests.pipeline.cells.browser.test_collect import decoded, given


def test_contexts_lie_in_files_that_begin_at_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "CONTEXTS_PER_FILE", 4)
    ids = np.random.default_rng(0).integers(5, 900, (11, 6), dtype=np.int32)
    tokens, wanted = TokenStore(ids, np.zeros_like(ids)), np.array([1, 2, 9])
    vocabulary = Vocabulary(np.unique(ids[wanted]))
    size = vocabulary.write_contexts(tmp_path, tokens, wanted)
    assert size == sum(file.stat().st_size for file in tmp_path.iterdir())
    assert sorted(file.name for file in tmp_path.iterdir()) == ["contexts-0.js", "contexts-2.js"]
    for context in wanted:
        value = given(tmp_path / f"contexts-{context // 4}.js")
        rows = decoded(value["tokens"]).reshape(-1, value["length"])
        assert vocabulary.ids[rows[context - value["first"]]].tolist() == ids[context].tolist()


@pytest.mark.parametrize("name", of_family(GATED))
def test_gates_open_where_the_code_begins(name):
    sae = build(name, 3, 4)
    for vector, value in sae.params.items():
        if vector in sae.vectors:
            value.copy_(torch.linspace(-0.2, 0.3, 4).abs() + 0.1 * vector.startswith("r"))
    sae.params["W_enc"].fill_(1 / 3)
    theta_plus, theta_minus, high, low = gate_of(sae)
    for side, (theta, opens) in enumerate(((theta_plus, high), (theta_minus, low))):
        for latent in range(4):
            if np.isinf(theta[latent]):
                assert np.isinf(opens[latent])
                x = torch.full((1, 3), -9.0)
                assert sae.code(x)[0, latent] >= 0
                continue
            at = torch.full((1, 3), float(theta[latent]) * (-1) ** side)
            shut = sae.code(at - 1e-4 * (-1) ** side)[0, latent].detach()
            just = sae.code(at + 1e-4 * (-1) ** side)[0, latent].detach().abs()
            assert shut == 0 or name == "gated"
            assert float(just) == pytest.approx(float(opens[latent]), abs=1e-3)


@pytest.mark.parametrize("make", [nn.LayerNorm, nn.RMSNorm, nn.Identity])
def test_of_a_norm_only_gain_and_mean_are_kept(make):
    torch.manual_seed(0)
    norm, rows = make(8), torch.randn(5, 8) * torch.tensor([[1e-3], [1], [5], [1], [0]])
    for parameter in norm.parameters():
        nn.init.normal_(parameter)
    expected = rows * getattr(norm, "weight", 1)
    if make is nn.LayerNorm:
        expected = (rows - rows.mean(1, keepdim=True)) * norm.weight
    found = unnormalised(norm, rows, torch.float32).detach()
    assert torch.allclose(found, expected.detach() if make is not nn.Identity else rows, rtol=1e-4)
