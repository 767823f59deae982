"""Training, evaluating and splicing as a notebook does it."""

from __future__ import annotations

import random
import signal
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch

import sagsae
from sagsae.activations.rows import TensorStream
from sagsae.activations.stream import iterate
from sagsae.autoencoders.relu import Relu
from sagsae.autoencoders.weights import build
from sagsae.evaluation.interventions import _beside
from sagsae.training.trainer import Interrupted
from tests.sagsae.evaluation.samples import HIDDEN, VOCABULARY, tiny_model
from tests.sagsae.samples import WIDTH, sparse_store
from tests.sagsae.test_readme import save_tiny_gpt2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two stores, ``train`` and ``heldout``."""
    folder = tmp_path_factory.mktemp("activations")
    sparse_store(folder / "train", 1)
    sparse_store(folder / "heldout", 2, blocks=2)
    return folder


@pytest.fixture
def store(folder: Path) -> sagsae.Store:
    return sagsae.Store.open(folder / "train")


@pytest.fixture
def heldout(folder: Path) -> sagsae.Store:
    return sagsae.Store.open(folder / "heldout")


def trained(store: sagsae.Store, **changes: object) -> sagsae.Trained:
    return sagsae.train(
        store,
        **{
            "hookpoint": "resid",
            "variant": "sagsae_tied",
            "width": 48,
            "lam": 0.02,
            "batch_size": 128,
            "learning_rate": 3e-3,
            "device": "cpu",
            **changes,
        },
    )


def interrupt(step: int, row: dict[str, float]) -> None:
    if step == 50:
        raise KeyboardInterrupt


def test_a_trained_autoencoder_reconstructs_what_it_has_not_seen(store, heldout, tmp_path):
    sae, history = trained(store, tokens=40_000)
    metrics = sagsae.evaluate(sae, heldout, "resid")
    assert metrics.tokens == heldout.n_rows == 1024
    assert metrics.r2 > 0.6
    assert 1 < metrics.l0 < 30
    assert history.rows[-1]["reconstruction"] < history.rows[0]["reconstruction"]
    assert history.rows[-1]["step"] == 40_000 // 128 - 1
    sae.save(tmp_path / "sae.safetensors")
    again = sagsae.evaluate(sagsae.load(tmp_path / "sae.safetensors"), heldout, "resid")
    assert (again.r2, again.l0) == (metrics.r2, metrics.l0)


def test_what_is_trained_on_is_what_is_measured(store, heldout):
    """A store by its only hookpoint, a tensor, batches, pairs."""
    sae, _ = trained(store, tokens=12_800)
    expected, x = sagsae.evaluate(sae, heldout, "resid"), torch.cat([*iterate(heldout, "resid", 9)])
    for data in (heldout, x, [x], iter(x.split(700))):
        found = sagsae.evaluate(sae, data, batch_size=512)
        assert found.tokens == len(x)
        assert found.r2 == pytest.approx(expected.r2, rel=1e-6)
    run = {"lam": 0.02, "batch_size": 128, "tokens": 1280, "device": "cpu"}
    transcoder, _ = sagsae.train((x, 2 * x), "relu", 48, **run)
    pair = sagsae.evaluate(transcoder, (x, 2 * x))
    parts = zip(x.split(100), (2 * x).split(100), strict=True)
    assert sagsae.evaluate(transcoder, parts).r2 == pytest.approx(pair.r2, rel=1e-6)
    for data in (x, [x, x]):
        with pytest.raises(ValueError, match="d_out"):
            sagsae.evaluate(transcoder, data)
    with pytest.raises(ValueError, match="batch_size"):
        sagsae.evaluate(sae, x, batch_size=0)


@torch.no_grad()
def test_codes_and_reconstructions_are_in_the_units_of_the_activations(store):
    """As a newcomer takes them: raw activations in, k latents out, and their sum."""
    sae, _ = trained(store, variant="batchtopk", lam=None, k=4, tokens=12_800)
    rows = torch.from_numpy(np.concatenate([x.float() for x in iterate(store, "resid", 512)]))
    z = sae.encode(rows)
    assert 2 < float((z != 0).sum(1).float().mean()) < 8
    assert torch.equal(sae(rows), sae.decode(z))
    torch.testing.assert_close(sae.decode(z), z @ sae.W_dec + sae.b_dec / sae.scale)
    assert float((rows - sae(rows)).square().sum()) < 0.8 * float(rows.square().sum())


class OwnAutoencoder(Relu):
    """A class that is handed over as it is."""


def test_tensors_and_batches_are_trained_on_like_a_store(store, tmp_path):
    rows = torch.cat(list(iterate(store, "resid", 512)))
    how = {"lam": 0.02, "batch_size": 128, "learning_rate": 3e-3, "tokens": 25_600, "device": "cpu"}
    of_store = sagsae.train(store, "sagsae_tied", 48, **how).autoencoder
    of_tensor = sagsae.train(rows, "sagsae_tied", 48, **how).autoencoder
    several = (rows[i % 3 * 700 :][:900] for i in count())
    of_batches = sagsae.train(several, "sagsae_tied", 48, **how).autoencoder
    x = rows.float()
    errors = [
        float((x - sae(x)).detach().square().sum()) for sae in (of_store, of_tensor, of_batches)
    ]
    assert max(errors) < 1.15 * min(errors) < 0.5 * float(x.square().sum())
    assert of_tensor.scale == pytest.approx(of_store.scale, rel=1e-6)
    own = sagsae.train(rows, OwnAutoencoder, 48, **how | {"tokens": 1280}).autoencoder
    assert type(own) is OwnAutoencoder
    for data, changes, message in (
        (iter([rows]), {"tokens": None}, r"Give train\(\.\.\., tokens="),
        (iter([rows]), {}, "the batches ended .* rows before the end"),
        (iter([rows]), {"checkpoint": tmp_path / "c"}, "come once"),
        (rows.view(2, -1, WIDTH), {}, r"flatten them to \[rows, d\]"),
        (rows[:0], {}, "no rows to train on"),
    ):
        with pytest.raises(ValueError, match=message):
            sagsae.train(data, "sagsae_tied", 48, **how | changes)


def test_rows_in_memory_come_once_an_epoch_and_continue_from_a_checkpoint(store, tmp_path):
    rows = torch.arange(100.0)[:, None]
    stream = TensorStream(rows, 30, 5)
    seen = torch.cat([next(stream) for _ in range(10)]).flatten()
    for epoch in seen.view(3, 100):
        assert epoch.sort().values.tolist() == list(range(100))
    assert seen[:100].tolist() != seen[100:200].tolist()
    x = torch.cat(list(iterate(store, "resid", 512)))
    how = {"lam": 0.02, "batch_size": 128, "tokens": 12_800, "device": "cpu"}
    how |= {"checkpoint": tmp_path / "c", "checkpoint_seconds": 0}

    with pytest.raises(KeyboardInterrupt):
        sagsae.train(x, "gated", 48, progress=interrupt, **how)
    continued = sagsae.train(x, "gated", 48, **how).autoencoder
    whole = sagsae.train(x, "gated", 48, **how | {"checkpoint": None}).autoencoder
    assert torch.equal(continued.W_dec, whole.W_dec)


def test_ctrl_c_keeps_a_checkpoint_that_continues(store, tmp_path):
    run = {"tokens": 12_800, "checkpoint": tmp_path / "c"}

    def press(step: int, row: dict[str, float]) -> None:
        if step == 50:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted, match="stopped after step 51 of 100"):
        trained(store, progress=press, **run)
    steps = []
    continued, history = trained(store, progress=lambda step, row: steps.append(step), **run)
    assert steps == [99]
    assert [row["step"] for row in history.rows] == [0, 50, 99]
    whole = trained(store, tokens=12_800).autoencoder
    for name, value in whole.params.items():
        assert torch.equal(continued.params[name], value), name


def test_from_texts_to_losses(tmp_path):
    """A store of a model's activations, an autoencoder of it, and what it costs the model."""
    save_tiny_gpt2(tmp_path / "gpt2")
    model = sagsae.load_language_model(tmp_path / "gpt2", dtype="float32")
    draw = random.Random(0)
    texts = [" ".join(str(draw.randrange(90)) for _ in range(90)) for _ in range(60)]
    how = {"layer": 2, "context_length": 16, "device": "cpu"}
    store = sagsae.dump(model, texts, ["resid", "mlp_out"], tmp_path, **how)
    assert store.n_rows == 4096
    again = sagsae.dump(model, texts, ["resid", "mlp_out"], tmp_path, **how)
    assert again.digest() == store.digest()
    with pytest.raises(ValueError, match="mlp_out, resid: name one"):
        sagsae.train(store, "gated", 64, lam=0.01)
    sae, _ = sagsae.train(
        store, "sagsae_tied", 64, lam=0.01, hookpoint="resid", batch_size=128, tokens=40_000
    )
    ids = torch.randint(90, (6, 16), generator=torch.Generator().manual_seed(0))
    point, kept = sagsae.default_hookpoints("gpt2", 2)["resid"], torch.ones(6, 16, dtype=torch.bool)
    kept[:, 0] = False
    found = sagsae.loss_recovered(model, ids, sae, point)

    def loss() -> float:
        with torch.no_grad():
            logits = model(ids).logits[:, 1:-1].double()
        return float(torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 2:].flatten()))

    assert found.clean.mean == pytest.approx(loss(), rel=1e-5)
    with sagsae.splice(model, point, sae, kept):
        assert found.sae.mean == pytest.approx(loss(), rel=1e-5)
    assert found.clean.mean != pytest.approx(found.sae.mean, rel=1e-4)
    assert found.tokens == 6 * 14
    for changes, message in (({"layer": None}, "Give dump"), ({"layer": 9}, "h.9|other modules")):
        with pytest.raises(ValueError, match=message):
            sagsae.dump(model, texts, ["resid"], tmp_path, **how | changes)


