"""``sagsae.train`` on short data, in odd surroundings, and with arguments that it must refuse."""

from __future__ import annotations

import signal

import numpy as np
import pytest
import torch

import sagsae
from sagsae.activations.rows import TensorStream
from sagsae.autoencoders.registry import VARIANTS, K
from sagsae.autoencoders.storage import build
from sagsae.evaluation.metrics import evaluate_reconstruction
from tests.sagsae.samples import WIDTH, sparse_rows

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


def test_a_second_ctrl_c_raises_and_kills_nobody(tmp_path):
    """A notebook's kernel hears of it as of any other."""

    def press_twice(step: int, row: dict[str, float]) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    how = {"lam": 0.02, "checkpoint": tmp_path / "c", **HOW}
    with pytest.raises(KeyboardInterrupt):
        sagsae.train(sparse_rows(640, 0), "gated", 48, progress=press_twice, **how)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_rows_in_memory_are_permuted_once_an_epoch(monkeypatch):
    draw, drawn = np.random.default_rng, []
    monkeypatch.setattr("numpy.random.default_rng", lambda seed: drawn.append(seed) or draw(seed))
    stream = TensorStream(torch.arange(100.0)[:, None], 30, 5)
    for _ in range(10):
        next(stream)
    assert drawn == [[5, 0], [5, 1], [5, 2]]


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
