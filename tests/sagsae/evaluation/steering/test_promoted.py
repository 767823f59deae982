"""Promoted tokens against whole logits, on every architecture."""

from __future__ import annotations

import torch

from sagsae.evaluation.steering import promoted
from sagsae.evaluation.steering.promoted import promoted_tokens
from tests.sagsae.evaluation.samples import HIDDEN

NORMS = {"gpt_neox": "final_layer_norm", "gpt2": "ln_f", "opt": "final_layer_norm"}


def norm_of(model):
    return getattr(model.get_decoder(), NORMS.get(model.config.model_type, "norm"))


def test_they_are_the_ends_of_the_logits(model, monkeypatch):
    monkeypatch.setattr(promoted, "LOGITS_AT_ONCE", 2 * len(model.get_output_embeddings().weight))
    rows = torch.randn(5, HIDDEN, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        norm = norm_of(model)
        for parameter in norm.parameters():
            parameter += torch.randn(HIDDEN, generator=torch.Generator().manual_seed(1)) / 3
        seen = (norm(rows) - norm(-rows)) / 2
        logits = seen @ model.get_output_embeddings().weight.T
    scores = (logits - logits.mean(1, True)) / logits.std(1, unbiased=False, keepdim=True)
    found = promoted_tokens(model, rows, 4)
    up, down = scores.topk(4), (-scores).topk(4)
    assert torch.equal(found.up, up.indices)
    assert torch.equal(found.down, down.indices)
    torch.testing.assert_close(found.up_scores, up.values, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.down_scores, -down.values, rtol=1e-4, atol=1e-4)