def test_transcoders_from_texts_to_all_layers_replaced(tmp_path):
    save_tiny_gpt2(tmp_path / "gpt2")
    model = sagsae.load_language_model(tmp_path / "gpt2", dtype="float32")
    draw = random.Random(0)
    texts = [" ".join(str(draw.randrange(90)) for _ in range(90)) for _ in range(60)]
    how = {"layers": [0, 2], "context_length": 16, "device": "cpu"}
    store = sagsae.dump(model, texts, ["mlp_in", "mlp_added"], tmp_path, **how)
    run = {"k": 8, "batch_size": 128, "tokens": 20_000, "learning_rate": 3e-3}
    transcoders: dict[int, sagsae.Autoencoder] = {}
    for layer in (0, 2):
        ends = {"hookpoint": f"l{layer}.mlp_in", "target": f"l{layer}.mlp_added"}
        transcoders[layer], _ = sagsae.train(store, "batchtopk", 64, skip=layer == 2, **ends, **run)
        assert sagsae.evaluate(transcoders[layer], store, **ends).r2 > 0.3
    ids = torch.randint(90, (6, 16), generator=torch.Generator().manual_seed(0))
    points = sagsae.default_hookpoints("gpt2", 2)
    alone = sagsae.loss_recovered(
        model, ids, transcoders[2], points["mlp_in"], target=points["mlp_added"]
    )

    def loss(*chosen: int) -> float:
        with torch.no_grad(), sagsae.replaced(model, {i: transcoders[i] for i in chosen}):
            logits = model(ids).logits[:, 1:-1].double()
        return float(torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 2:].flatten()))

    assert loss() == pytest.approx(alone.clean.mean, rel=1e-5)
    assert loss(2) == pytest.approx(alone.sae.mean, rel=1e-5)
    assert len({round(loss(*chosen), 6) for chosen in ((), (0,), (2,), (0, 2))}) == 4

    def by_hand(module, inputs, output):
        """The MLP of layer 2 gives what its transcoder predicts, but for the first position."""
        new = transcoders[2](inputs[0].flatten(0, 1)).view_as(output)
        return torch.cat([output[:, :1], new[:, 1:]], 1)

    together = loss(0, 2)
    with torch.no_grad(), model.transformer.h[2].mlp.register_forward_hook(by_hand):
        assert loss(0) == pytest.approx(together, rel=1e-5)
    with pytest.raises(ValueError, match=r"is a transcoder: use replaced"):
        sagsae.splice(model, points["mlp_added"], transcoders[2])
    resid, _ = sagsae.train(torch.randn(2000, 64), "batchtopk", 32, **run | {"tokens": 2000})
    with pytest.raises(ValueError, match="layer 1: batchtopk is no transcoder"):
        sagsae.replaced(model, {1: resid})


