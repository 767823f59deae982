"""``sagsae.train`` on short data, in odd surroundings, and with arguments that it must refuse."""

from __future__ import annotations

import signal
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import sagsae
from sagsae.autoencoders.registry import VARIANTS, K
from sagsae.autoencoders.weights import build
from sagsae.evaluation.metrics import evaluate_reconstruction
from sagsae.training.trainer import Interrupted
from tests.sagsae.samples import WIDTH, sparse_rows, sparse_store

HOW = {"batch_size": 64, "learning_rate": 3e-3, "device": "cpu"}


def sparsity(name: str) -> dict[str, float]:
    return {"k": 4} if VARIANTS[name].knob == K else {"lam": 0.02}


def trained(name: str) -> sagsae.Autoencoder:
    return sagsae.train(sparse_rows(2560, 0), name, 48, **sparsity(name), **HOW).autoencoder


def evaluated(sae, x):
    return evaluate_reconstruction(sae, [x])


def test_batches_that_are_few_calibrate_a_threshold():
    """There are fewer rows than calibration reads: they are read again."""
    rows = sparse_rows(1280, 0)
    sae, history = sagsae.train(iter(rows.split(100)), "batchtopk", 48, k=4, tokens=1280, **HOW)
    assert history.calibration["l0"] == pytest.approx(4, rel=0.1)
    assert float((sae.encode(rows) != 0).sum(1).float().mean()) == pytest.approx(4, rel=0.1)


@pytest.mark.parametrize("name", ["sagsae_tied", "topk", "relu"])
def test_gradients_that_the_caller_switched_off(name):
    rows = sparse_rows(640, 0)
    expected = sagsae.train(rows, name, 48, **sparsity(name), **HOW).autoencoder
    with torch.no_grad():
        found = sagsae.train(rows, name, 48, **sparsity(name), **HOW).autoencoder
        assert not torch.is_grad_enabled()
    assert torch.equal(found.W_dec, expected.W_dec)


