"""Benchmarks at sizes that measure nothing: they must still run when what they time has changed."""

from __future__ import annotations

import re
import sys

import pytest
import torch

from benchmarks import (
    codecs,
    dial,
    dump_stages,
    evaluation,
    families,
    gpu_step,
    machine,
    step,
    stream,
    width,
)
from benchmarks.interleaved import Timing
from benchmarks.workers import StepFailed, Worker
from pipeline.jobs.stage import SPIN_COUNT
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
def test_steps_without_a_gate(printed):
    sizes = ("--d", 16, "--width", 64, "--batch", 64, "--k", 4, "--rounds", 1, "--threads", 1)
    out = printed(families, *sizes, "--names", "relu", "abstopk")
    for contender in ("relu: sagsae, start", "relu: sagsae, L0 = 4", "abstopk: sagsae, k = 4"):
        assert re.search(rf"^\| {contender} \| {NUMBER} \| {NUMBER} \|", out, re.MULTILINE)
    assert re.search(rf"^\| abstopk, k = 4 \| (.* )?{NUMBER} \|$", out, re.MULTILINE)


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


def test_a_two_sided_form_is_set_beside_the_peers_of_its_one_sided_one():
    fast, slow = Timing([1.0], [1.0]), Timing([2.0], [2.0])
    timings = {
        "absrelu: sagsae, start": fast,
        "relu: A, as shipped": slow,
        "relu: B, compiled": fast,
        "abstopk: A, as shipped": slow,
        "topk: A, as shipped": fast,
    }
    assert families.best_peer("absrelu", timings) == "relu: B, compiled"
    assert families.best_peer("abstopk", timings) == "abstopk: A, as shipped"
    assert families.best_peer("jumprelu", timings) == ""


def test_a_contender_that_cannot_run_leaves_the_others(tmp_path, monkeypatch):
    """Whatever a library prints is no answer."""
    (tmp_path / "noisy.py").write_text(
        "from benchmarks.workers import serve\n"
        "def make():\n"
        "    print('Welcome')\n"
        "    return {'good': lambda: print('step'), 'bad': lambda: 1 / 0}\n"
        "serve(make)\n"
    )
    monkeypatch.chdir(tmp_path)
    with Worker(sys.executable, "noisy") as worker:
        assert worker.names == ["good", "bad"]
        with pytest.raises(StepFailed, match="bad: ZeroDivisionError"):
            worker.run("bad", 1)
        assert worker.run("good", 3)[0] > 0


def test_widths(printed):
    sizes = ("--d", 16, "--batch", 64, "--l0", 4, "--widths", 64, 128)
    out = printed(width, *sizes, "--rounds", 1, "--threads", 1)
    assert re.findall(r"^\| (\d+) \|", out, re.MULTILINE) == ["64", "128"]


def test_stages_of_a_dump(printed):
    sizes = ("--width", 16, "--rows", 64, "--rows-per-chunk", 32, "--measured-rows", 64)
    out = printed(dump_stages, *sizes, "--rounds", 1, "--writers", 1, 2, "--forward", 9)
    for name in (*dump_stages.STAGES, "sum"):
        assert re.search(rf"^\| {name} \| {NUMBER} \| {NUMBER} \|", out, re.MULTILINE)
    assert re.findall(r"^\| (\d) \| 9.00 .* \| 9.00 \| forward \|", out, re.MULTILINE) == ["1", "2"]


def test_more_writers_help_until_something_else_is_the_bound():
    block = dump_stages.Block(rows=2**17, width=2048, hookpoints=3, rows_per_chunk=2048)
    costs = dump_stages.Costs(wall={"files": 6.0}, cpu={"files": 4.0})
    rates = {"cores": 15, "forward": 1.0, "bus": 25.0, "disk": block.size / 1e9}
    found = [max(dump_stages.bounds(block, costs, w, **rates).values()) for w in (1, 2, 5, 12)]
    assert found == [5.0, 2.5, 1.0, 1.0]


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


def test_a_gpu_that_is_not_there(printed, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert printed(gpu_step).startswith("No GPU here")


@pytest.mark.parametrize("name", ["gated", "sagsae_tied"])
def test_bfloat16_agrees_with_float64(name):
    error = gpu_step.gradient_error(name, "cpu", d=32, width=128, batch=256, fused=False)
    assert 1e-3 < error < 0.1


def test_our_steps_run_as_jobs_do(monkeypatch):
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    assert step.as_jobs_run()["GOMP_SPINCOUNT"] == str(SPIN_COUNT)
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    assert step.as_jobs_run()["GOMP_SPINCOUNT"] == "7"
