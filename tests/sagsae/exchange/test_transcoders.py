"""Transcoders in the hands of other libraries, which load and run them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import sagsae
from sagsae.activations.hookpoints import Hookpoint, capture, run_captured
from sagsae.autoencoders.base import Target
from sagsae.autoencoders.registry import VARIANTS
from sagsae.autoencoders.registry import K as KNOB
from sagsae.exchange.transcoders import NoEqualError, as_jumprelu
from tests.peers import environment
from tests.sagsae.evaluation.samples import tiny_model

D, H, K = 12, 32, 5
FAMILIES = [name for name in VARIANTS if name not in ("topk", "abstopk")]


def pairs(rows: int = 2048) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    x = 3 + torch.randn(rows, D, generator=random)
    return x, (x @ torch.randn(D, D, generator=random)).relu() - 4


def trained(name: str, skip: bool) -> sagsae.Autoencoder:
    knob = {"k": K} if VARIANTS[name].knob == KNOB else {"lam": 0.02}
    run = {"tokens": 64 * 100, "batch_size": 64, "learning_rate": 3e-3, "device": "cpu"}
    sae, _ = sagsae.train(pairs(), name, H, skip=skip, **knob, **run)
    sae.provenance |= {"hookpoint": "mlp_in", "target": "mlp_added"}
    return sae


def in_float64(sae: sagsae.Autoencoder, x: Tensor) -> tuple[Tensor, Tensor]:
    """Code and prediction of raw activations."""
    again = type(sae)(sae.d, sae.width, sae.scale, sae.target).double()
    again.load_state_dict(sae.state_dict())
    again.bandwidth = getattr(sae, "bandwidth", 0.0)
    z = again.code(x.double() * sae.scale)
    return z / sae.out_scale, again(x.double())


def by_side(sae: sagsae.Autoencoder, f: Tensor) -> Tensor:
    return f[:, :H] - f[:, H:] if sae.two_sided else f


@pytest.fixture(scope="module")
def transcoders() -> dict[tuple[str, bool], sagsae.Autoencoder]:
    return {(name, skip): trained(name, skip) for name in FAMILIES for skip in (False, True)}


def test_the_equal_jumprelu_transcoder_in_float64(transcoders):
    x, _ = pairs(300)
    for (name, _), sae in transcoders.items():
        tensors = as_jumprelu(sae)
        pre = x.double() @ tensors["W_enc"] + tensors["b_enc"]
        f = pre * (pre > tensors["threshold"])
        y = f @ tensors["W_dec"] + tensors["b_dec"]
        if "W_skip" in tensors:
            y = y + x.double() @ tensors["W_skip"]
        z, expected = in_float64(sae, x)
        assert int((z != 0).sum()) > 50, name
        torch.testing.assert_close(by_side(sae, f), z, rtol=1e-9, atol=1e-9, msg=name)
        torch.testing.assert_close(y, expected, rtol=1e-9, atol=1e-9, msg=name)


@pytest.mark.slow
def test_saelens_predicts_the_same_and_what_it_saved_is_read(transcoders, tmp_path):
    x, _ = pairs(300)
    save_file({"x": x.double()}, tmp_path / "rows")
    jobs, expected = [], {}
    for (name, skip), sae in transcoders.items():
        key = f"{name}-{skip}"
        folder = sagsae.export_saelens(sae, tmp_path / key, dtype=torch.float64)
        jobs.append({"name": key, "folder": str(folder), "dtype": "float64"})
        jobs[-1]["rows"] = str(tmp_path / "rows")
        expected[key] = sae, *in_float64(sae, x)
    (tmp_path / "jobs").write_text(json.dumps(jobs))
    found = json.loads(environment.run("saelens.py", tmp_path / "jobs", tmp_path / "out"))
    tensors = load_file(tmp_path / "out")
    for key, (sae, z, y) in expected.items():
        kind = "jumprelu_skip_transcoder" if sae.target.skip else "jumprelu_transcoder"
        assert found[key]["architecture"] == kind
        torch.testing.assert_close(tensors[f"{key}.x_hat"], y, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(by_side(sae, tensors[f"{key}.f"]), z, rtol=1e-9, atol=1e-9)
        again = sagsae.load(tmp_path / key)
        assert again.target == Target(D, 1.0, sae.target.skip)
        torch.testing.assert_close(again(x), y.float(), rtol=1e-3, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("skip", [False, True])
def test_circuit_tracer_loads_the_folder_and_predicts_the_same(transcoders, skip, tmp_path):
    x, _ = pairs(300)
    save_file({"x": x}, tmp_path / "rows")
    two_sided = [transcoders[name, skip] for name in ("absbatchtopk", "sagsae")]
    one_sided = [transcoders[name, skip] for name in ("batchtopk", "gated", "jumprelu", "relu")]
    for number, group in enumerate((two_sided, one_sided)):
        folder, out = tmp_path / f"set{number}", tmp_path / f"out{number}"
        layers = dict(enumerate(group))
        named = {"model_name": "google/gemma-3-270m", "model_type": "gemma3_text"}
        sagsae.export_circuit_tracer(layers, folder, **named)
        run = environment.run("circuit_tracer_set.py", folder, tmp_path / "rows", out)
        assert json.loads(run) == [len(group), "mlp.hook_in", "hook_mlp_out", skip]
        tensors = load_file(out)
        for layer, sae in layers.items():
            z, y = in_float64(sae, x)
            torch.testing.assert_close(tensors[f"{layer}.y"], y.float(), rtol=1e-5, atol=1e-4)
            f = by_side(sae, tensors[f"{layer}.f"])
            torch.testing.assert_close(f, z.float(), rtol=1e-4, atol=1e-4)


def hooks_in(folder: Path) -> list[str]:
    config = json.loads((folder / "config.yaml").read_text())
    return [config[f"feature_{end}_hook"] for end in ("input", "output")]


@pytest.mark.slow
def test_circuit_tracer_s_hooks_are_where_a_transcoder_reads_and_predicts(transcoders, tmp_path):
    """By its tables in models of Transformers, and by norms in blocks of TransformerLens."""
    sae, outputs = transcoders["relu", False], ("mlp.hook_out", "hook_mlp_out")
    theirs = json.loads(environment.run("circuit_tracer_hooks.py", *outputs))
    ids = torch.arange(1, 13)[None]
    for model_type, normalises in (("llama", False), ("gemma2", True), ("gemma3_text", True)):
        sagsae.export_circuit_tracer({0: sae}, tmp_path, model_name="m", model_type=model_type)
        own, (reads, predicts) = sagsae.default_hookpoints(model_type, 0), hooks_in(tmp_path)
        model = tiny_model(model_type)
        paths = theirs["paths"][type(model).__name__]
        points = {"mlp_in": own["mlp_in"], "mlp_added": own["mlp_added"]}
        named = {"mlp_in": reads, "mlp_added": predicts}
        if model_type == "gemma2":  # its table lacks what an MLP reads; TransformerLens has it
            assert named.pop("mlp_in") not in paths
        for hook in named.values():
            path, side = paths[hook]
            path = path.replace("[{layer}]", ".0")
            points[hook] = Hookpoint(hook, path, side == "input")
        with capture(model, points) as captured:
            run_captured(model, ids)
        for name, hook in named.items():
            assert torch.equal(captured[hook], captured[name]), (model_type, name)
        norms = theirs["blocks"][str(normalises)]
        assert norms[predicts] == pytest.approx(norms["added"], rel=1e-5)
    assert norms["mlp.hook_out"] != pytest.approx(norms["added"], rel=0.1)


def test_what_circuit_tracer_would_refuse_is_said_here(transcoders, tmp_path):
    sae, other = transcoders["relu", False], trained("relu", False)
    named = {"model_name": "m", "model_type": "llama"}
    with pytest.warns(UserWarning, match="layers 0, 2 are missing"):
        sagsae.export_circuit_tracer({1: sae, 3: sae}, tmp_path, **named)
    assert (tmp_path / "layer_3.safetensors").exists()
    pair = {0: sae, 1: transcoders["absrelu", False]}
    with pytest.raises(ValueError, match="wants one width"):
        sagsae.export_circuit_tracer(pair, tmp_path, **named)
    other.provenance["target"] = "resid"
    with pytest.raises(ValueError, match=r"mlp_in to mlp_added, mlp_in to resid: circuit-tracer"):
        sagsae.export_circuit_tracer({0: sae, 1: other}, tmp_path, **named)
    with pytest.raises(ValueError, match="no transcoders"):
        sagsae.export_circuit_tracer({}, tmp_path, **named)
    with pytest.raises(NoEqualError, match="Train batchtopk"):
        as_jumprelu(trained("topk", False))


def test_what_leaves_an_mlp_is_exported_where_it_is_what_is_added(tmp_path):
    sae = trained("relu", False)
    sae.provenance["target"] = "mlp_out"
    sagsae.export_circuit_tracer({0: sae}, tmp_path, model_name="m", model_type="qwen3")
    assert hooks_in(tmp_path) == ["mlp.hook_in", "mlp.hook_out"]
    with pytest.raises(ValueError, match="mlp_in to mlp_out: circuit-tracer wants"):
        sagsae.export_circuit_tracer({0: sae}, tmp_path, model_name="m", model_type="gemma2")


def test_a_transcoder_of_another_layer_is_not_exported(tmp_path):
    sae = trained("relu", False)
    sae.provenance |= {"hookpoint": "l1.mlp_in", "target": "l1.mlp_added"}
    with pytest.raises(ValueError, match=r"layer 0: .* was trained on layer 1"):
        sagsae.export_circuit_tracer({0: sae}, tmp_path, model_name="m", model_type="llama")


@pytest.mark.parametrize("skip", [False, True])
def test_gemma_scope_2_is_read(skip, tmp_path):
    random, d_out = torch.Generator().manual_seed(1), D if not skip else D + 3
    shapes = {"w_enc": (D, H), "w_dec": (H, d_out), "b_enc": (H,), "b_dec": (d_out,)}
    shapes |= {"affine_skip_connection": (D, d_out)} if skip else {}
    tensors = {name: torch.randn(shape, generator=random) for name, shape in shapes.items()}
    tensors["threshold"] = torch.rand(H, generator=random)
    save_file(tensors, tmp_path / "params.safetensors")
    ends = {"hf_hook_point_in": "mlp.input", "hf_hook_point_out": "mlp.output"}
    (tmp_path / "config.json").write_text(json.dumps(ends))
    sae, (x, _) = sagsae.load(tmp_path), pairs(100)
    pre = x @ tensors["w_enc"] + tensors["b_enc"]
    y = (pre * (pre > tensors["threshold"])) @ tensors["w_dec"] + tensors["b_dec"]
    if skip:
        y = y + x @ tensors["affine_skip_connection"]
    assert sae.target == Target(d_out, 1.0, skip)
    torch.testing.assert_close(sae(x), y, rtol=1e-4, atol=1e-3)
