"""Passes resumed from a block's input must equal full passes, to the bit."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from sagsae.activations.hookpoints import default_hookpoints
from sagsae.evaluation.loss_recovered import Contexts, all_losses, token_losses
from sagsae.evaluation.replacements import zeros
from sagsae.evaluation.resume import find_blocks, record_entry, resume_from, runs_from
from tests.sagsae.evaluation.samples import LAYERS, summed_loss, tiny_model


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
        block.mlp.register_forward_hook(lambda *_, i=i: ran.append(i))
    before, hidden = token_losses(model, input_ids), entry_of(model, input_ids, 2)
    ran.clear()
    with resume_from(model, blocks, 2, hidden):
        token_losses(model, input_ids)
    assert ran == [2, 3]
    assert torch.equal(token_losses(model, input_ids), before)
    assert ran == [2, 3, 0, 1, 2, 3]


def test_the_given_hidden_states_decide(model, input_ids):
    wrong = entry_of(model, input_ids.flip(0), 2)
    with resume_from(model, find_blocks(model), 2, wrong):
        resumed = token_losses(model, input_ids)
    assert not torch.allclose(resumed, token_losses(model, input_ids), atol=1e-2)


class OldModel(nn.Module):
    """Blocks that are called by keyword and return tuples, as older models do."""

    class Block(nn.Module):
        def __init__(self, factor: float) -> None:
            super().__init__()
            self.factor = factor

        def forward(self, hidden_states: torch.Tensor) -> tuple[torch.Tensor, None]:
            return hidden_states * self.factor + 1, None

    def __init__(self, by_keyword: bool) -> None:
        super().__init__()
        self.by_keyword = by_keyword
        self.config = SimpleNamespace(num_hidden_layers=4)
        self.layers = nn.ModuleList(self.Block(f) for f in (2.0, 3.0, 5.0, 7.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.layers:
            x = block(hidden_states=x)[0] if self.by_keyword else block(x)[0]
        return x


@pytest.mark.parametrize("by_keyword", [True, False])
@pytest.mark.parametrize("layer", range(4))
def test_blocks_may_return_tuples_and_be_called_by_keyword(by_keyword, layer):
    model, x = OldModel(by_keyword), torch.randn(2, 3, 4)
    with record_entry(model, "layers", layer) as entered:
        full = model(x)
    with resume_from(model, "layers", layer, entered[0]):
        assert torch.equal(model(torch.full_like(x, 100.0)), full)
    assert torch.equal(model(x), full)


def test_blocks_are_found_or_the_model_is_refused(model):
    expected = "gpt_neox.layers" if model.config.model_type == "gpt_neox" else "model.layers"
    assert find_blocks(model) == expected
    model.twin = nn.ModuleList(nn.Identity() for _ in range(LAYERS))
    with pytest.raises(ValueError, match=r"2 module lists of 4 blocks \(.*layers, twin\)"):
        find_blocks(model)


def test_no_blocks_at_all_is_refused():
    model = tiny_model("llama")
    model.config.num_hidden_layers = 7
    with pytest.raises(ValueError, match="0 module lists of 7 blocks"):
        find_blocks(model)


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("model.layers.2", True),
        ("model.layers.2.mlp", True),
        ("model.layers.10.mlp", True),
        ("model.layers.1.mlp", False),
        ("model.layers", False),
        ("model.layersnorm.5", False),
        ("model.embed_tokens", False),
    ],
)
def test_which_modules_still_run(module, expected):
    assert runs_from("model.layers", 2, module) is expected
