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


def test_hookpoints_have_the_names_that_dump_gives_them(input_ids):
    """With a layer, with the layer before the name, as a module's path: one place."""
    model, sae, direction = tiny_model("gemma2"), drawn(), torch.ones(HIDDEN)
    for name, point in sagsae.default_hookpoints("gemma2", LAYER).items():
        for change in (
            lambda place, **how: sagsae.splice(model, place, sae, **how),
            lambda place, **how: sagsae.steer(model, place, direction, **how),
        ):
            expected = logits_under(change(point), model, input_ids)
            assert not torch.equal(logits_under(change(f"l1.{name}"), model, input_ids), expected)
            for given in (
                change(name, layer=LAYER),
                change(f"l{LAYER}.{name}"),
                change(point.path),
            ):
                assert torch.equal(logits_under(given, model, input_ids), expected)
        losses = sagsae.loss_recovered(model, input_ids, sae, point)
        assert sagsae.loss_recovered(model, input_ids, sae, name, layer=LAYER) == losses
    points = sagsae.default_hookpoints("gemma2", LAYER)
    ends = {"hookpoint": points["mlp_in"], "target": points["mlp_added"]}
    expected = sagsae.loss_recovered(model, input_ids, transcoder(), **ends)
    ends = {"hookpoint": "mlp_in", "target": "mlp_added", "layer": LAYER}
    assert sagsae.loss_recovered(model, input_ids, transcoder(), **ends) == expected


@pytest.mark.parametrize(
    ("place", "layer"),
    [("mlp", 2), ("model.layers.2.mlp", 2), ("l1.resid", 2), ("resid", None), ("resid", 4)],
)
def test_what_is_no_hookpoint_is_refused(place, layer, input_ids):
    model = tiny_model("llama")
    with pytest.raises(ValueError, match=r"hookpoint"):
        logits_under(sagsae.splice(model, place, drawn(), layer=layer), model, input_ids)


def test_losses_of_a_transcoder_need_a_target_and_those_of_an_autoencoder_have_none(input_ids):
    model, points = tiny_model("llama"), sagsae.default_hookpoints("llama", LAYER)
    source, target = points["mlp_in"], points["mlp_added"]
    with pytest.raises(ValueError, match="is a transcoder: give target"):
        sagsae.loss_recovered(model, input_ids, transcoder(), source)
    with pytest.raises(ValueError, match="no transcoder: leave target out"):
        sagsae.loss_recovered(model, input_ids, drawn(), source, target=target)


@pytest.mark.parametrize(
    "provenance",
    [
        {"hookpoint": "l1.mlp_in", "target": "l1.mlp_added"},
        {"hookpoint": "mlp_in", "target": "mlp_added", "layer": 1},
        {"hookpoint": "l1.mlp_in", "target": f"l{LAYER}.mlp_added"},
    ],
)
def test_a_transcoder_of_another_layer_is_refused(provenance):
    model = tiny_model("llama")
    with pytest.raises(ValueError, match=f"layer {LAYER}: .* was trained on layer 1"):
        sagsae.replaced(model, {LAYER: transcoder(**provenance)})


def test_transcoders_of_tensors_and_of_other_libraries_go_into_a_model(input_ids, tmp_path):
    """`train` keeps the names of both ends; what has none is told them."""
    model, rows = tiny_model("llama"), torch.randn(2, 512, HIDDEN)
    ends = {"hookpoint": "mlp_in", "target": "mlp_added"}
    run = {"lam": 0.01, "batch_size": 64, "device": "cpu"}
    named, _ = sagsae.train((rows[0], rows[1]), "relu", 48, **ends, **run)
    assert {end: named.provenance[end] for end in ends} == ends
    expected = logits_under(sagsae.replaced(model, {LAYER: named}), model, input_ids)
    with torch.no_grad():
        assert not torch.equal(model(input_ids).logits, expected)
    bare = sagsae.load(sagsae.export_saelens(named, tmp_path))
    assert bare.provenance.keys().isdisjoint(ends)
    with pytest.raises(ValueError, match="give source"):
        sagsae.replaced(model, {LAYER: bare})
    told = sagsae.replaced(model, {LAYER: bare}, source="mlp_in", target="mlp_added")
    torch.testing.assert_close(logits_under(told, model, input_ids), expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="no transcoder"):
        sagsae.replaced(model, {LAYER: drawn()}, source="mlp_in", target="mlp_added")