def test_equal_arguments_give_equal_weights_and_another_seed_others(store):
    first, second, other = (trained(store, tokens=1280, seed=seed) for seed in (3, 3, 4))
    for name, value in first.autoencoder.params.items():
        assert torch.equal(value, second.autoencoder.params[name]), name
    assert not torch.equal(first.autoencoder.params["W_enc"], other.autoencoder.params["W_enc"])


def test_a_saved_file_says_where_it_comes_from(store, tmp_path):
    trained(store, tokens=1280, seed=3).autoencoder.save(tmp_path / "sae.safetensors")
    found = sagsae.load(tmp_path / "sae.safetensors").provenance
    assert found["hookpoint"] == "resid"
    assert (found["lam"], found["seed"], found["recipe"]["steps"]) == (0.02, 3, 10)
    assert found["store"] == store.config.digest()
    assert found["versions"]["sagsae"] == sagsae.__version__


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"tokens": 127}, ValueError, "127 tokens are less than one batch of 128"),
        ({"hookpoint": "attn"}, KeyError, "no hookpoint 'attn'"),
        ({"variant": "gatedd"}, KeyError, "gatedd"),
        ({"variant": "topk", "lam": None}, ValueError, r"topk\? Give train\(\.\.\., k=\.\.\.\)"),
        ({"bandwidth": 0.1}, ValueError, "bandwidth: means nothing for sagsae_tied"),
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"width": 0}, ValueError, "width 0"),
        ({"lr": 1e-3}, TypeError, "did you mean 'learning_rate'"),
        ({"check_point": "c"}, TypeError, "did you mean 'checkpoint'"),
        ({"nonsense": 1}, TypeError, "'nonsense', and a recipe no such setting$"),
        ({"variant": "batch_topk", "lam": None, "k": 4}, KeyError, "did you mean 'batchtopk'"),
    ],
)
def test_wrong_arguments_are_named(store, changes, error, message):
    with pytest.raises(error, match=message):
        trained(store, **changes)


