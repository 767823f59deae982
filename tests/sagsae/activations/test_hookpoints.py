"""Hookpoints read, stop and replace exactly what they say."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from sagsae.activations.hookpoints import (
    Hookpoint,
    capture,
    default_hookpoints,
    resolve,
    run_captured,
    splice,
)
from tests.sagsae.evaluation.samples import HIDDEN, LAYERS, tiny_model


def points(model: PreTrainedModel, layer: int) -> dict[str, Hookpoint]:
    return default_hookpoints(model.config.model_type, layer)


def captured_at(model: PreTrainedModel, input_ids: Tensor, layer: int) -> dict[str, Tensor]:
    with capture(model, points(model, layer)) as captured:
        run_captured(model, input_ids)
        return dict(captured)


def logits_of(model: PreTrainedModel, input_ids: Tensor) -> Tensor:
    with torch.no_grad():
        return model(input_ids=input_ids).logits


@pytest.mark.parametrize("layer", range(LAYERS - 1))
def test_resid_is_the_hidden_state(model, input_ids, layer):
    got = captured_at(model, input_ids, layer)["resid"]
    with torch.no_grad():
        states = model(input_ids=input_ids, output_hidden_states=True).hidden_states
    assert got.shape == (3, 10, HIDDEN)
    assert torch.equal(got, states[layer + 1])
    assert not torch.equal(got, states[layer])


def test_block_output_is_input_plus_attention_plus_mlp(model, input_ids):
    before = captured_at(model, input_ids, 1)["resid"]
    got = captured_at(model, input_ids, 2)
    torch.testing.assert_close(got["resid"], before + got["attn"] + got["mlp_out"])
    for name in ("attn", "mlp_out"):
        assert got[name].abs().max() > 1e-2, "the sum would hold without this term"


def test_capture_leaves_no_hooks_and_forgets_the_last_pass(model, input_ids):
    with capture(model, points(model, 1)) as captured:
        run_captured(model, input_ids)
        run_captured(model, input_ids[:2])
        assert {name: x.shape[0] for name, x in captured.items()} == dict.fromkeys(captured, 2)
        assert captured.keys() == points(model, 1).keys()
    assert logits_of(model, input_ids).shape[:2] == input_ids.shape
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@pytest.mark.parametrize("architecture", ["llama", "gemma3_text", "gemma2"])
def test_added_is_what_the_residual_stream_gets(architecture, input_ids):
    model = tiny_model(architecture)
    before = captured_at(model, input_ids, 1)["resid"]
    got = captured_at(model, input_ids, 2)
    middle = before + got["attn_added"]
    assert torch.equal(got["resid"], middle + got["mlp_added"])
    block = model.get_submodule("model.layers.2")
    with torch.no_grad():
        assert torch.equal(block.mlp(got["mlp_in"]), got["mlp_out"])
        if architecture == "llama":
            assert torch.equal(block.post_attention_layernorm(middle), got["mlp_in"])
            assert torch.equal(got["mlp_out"], got["mlp_added"])
        else:
            assert torch.equal(block.pre_feedforward_layernorm(middle), got["mlp_in"])
            assert torch.equal(block.post_feedforward_layernorm(got["mlp_out"]), got["mlp_added"])
            assert not torch.equal(got["mlp_out"], got["mlp_added"])


def test_an_input_by_name_is_read_and_ends_the_pass(input_ids):
    model = tiny_model("llama")  # whose attention gets its hidden states by name
    path, ran = "model.layers.1.self_attn:input", []
    model.get_submodule("model.layers.1.self_attn").register_forward_hook(lambda *_: ran.append(1))
    with capture(model, {"in": Hookpoint.at("in", path)}) as captured:
        assert run_captured(model, input_ids) is None
        entered = captured["in"]
    resid = captured_at(model, input_ids, 0)["resid"]
    with torch.no_grad():
        assert torch.equal(entered, model.get_submodule("model.layers.1.input_layernorm")(resid))
    assert not ran
    with splice(model, Hookpoint.at("in", path), torch.zeros_like):
        spliced = captured_at(model, input_ids, 1)["attn"]
    assert not spliced.any()
    assert ran


def test_opt_has_no_mlp_of_its_own():
    assert default_hookpoints("opt", 0).keys() == {"attn", "attn_added", "resid"}


@pytest.mark.parametrize("name", ["mlp_in", "mlp_out", "mlp_added", "attn", "resid"])
def test_splicing_identity_is_bit_exact_and_zeros_are_not(model, input_ids, name):
    clean = logits_of(model, input_ids)
    with splice(model, points(model, 2)[name], lambda x: x.clone()):
        assert torch.equal(logits_of(model, input_ids), clean)
    with splice(model, points(model, 2)[name], torch.zeros_like):
        assert (logits_of(model, input_ids) - clean).abs().max() > 1e-2
    assert torch.equal(logits_of(model, input_ids), clean)


def test_tuple_and_plain_outputs_are_the_same_to_the_caller(input_ids):
    class Pair(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, str]:
            return x + 1, "kept"

    class Toy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pair, self.plain = Pair(), nn.Identity()

        def forward(self, input_ids: Tensor, use_cache: bool = False) -> tuple[Tensor, str]:
            x, rest = self.pair(input_ids[..., None].float())
            return self.plain(x), rest

    toy = Toy()
    both = {name: Hookpoint(name, name) for name in ("pair", "plain")}
    with capture(toy, both) as captured:
        run_captured(toy, input_ids)
        assert torch.equal(captured["pair"], captured["plain"])
    with splice(toy, both["pair"], torch.zeros_like):
        out, rest = toy(input_ids)
    assert rest == "kept"
    assert not out.any()


def test_unknown_paths_are_named(model):
    for path in (points(model, 0)["mlp_out"].module + "x", points(model, LAYERS)["resid"].module):
        with pytest.raises(ValueError, match=f"{path}: .* has no attribute"):
            resolve(model, {"x": Hookpoint("x", path)})
    with pytest.raises(ValueError, match="no default hookpoints"):
        default_hookpoints("mamba", 0)
