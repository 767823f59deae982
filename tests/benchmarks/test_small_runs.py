"""Benchmarks at sizes that measure nothing: they must still run when what they time has changed."""

from __future__ import annotations

import re

import pytest
import torch

from benchmarks import (
    card,
    codecs,
    dial,
    evaluation,
    families,
    machine,
    step,
    stream,
    width,
)
from sagsae.autoencoders.registry import VARIANTS
from tests.peers import environment
from tests.sagsae.evaluation.samples import tiny_model

pytestmark = pytest.mark.long

NUMBER = r"[\d.,]+"


@pytest.fixture
def printed(monkeypatch, capsys):
    """What a benchmark prints, called with these arguments; PyTorch's threads stay as they were."""
    threads = torch.get_num_threads()

    def run(module, *arguments):
        monkeypatch.setattr("sys.argv", [module.__name__, *map(str, arguments)])
        module.main()
        return capsys.readouterr().out

    yield run
    torch.set_num_threads(threads)


@pytest.mark.slow
def test_rates_of_the_machine(printed, monkeypatch):
    monkeypatch.setattr(machine, "COPIED", 2**20)
    out = printed(machine, "--rounds", 1)
    for rate in ("copy in memory", "product in bfloat16", "product in float32"):
        assert re.search(rf"^\| {rate} \| 1 \| {NUMBER} \|", out, re.MULTILINE)


@pytest.mark.slow
def test_a_step(printed):
    """Without peers, of which nothing is said then."""
    out = printed(step, "--d", 16, "--width", 1024, "--batch", 64, "--rounds", 1, "--threads", 1)
    assert re.search(rf"^\| sagsae, gated, start \| {NUMBER} \|", out, re.MULTILINE)
    assert re.search(rf"^\| update_on_open \| .*{NUMBER}", out, re.MULTILINE)
    assert re.search(rf"^\| an empty cache \| {NUMBER} \|", out, re.MULTILINE)
    assert "SAELens" not in out


@pytest.mark.slow
def test_steps_of_other_libraries(printed, monkeypatch):
    """Of the two-sided form beside those of the one-sided one, which others have."""
    sizes = ("--d", 16, "--width", 64, "--batch", 64, "--k", 4, "--rounds", 1, "--threads", 1)
    peers = environment.interpreter()
    monkeypatch.setenv("PATH", "")  # no compiler, with which this would take minutes
    out = printed(families, *sizes, "--names", "absbatchtopk", "--peers", peers)
    row = next(line for line in out.splitlines() if line.startswith("| absbatchtopk: sagsae"))
    assert "SAELens" in row or "dictionary_learning" in row
    assert "| batchtopk: dictionary_learning, as shipped |" in out


def test_widths(printed):
    sizes = ("--d", 16, "--batch", 64, "--l0", 4, "--widths", 64, 128)
    out = printed(width, *sizes, "--rounds", 1, "--threads", 1)
    assert re.findall(r"^\| (\d+) \|", out, re.MULTILINE) == ["64", "128"]


def test_compressors(printed, monkeypatch, tmp_path):
    monkeypatch.setattr(stream, "STORES", {16: (64, 2)})
    store = stream.make_store(tmp_path / "store", 16)
    out = printed(codecs, store.path, "--rounds", 1)
    assert len(re.findall(rf"^\| .* \| {NUMBER}% \|", out, re.MULTILINE)) == len(codecs.ARMS)


@pytest.mark.slow
def test_the_start_of_an_evaluation():
    assert evaluation.import_seconds() > 0


def test_steering(printed, monkeypatch):
    monkeypatch.setattr(dial, "SHAPES", {"tiny": ({}, 2)})
    monkeypatch.setattr(dial, "random_model", lambda name: tiny_model("llama", torch.bfloat16))
    out = printed(dial, "--rounds", 1)
    ways = re.findall(rf"^\| (.*) \| {NUMBER} \| {NUMBER} \|$", out, re.MULTILINE)
    assert ways[0] == "one at a time, all blocks, all positions read"
    assert len(ways) == 3 + len(dial.BATCHES)


@pytest.mark.parametrize("name", ["gated", "sagsae_tied"])
def test_bfloat16_agrees_with_float64(name):
    error = card.gradient_error(name, torch.device("cpu"), d=32, width=128, batch=256)
    assert 1e-3 < error < 0.1


def test_the_first_half_hour_on_a_card(printed):
    """Here on a CPU, which continues trainings as a card should."""
    out = printed(card, "--device", "cpu", "--small")
    assert out.count("| equal ") == 2 * len(VARIANTS)
    assert re.search(rf"^\| stream of a store, d 16 +\| {NUMBER} GB/s", out, re.MULTILINE)