def test_a_second_ctrl_c_raises_and_kills_nobody(tmp_path, request):
    """A notebook's kernel hears of it as of any other."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))

    def press_twice(step: int, row: dict[str, float]) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    how = {"lam": 0.02, "checkpoint": tmp_path / "c", **HOW}
    with pytest.raises(KeyboardInterrupt):
        sagsae.train(sparse_rows(640, 0), "gated", 48, progress=press_twice, **how)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("name", VARIANTS)
def test_codes_of_contexts_are_those_of_their_positions(name):
    sae, x = trained(name), sparse_rows(60, 1)
    with torch.no_grad():
        code, both = sae.encode(x), torch.tensor([5, 2])
        assert torch.equal(sae.encode(x.view(4, 15, WIDTH)), code.view(4, 15, -1))
        assert torch.equal(sae(x.view(4, 15, WIDTH)).view(60, WIDTH), sae(x))
        some = sae.code_of_latents(x.view(4, 15, WIDTH), both)
        torch.testing.assert_close(some.view(60, 2), sae.code(x)[:, both])


@pytest.mark.parametrize("name", VARIANTS)
def test_bfloat16_autoencoders_are_evaluated_and_decode(name):
    sae, x = trained(name), sparse_rows(600, 1)
    exact = evaluated(sae, x)
    sae = sae.to(torch.bfloat16)
    found = evaluated(sae, x)
    assert found.r2 == pytest.approx(exact.r2, abs=0.02)
    assert found.l0 == pytest.approx(exact.l0, rel=0.05)
    with torch.no_grad():
        z = sae.encode(x)
        assert torch.equal(sae.decode(z.float()), sae.decode(z))


def test_a_file_is_whole_or_as_it_was(tmp_path, monkeypatch):
    path, sae = tmp_path / "sae.safetensors", build("gated", 8, 12)
    sae.save(path)
    before = path.read_bytes()

    def full(self, content):
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        sae.save(path, {"note": "other"})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def data_of(kind: str, folder: Path) -> sagsae.Store | torch.Tensor:
    """Rows and stores, others of the same number, scale and configuration, and a smaller store."""
    rows = sparse_rows(6400, 0)
    if "rows" in kind:
        return {"rows": rows, "negative rows": -rows, "turned rows": rows.flip(1)}[kind]
    how = {"store": {}, "negative store": {"sign": -1.0}, "small store": {"blocks": 2}}[kind]
    return sparse_store(folder / kind, 0, **how)


@pytest.mark.parametrize(
    ("first", "second", "changes", "message"),
    [
        ("rows", "negative rows", {}, "sha256: "),
        ("rows", "turned rows", {}, "sha256: "),
        ("rows", "rows", {"seed": 1}, "seed: 0 -> 1"),
        ("store", "negative store", {}, "store: "),
        ("store", "small store", {}, r"scale: .* -> "),
        ("store", "store", {"k": 8}, "k: 2 -> 8"),
        ("store", "store", {"learning_rate": 1e-5}, "learning_rate: 0.003 -> 1e-05"),
        ("store", "store", {"encoder_input": "plain"}, "encoder_input: None -> plain"),
        ("store", "store", {"seed": 1}, "seed: 0 -> 1"),
        ("store", "store", {"group_chunks": 2}, "group_chunks: 16 -> 2"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(tmp_path, first, second, changes, message):
    """Tensors of the two have the same names, and mostly the same shapes."""
    path = tmp_path / "c"
    run = {"k": 2, "tokens": 640, "checkpoint": path, "dead_window_tokens": 640, **HOW}
    with pytest.raises(Interrupted):
        sagsae.train(data_of(first, tmp_path), "topk", 48, progress=stop, **run)
    kept = path.read_bytes()
    with pytest.raises(ValueError, match=message):
        sagsae.train(data_of(second, tmp_path), "topk", 48, **run | changes)
    assert path.read_bytes() == kept


def stop(step: int, row: dict[str, float]) -> None:
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("kind", ["autoencoder", "notes", "empty", "folder"])
def test_a_file_that_is_no_checkpoint_stays_and_is_named_before_the_first_step(kind, tmp_path):
    path, steps = tmp_path / "kept", []
    if kind == "folder":
        path.mkdir()
    elif kind == "autoencoder":
        build("gated", 8, 12).save(path)
    else:
        path.write_text({"notes": "sha256", "empty": ""}[kind])
    before = None if kind == "folder" else path.read_bytes()
    how = {"lam": 0.02, "checkpoint": path, "checkpoint_seconds": 0, **HOW}
    with pytest.raises(ValueError, match="kept is no checkpoint of a training, and stays as it is"):
        sagsae.train(sparse_rows(640, 0), "gated", 48, progress=lambda *a: steps.append(a), **how)
    assert not steps
    assert before is None or path.read_bytes() == before


@pytest.mark.parametrize("name", ["gated", "topk", "matryoshka_batchtopk"])
def test_numbers_of_numpy_are_saved(name, tmp_path):
    """They come from grids such as ``np.logspace``, and train to the end as others do."""
    rows, one = sparse_rows(640, 0), np.int64(1)
    own = {"k": 4 * one} if VARIANTS[name].knob == K else {"lam": np.float32(0.5)}
    how = {"batch_size": 64 * one, "learning_rate": np.float32(1e-3), "seed": 3 * one}
    how |= {"tokens": 640 * one, "beta1": np.float32(0.5), "device": "cpu"}
    how |= {"checkpoint": tmp_path / "c", "checkpoint_seconds": 0, "group_chunks": 2 * one}
    if name.startswith("matryoshka"):
        how["matryoshka_levels"] = np.array([0.5, 1], np.float32)
    sae, _ = sagsae.train(rows, name, 48 * one, **own, **how)
    sae.save(tmp_path / "sae.safetensors")
    again = sagsae.load(tmp_path / "sae.safetensors")
    assert (again.width, again.provenance["seed"]) == (48, 3)
    with pytest.raises(TypeError, match="float"):
        sagsae.train(rows, name, 48.5, **own, **how)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("gated", {"lam": 0.01, "learning_rate": 2.0}, r"R2 of the last batch is -\d|diverged"),
        ("batchtopk", {"k": 4}, "the threshold gives L0"),
        ("topk", {"k": 4, "dead_window_tokens": 641}, "AuxK never acts: .* 641 tokens, .* 640"),
    ],
)
def test_a_run_that_went_wrong_is_said(name, changes, message, monkeypatch):
    monkeypatch.setattr("sagsae.autoencoders.batchtopk.TOLERANCE", -1)
    with pytest.warns(UserWarning, match=message):
        sagsae.train(sparse_rows(640, 0), name, 48, **HOW | changes)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("gated", {"lam": 0.1, "lambda_warmup_steps": 10}),
        ("gated", {"lam": 0.1, "lr_warmup_steps": 11}),
        ("topk", {"k": 4, "k_warmup_steps": 10}),
    ],
)
def test_a_warm_up_as_long_as_the_run_is_refused(name, changes):
    """The file would say a lambda or k that the run never had."""
    with pytest.raises(ValueError, match=r"_warmup_steps: a warm-up of 1\d steps does not end in"):
        sagsae.train(sparse_rows(640, 0), name, 48, **HOW | changes)


@pytest.mark.parametrize("name", [name for name in VARIANTS if VARIANTS[name].knob == K])
def test_the_window_of_dead_latents_follows_the_run(name):
    """At most a million tokens, and a tenth of a short run, in which AuxK acts without a word."""
    x = sparse_rows(2560, 0)
    how = {"batch_size": 64, "learning_rate": 3e-3, "device": "cpu", "k": 4}
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="AuxK")
        sae, _ = sagsae.train(x, name, 48, tokens=6400, **how)
        own, _ = sagsae.train(x, name, 48, tokens=6400, dead_window_tokens=500, **how)
    assert sae.dead_window_tokens == 640
    assert own.dead_window_tokens == 500
