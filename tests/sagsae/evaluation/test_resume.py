"""Passes resumed from a block's input must equal full passes, to the bit."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sagsae.activations.hookpoints import default_hookpoints
from sagsae.evaluation.loss_recovered import all_losses, token_losses, zeros
from sagsae.evaluation.resume import find_blocks, resume_from
from tests.sagsae.evaluation.samples import LAYERS, contexts_of, summed_loss


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layer", range(LAYERS))
def test_resumed_losses_equal_full_ones(model, input_ids, kept, layer, dtype):
    model = model.to(dtype)
    contexts = contexts_of(model, input_ids, kept, layer)
    assert contexts.hidden.dtype == dtype
    assert torch.equal(all_losses(model, contexts, 3), all_losses(model, contexts.full, 3))


def test_spliced_losses_equal_full_ones(model, input_ids, kept):
    contexts = contexts_of(model, input_ids, kept, 2)
    clean = all_losses(model, contexts, 6)[contexts.predicted].double().sum()
    for point in default_hookpoints(model.config.model_type, 2).values():
        resumed = summed_loss(model, contexts, 6, point, zeros)
        assert resumed == summed_loss(model, contexts.full, 6, point, zeros)
        assert resumed.total != pytest.approx(float(clean), rel=1e-6)


def test_blocks_below_do_not_run_and_the_model_is_left_as_it_was(model, input_ids, kept):
    blocks = find_blocks(model)
    ran: list[int] = []
    for i, block in enumerate(model.get_submodule(blocks)):
        next(block.children()).register_forward_hook(lambda *_, i=i: ran.append(i))
    before = token_losses(model, input_ids).loss
    contexts = contexts_of(model, input_ids, kept, 2)
    ran.clear()
    with resume_from(model, blocks, 2, contexts.hidden):
        token_losses(model, input_ids)
    assert ran == [2, 3]
    assert torch.equal(token_losses(model, input_ids).loss, before)
    assert ran == [2, 3, 0, 1, 2, 3]


def test_blocks_are_found_or_the_model_is_refused(model):
    own = {"gpt_neox": "gpt_neox.layers", "gpt2": "transformer.h", "opt": "model.decoder.layers"}
    assert find_blocks(model) == own.get(model.config.model_type, "model.layers")
    model.twin = nn.ModuleList(nn.Identity() for _ in range(LAYERS))
    with pytest.raises(ValueError, match=r"2 module lists of 4 blocks \(.*(layers|h), twin\)"):
        find_blocks(model)
