"""Spliced losses against plain forward passes, and Loss Recovered against hand-made numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sagsae.activations.cpu_products import threads_of_torch
from sagsae.evaluation import resume
from sagsae.evaluation.loss_recovered import (
    Contexts,
    LossRecovered,
    SummedLoss,
    constant,
    spliced_losses,
    token_losses,
    with_predictions,
    zeros,
)
from sagsae.evaluation.resume import find_blocks
from tests.sagsae.evaluation.samples import (
    HIDDEN,
    HOOKPOINTS,
    LAYER,
    VOCABULARY,
    point_of,
    replaced_output,
    summed_loss,
)


def reference_losses(model, input_ids):
    """[B, L - 1] float64 cross entropies from whole logits, in NumPy."""
    with torch.no_grad():
        logits = model(input_ids=input_ids, use_cache=False).logits.double().numpy()
    logits, labels = logits[:, :-1], input_ids[:, 1:].numpy()
    peak = logits.max(-1)
    log_sum = np.log(np.exp(logits - peak[..., None]).sum(-1)) + peak
    return log_sum - np.take_along_axis(logits, labels[..., None], -1)[..., 0]


@pytest.mark.parametrize("chunks", [(7, 3), (2**25, 2**18)])
def test_token_losses_agree_with_whole_logits(model, input_ids, monkeypatch, chunks):
    monkeypatch.setattr(resume, "LOGITS_PER_HEAD", chunks[0] * VOCABULARY)
    monkeypatch.setattr(resume, "LOGITS_PER_SOFTMAX", chunks[1] * VOCABULARY)
    found = token_losses(model, input_ids).loss
    assert found.dtype == torch.float32
    assert found.numpy() == pytest.approx(reference_losses(model, input_ids), abs=2e-5)


@pytest.mark.parametrize("name", HOOKPOINTS)
def test_ablated_losses_agree_with_plain_hooks(model, input_ids, kept, name):
    contexts, point = Contexts(input_ids=input_ids, kept=kept), point_of(model, name)
    mean = torch.linspace(-1, 1, HIDDEN)
    counted = kept[:, :-1].numpy()
    cases = {"zero": (zeros, lambda x: x * 0), "mean": (constant(mean), lambda x: mean)}
    for replacement, value_of in cases.values():
        with replaced_output(model, name, value_of, kept):
            expected = reference_losses(model, input_ids)[counted]
        found = summed_loss(model, contexts, 4, point, replacement)
        assert found.tokens == counted.sum()
        assert found.total == pytest.approx(expected.sum(), rel=1e-5)
    clean = summed_loss(model, contexts, 4, point)
    expected = reference_losses(model, input_ids)[counted].sum()
    assert clean.total == pytest.approx(expected, rel=1e-6)
    assert abs(found.total - expected) > 0.1


def test_divergences_agree_with_whole_vocabularies(model, input_ids, kept, monkeypatch):
    monkeypatch.setattr(resume, "LOGITS_PER_HEAD", 7 * VOCABULARY)
    contexts, point = Contexts(input_ids=input_ids, kept=kept), point_of(model)
    with torch.no_grad():
        p = model(input_ids=input_ids).logits.double().log_softmax(-1)[:, :-1]
        with replaced_output(model, "resid", lambda x: x * 0, kept):
            q = model(input_ids=input_ids).logits.double().log_softmax(-1)[:, :-1]
    known = with_predictions(model, contexts, 4)
    found = spliced_losses(model, known, 4, point, zeros).divergence
    if model.config.model_type == "gemma3_text":  # its head caps logits
        assert known.predictions is found is None
        return
    assert found.numpy() == pytest.approx((p.exp() * (p - q)).sum(-1).numpy(), abs=2e-5)
    assert float(found.max()) > 0.1
    same = spliced_losses(model, known, 4, point, lambda x: x).divergence
    assert float(same.abs().max()) < 2e-5


def test_threads_change_no_bit_of_predictions(neox, input_ids):
    # Threads share a sum this long.
    neox.float().resize_token_embeddings(20_000, mean_resizing=False)
    contexts = Contexts(input_ids=input_ids, kept=torch.ones_like(input_ids, dtype=torch.bool))
    found = []
    for threads in (1, 2, 3):
        with threads_of_torch(threads):
            found.append(with_predictions(neox, contexts, 4).predictions)
    for name, first in found[0].tensors.items():
        assert all(torch.equal(first, other.tensors[name]) for other in found[1:]), name


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", HOOKPOINTS)
def test_an_identity_splice_is_exact_and_a_zero_splice_recovers_nothing(
    model, input_ids, kept, name, dtype
):
    model = model.to(dtype)
    contexts, point = Contexts(input_ids=input_ids, kept=kept), point_of(model, name)
    losses = {
        key: summed_loss(model, contexts, 4, point, replacement)
        for key, replacement in {
            "clean": None,
            "same": lambda x: x.float(),  # as a reconstruction would: float32, cast back
            "zero": zeros,
            "mean": constant(torch.ones(HIDDEN)),
        }.items()
    }
    same, clean = losses.pop("same"), losses["clean"]
    assert same == clean
    perfect, nothing = (LossRecovered(sae=sae, **losses) for sae in (same, losses["zero"]))
    assert (perfect.over_zero, perfect.over_mean) == (1.0, 1.0)
    assert nothing.over_zero == 0.0
    assert nothing.over_mean != 0.0


def test_what_cannot_be_measured_is_refused(neox, input_ids, kept):
    last_only = torch.zeros_like(kept)
    last_only[:, -1] = True
    hidden = torch.zeros(*input_ids.shape, HIDDEN, dtype=torch.bfloat16)
    resumed = Contexts(
        input_ids=input_ids, kept=kept, hidden=hidden, blocks=find_blocks(neox), layer=LAYER
    )
    with pytest.raises(ValueError, match="no position that predicts"):
        summed_loss(neox, Contexts(input_ids=input_ids, kept=last_only), 6, point_of(neox), zeros)
    with pytest.raises(ValueError, match=r"layers\.1\) does not lie in block 2"):
        summed_loss(neox, resumed, 6, point_of(neox, layer=1), zeros)
    with pytest.raises(ValueError, match="summed loss is nan"):
        summed_loss(neox, resumed.full, 6, point_of(neox), lambda x: x * float("nan"))
    with pytest.raises(ValueError, match="has no head"):
        token_losses(neox.gpt_neox, input_ids)


def test_loss_recovered_is_a_ratio_of_sums_and_small_gaps_are_noise():
    def of(**totals) -> LossRecovered:
        return LossRecovered(**{name: SummedLoss(total, 100) for name, total in totals.items()})

    found = of(clean=300.0, sae=320.0, zero=500.0, mean=400.0)
    assert (found.over_zero, found.over_mean) == (180 / 200, 80 / 100)
    assert (found.sae.mean, found.tokens, found.gap) == (3.2, 100, 2.0)
    small = of(clean=300.0, sae=301.0, zero=309.0, mean=299.0)
    assert (small.noisy(0.1), small.noisy(0.08)) == (True, False)
    assert of(clean=300.0, sae=301.0, zero=290.0, mean=299.0).noisy(0.1)
