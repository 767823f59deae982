"""Exported folders, loaded by SAELens itself, on activations that nothing was trained on."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load_file, save_file

import sagsae
from sagsae.activations.hookpoints import capture, run_captured
from sagsae.activations.stream import iterate
from sagsae.autoencoders.registry import GATED, VARIANTS
from sagsae.autoencoders.registry import K as KNOB
from sagsae.exchange.saelens import transformer_lens_name
from tests.peers import environment
from tests.pipeline.tiny_study import HIDDEN, LENGTH, make_tiny_study
from tests.sagsae.evaluation.samples import ARCHITECTURES, VOCABULARY, tiny_model

WIDTH, LAYER = 48, 2
TYPES = {"float32": torch.float32, "float64": torch.float64}
K = 6
"""Active latents of the k-sparse variants."""
SPLIT = {name for name, known in VARIANTS.items() if known.family == GATED}
SPLIT = SPLIT - {"gated", "sagsae_onesided"}
SPLIT |= {"absrelu", "absbatchtopk", "absjumprelu", "matryoshka_absbatchtopk"}
"""Variants whose latents are two each in SAELens."""
ARCHITECTURE = {
    "relu": ("StandardSAE", "standard"),
    "absrelu": ("StandardSAE", "standard"),
    "topk": ("TopKSAE", "topk"),
    "abstopk": ("AbsTopKSAE", "abstopk"),
}
"""Class and name there; that of all other ungated ones is JumpReLU, and of gates Gated."""


class Loaded(NamedTuple):
    """A variant here and in SAELens, on the same held-out rows [B, d] and in the same dtype."""

    sae: sagsae.Autoencoder
    x: torch.Tensor
    configuration: dict[str, Any]
    f: torch.Tensor
    x_hat: torch.Tensor


@pytest.fixture(scope="module")
def stores(tmp_path_factory) -> dict[str, sagsae.Store]:
    """Activations of a tiny language model, for training and held out."""
    tiny = make_tiny_study(tmp_path_factory.mktemp("tiny"), "gpt_neox")
    return {split: tiny.store(split) for split in ("train", "heldout")}


@pytest.fixture(scope="module")
def trained(stores) -> dict[str, sagsae.Autoencoder]:
    run = {"tokens": 64 * 200, "batch_size": 64, "learning_rate": 3e-3, "device": "cpu"}
    found = {}
    for name, known in VARIANTS.items():
        knob = {"k": K} if known.knob == KNOB else {"lam": 0.1}
        found[name] = sagsae.train(
            stores["train"], name, WIDTH, hookpoint="resid", **knob, **run
        ).autoencoder
    return found


@pytest.fixture(scope="module")
def loaded(stores, trained, tmp_path_factory) -> dict[tuple[str, str], Loaded]:
    """By variant and dtype, of one process of SAELens."""
    root, jobs = tmp_path_factory.mktemp("exported"), []
    store = stores["heldout"]
    x = torch.cat([batch.float() for batch in iterate(store, "resid", 256)])
    save_file({"x": x}, root / "rows")
    for name, sae in trained.items():
        for dtype in TYPES:
            folder = root / dtype / name
            sagsae.export_saelens(sae, folder, store=store, dtype=TYPES[dtype])
            job = {"name": f"{name}-{dtype}", "folder": str(folder), "dtype": dtype}
            jobs.append(job | {"rows": str(root / "rows")})
    (root / "jobs").write_text(json.dumps(jobs))
    found = json.loads(environment.run("saelens.py", root / "jobs", root / "out"))
    tensors = load_file(root / "out")
    return {
        (name, dtype): Loaded(
            trained[name],
            x.to(TYPES[dtype]),
            found[f"{name}-{dtype}"],
            *(tensors[f"{name}-{dtype}.{of}"] for of in ("f", "x_hat")),
        )
        for name in trained
        for dtype in TYPES
    }


def ours(one: Loaded) -> tuple[torch.Tensor, torch.Tensor]:
    """Code in raw units and reconstruction, in the dtype of the rows."""
    sae = type(one.sae)(one.sae.d, one.sae.width, one.sae.scale).to(one.x.dtype)
    sae.load_state_dict(one.sae.state_dict())
    z = sae.code(one.x * sae.scale)
    return z / sae.scale, sae.reconstruct(z) / sae.scale


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_saelens_computes_the_same_in_float64(loaded, name):
    """L0 is the same to the last firing, the rest up to rounding."""
    one = loaded[name, "float64"]
    z, x_hat = ours(one)
    assert int((z != 0).sum()) > 100
    assert int((one.f != 0).sum()) == int((z != 0).sum())
    signed = one.f[:, :WIDTH] - one.f[:, WIDTH:] if name in SPLIT else one.f
    assert torch.equal(signed != 0, z != 0)
    torch.testing.assert_close(signed, z, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(one.x_hat, x_hat, rtol=1e-9, atol=1e-9)
    if name in SPLIT or name == "abstopk":
        assert int((z < 0).sum()) > 50
    else:
        assert not bool((z < 0).any())


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_as_the_architecture_that_it_is(loaded, name):
    found = loaded[name, "float32"].configuration
    gated = VARIANTS[name].family == GATED
    other = ("GatedSAE", "gated") if gated else ("JumpReLUSAE", "jumprelu")
    assert (found["class"], found["architecture"]) == ARCHITECTURE.get(name, other)
    assert (found["d_in"], found["d_sae"]) == (HIDDEN, WIDTH * (1 + (name in SPLIT)))
    assert found.get("k") == (K if "TopK" in found["class"] else None)
    assert (found["dtype"], found["normalize_activations"]) == ("float32", "none")
    assert found["largest_norm_error"] < 1e-6


@pytest.mark.slow
def test_the_metadata_arrive(loaded, trained):
    found = loaded["sagsae_tied", "float32"].configuration["metadata"]
    assert found["hf_hook_name"] == found["hook_name"] == "gpt_neox.layers.2"
    assert (found["context_size"], found["seqpos_slice"]) == (LENGTH, [1, None])
    assert found["dropped_positions"] == [
        "the first of each context",
        "tokens whose norm exceeds 1.3 medians at any hookpoint",
    ]
    own = found["sagsae"]
    assert (own["version"], own["variant"], own["width"]) == (
        sagsae.__version__,
        "sagsae_tied",
        WIDTH,
    )
    assert own["activation_scale"] == trained["sagsae_tied"].scale
    assert own["sides"].startswith(f"latents i and i + {WIDTH} are the positive and the negative")
    assert own["provenance"]["lam"] == 0.1
    assert "sides" not in loaded["gated", "float32"].configuration["metadata"]["sagsae"]


@pytest.mark.slow
def test_transformer_lens_has_our_activations_under_these_names(tmp_path):
    """Of each architecture here, all three hookpoints, by TransformerLens's own bridge."""
    from pipeline.data.random_sources import random_tokenizer

    ids = torch.randint(1, VOCABULARY, (2, 10), generator=torch.Generator().manual_seed(0))
    jobs, expected = [], {}
    for name in ARCHITECTURES:
        model, known = tiny_model(name), sagsae.default_hookpoints(name, LAYER)
        points = {point: known[point] for point in ("mlp_out", "attn", "resid") if point in known}
        hooks = {transformer_lens_name(point, LAYER, name): point for point in points}
        assert None not in hooks
        model.save_pretrained(tmp_path / name)
        random_tokenizer().save_pretrained(tmp_path / name)
        jobs.append({"name": name, "model": str(tmp_path / name), "hooks": list(hooks)})
        jobs[-1]["ids"] = ids.tolist()
        with capture(model, points) as captured:
            run_captured(model, ids)
        expected |= {f"{name}.{hook}": captured[point].clone() for hook, point in hooks.items()}
    (tmp_path / "jobs").write_text(json.dumps(jobs))
    environment.run("transformer_lens_hooks.py", tmp_path / "jobs", tmp_path / "out")
    found = load_file(tmp_path / "out")
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5, msg=name)
