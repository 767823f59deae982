"""Splicing, steering and replacing: what is taken, and what is refused."""

from __future__ import annotations

import pytest
import torch

import sagsae
from sagsae.autoencoders.base import Target
from sagsae.autoencoders.weights import build
from tests.sagsae.evaluation.samples import HIDDEN, LAYER, tiny_model

PATH = f"model.layers.{LAYER}.mlp"


def drawn(target: Target | None = None) -> sagsae.Autoencoder:
    """Weights as a training starts with them."""
    sae = build("relu", HIDDEN, 48, 1.0, target)
    sae.initialise(torch.zeros(HIDDEN), 0)
    return sae


def transcoder(**provenance: object) -> sagsae.Autoencoder:
    sae = drawn(Target(HIDDEN, 1.0))
    sae.provenance = provenance
    return sae


def logits_under(change, model, ids):
    with torch.no_grad(), change:
        return model(ids).logits


def changes(model, kept):
    """The three changes of a model that take ``kept``."""
    return (
        sagsae.splice(model, PATH, drawn(), kept),
        sagsae.steer(model, PATH, torch.ones(HIDDEN), kept),
        sagsae.replaced(model, {LAYER: transcoder(hookpoint="mlp_in", target="mlp_added")}, kept),
    )


@pytest.mark.parametrize("dtype", [torch.int64, torch.float32])
def test_an_attention_mask_of_a_tokenizer_is_what_is_kept(dtype, input_ids, kept):
    model = tiny_model("llama")
    pairs = zip(changes(model, kept), changes(model, kept.to(dtype)), strict=True)
    for of_bool, of_numbers in pairs:
        expected = logits_under(of_bool, model, input_ids)
        assert torch.equal(logits_under(of_numbers, model, input_ids), expected)
    found = [
        sagsae.loss_recovered(model, input_ids, drawn(), PATH, kept=mask)
        for mask in (kept, kept.to(dtype))
    ]
    assert found[0] == found[1]
    assert found[0].tokens == int(kept[:, :-1].sum())


@pytest.mark.parametrize("wrong", [lambda kept: kept[:, 1:], lambda kept: 2 * kept.long()])
def test_kept_of_another_shape_or_with_other_values_is_refused(wrong, input_ids, kept):
    model = tiny_model("llama")
    for change in changes(model, wrong(kept)):
        with pytest.raises(ValueError, match="kept"):
            logits_under(change, model, input_ids)
    with pytest.raises(ValueError, match="kept"):
        sagsae.loss_recovered(model, input_ids, drawn(), PATH, kept=wrong(kept))
    with pytest.raises(ValueError, match="tokens"):
        sagsae.loss_recovered(model, input_ids[0], drawn(), PATH)
