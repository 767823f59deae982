"""Passes resumed from a block's input must equal full passes, to the bit."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sagsae.activations.hookpoints import default_hookpoints
from sagsae.evaluation.loss_recovered import Contexts, all_losses, token_losses
from sagsae.evaluation.replacements import zeros
from sagsae.evaluation.resume import find_blocks, record_entry, resume_from, runs_from
from tests.sagsae.evaluation.samples import LAYERS, summed_loss


def entry_of(model, input_ids, layer):
    """Hidden states that enter a block, from a full pass."""
    with record_entry(model, find_blocks(model), layer) as entered, torch.inference_mode():
        model(input_ids=input_ids, use_cache=False)
    return entered[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layer", range(LAYERS))
def test_resumed_losses_equal_full_ones(model, input_ids, kept, layer, dtype):
    model = model.to(dtype)
    hidden = entry_of(model, input_ids, layer)
    contexts = Contexts(
        input_ids=input_ids, kept=kept, hidden=hidden, blocks=find_blocks(model), layer=layer
    )
    assert hidden.dtype == dtype
    assert torch.equal(all_losses(model, contexts, 3), all_losses(model, contexts.full, 3))


def test_spliced_losses_equal_full_ones(model, input_ids, kept):
    hidden = entry_of(model, input_ids, 2)
    contexts = Contexts(
        input_ids=input_ids, kept=kept, hidden=hidden, blocks=find_blocks(model), layer=2
    )
    clean = all_losses(model, contexts, 6)[contexts.predicted].double().sum()
    for point in default_hookpoints(model.config.model_type, 2).values():
        resumed = summed_loss(model, contexts, 6, point, zeros)
        assert resumed == summed_loss(model, contexts.full, 6, point, zeros)
        assert resumed.total != pytest.approx(float(clean), rel=1e-6)


def test_blocks_below_do_not_run_and_the_model_is_left_as_it_was(model, input_ids):
    blocks = find_blocks(model)
    ran: list[int] = []
    for i, block in enumerate(model.get_submodule(blocks)):
        next(block.children()).register_forward_hook(lambda *_, i=i: ran.append(i))
    before, hidden = token_losses(model, input_ids).loss, entry_of(model, input_ids, 2)
    ran.clear()
    with resume_from(model, blocks, 2, hidden):
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


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("model.layers.2", True),
        ("model.layers.10.mlp", True),
        ("model.layers.1.mlp", False),
        ("model.layersnorm.5", False),
    ],
)
def test_which_modules_still_run(module, expected):
    assert runs_from("model.layers", 2, module) is expected