def test_splice_puts_the_reconstruction_into_the_model(store):
    assert WIDTH == HIDDEN
    model, path = tiny_model("llama"), "model.layers.2.mlp"
    sae, _ = trained(store, tokens=1280)
    ids = torch.randint(1, VOCABULARY, (3, 10), generator=torch.Generator().manual_seed(0))
    kept = torch.ones(3, 10, dtype=torch.bool)
    kept[:, 0] = False
    seen = {}

    def watch(module, inputs, output):
        seen["now"] = output.detach().clone()

    with torch.no_grad():
        with model.get_submodule(path).register_forward_hook(watch):
            clean = model(ids).logits
        raw = seen["now"]
        wanted = sae(raw.flatten(0, 1)).view_as(raw)
        hookpoint = sagsae.default_hookpoints("llama", 2)["mlp_out"]
        for place, mask in ((path, None), (hookpoint, kept)):  # first positions stay by default
            with (
                sagsae.splice(model, place, sae, mask),
                model.get_submodule(path).register_forward_hook(watch),
            ):
                spliced = model(ids).logits
            torch.testing.assert_close(seen["now"], wanted.where(kept[..., None], raw))
            assert not torch.allclose(spliced, clean)
        assert torch.equal(model(ids).logits, clean)
        with (
            sagsae.splice(model, path, sae),
            model.get_submodule(path).register_forward_hook(watch),
        ):
            model(ids[:, :1])  # as in generation: a single position follows others
        assert not torch.equal(seen["now"], raw[:, :1])


def test_an_autoencoder_on_another_device_is_copied_to_the_model_s():
    sae = build("gated", 2, 3)
    assert _beside(torch.nn.Linear(2, 2), sae) is sae
    assert _beside(torch.nn.Linear(2, 2, device="meta"), sae).W_dec.device.type == "meta"
    assert sae.W_dec.device.type == "cpu"


def test_steer_adds_a_direction_where_it_is_kept():
    model, path = tiny_model("llama"), "model.layers.2.mlp"
    ids = torch.randint(1, VOCABULARY, (3, 10), generator=torch.Generator().manual_seed(0))
    direction = torch.randn(HIDDEN, generator=torch.Generator().manual_seed(1))
    kept = torch.ones(3, 10, dtype=torch.bool)
    kept[:, :4] = False
    seen = []

    def watch(module, inputs, output):
        seen.append(output.detach().clone())

    with torch.no_grad(), model.get_submodule(path).register_forward_hook(watch):
        clean = model(ids).logits
    for mask in (None, kept):
        with (
            torch.no_grad(),
            sagsae.steer(model, path, direction, mask),
            model.get_submodule(path).register_forward_hook(watch),
        ):
            steered = model(ids).logits
        added = direction if mask is None else direction * mask[..., None]
        torch.testing.assert_close(seen[-1], seen[0] + added)
        assert not torch.allclose(steered[:, -1], clean[:, -1])
        if mask is not None:
            assert torch.equal(steered[:, :4], clean[:, :4])
    assert torch.equal(model(ids).logits, clean)
    with (
        sagsae.steer(model, path, direction[1:]),
        pytest.raises(ValueError, match=f"activations of width {HIDDEN}, and {HIDDEN - 1} is"),
    ):
        model(ids)
