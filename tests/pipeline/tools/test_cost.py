"""Estimates: the arithmetic of a study counted by hand, and what jobs ask a scheduler for."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from pipeline.study.cell import Cell
from pipeline.study.measures import Measures
from pipeline.study.study import Study
from pipeline.tools.cost import LEAST_MINUTES, MEMORY_GROWTH, Requests, main

ROOT = Path(__file__).resolve().parents[3]
CONFIGS = ROOT / "workflow" / "configs"
FULL, HALF = 32768, 16384
TOKENS, ROWS = 209715200, 52428800 + 524288
ATTENTION = 2 * 1024 * 2048
PYTHIA, SMOLLM3 = 2 * 50331648 + ATTENTION, 2 * 78118912 + ATTENTION
SPLICED = 256 * 1024


@pytest.fixture(scope="module")
def paper() -> Requests:
    return Requests(Study.load(CONFIGS / "paper.yaml"), "h100")


def wildcards(cell: Cell) -> dict[str, str]:
    model, hookpoint, variant, name = cell.path.split("/")
    width, knob, seed = name.split("_")
    place = {"model": model, "hookpoint": hookpoint, "variant": variant}
    return place | {"width": width[1:], "knob": knob, "seed": seed[4:]}


def cell_of(requests: Requests, width: int) -> Cell:
    cells = requests.study.cells
    return next(c for c in cells if c.model == "pythia-1b" and c.width == width)


def test_operations_and_bytes_of_the_paper_study_by_hand(paper):
    table = paper.table(devices=8)
    full, half = 2048 * FULL, 2048 * HALF
    cells = 2 * 3 * 3 * 6 * 2  # models, hookpoints, seeds, lambdas, recipes
    products, count = cells * (3 * full + 6 * half), 9 * cells
    spliced = 16 * PYTHIA + 2 * 103022592 + 36 * SMOLLM3 + 2 * 262668288
    operations = 2 * products * (7 * TOKENS + 3 * 524288) + count / 2 * SPLICED * spliced
    trained = table.loc["cells"]
    assert trained["jobs"] == count
    assert trained["P operations"] == pytest.approx(operations / 1e15)
    assert trained["GB on disk"] == pytest.approx(products * 8 / 1e9)
    assert trained["GB read and written"] == pytest.approx(count * (TOKENS + 524288) * 4096 / 1e9)
    made = table.loc["activations"]
    assert made["GB on disk"] == pytest.approx(2 * 3 * 2048 * 2 * ROWS / 1e9)
    assert made["M tokens"] == pytest.approx(2 * ROWS * 1024 / 1023 / 1e6)
    blocks = 9 * PYTHIA + 19 * SMOLLM3
    assert made["P operations"] == pytest.approx(blocks * ROWS * 1024 / 1023 / 1e15)
    assert table.loc["total", "jobs"] == table["jobs"][:-1].sum()


def test_hours_are_those_of_even_shares_or_of_the_longest_job(paper):
    hours = [paper.seconds(paper.cell(cell)) / 3600 for cell in paper.study.cells]
    cells = {devices: paper.table(devices).loc["cells"] for devices in (1, 8, 10**6)}
    assert cells[1]["hours on 1"] == cells[1]["GPU-hours"] == pytest.approx(sum(hours))
    assert cells[8]["hours on 8"] == pytest.approx(sum(hours) / 8)
    assert cells[10**6]["hours on 1000000"] == pytest.approx(max(hours))


def test_a_step_without_a_gate_has_five_products(paper):
    gated = next(cell for cell in paper.study.cells if cell.variant == "gated")
    topk = replace(gated, variant="topk", lam=None, k=8)
    assert 5 * paper.cell(gated).training == 7 * paper.cell(topk).training


@pytest.mark.parametrize("width", [HALF, FULL])
def test_the_minutes_of_a_cell_by_hand(paper, width):
    """Twice the start, seven products a step, three on the held-out rows, spliced passes. A cell of
    half width takes as long as its stream is read at 2 GB/s."""
    ask = paper.of("cell")["runtime"]
    evaluated = 3 * 2 * 2048 * width * 524288 + SPLICED * (16 * PYTHIA + 2 * 103022592)
    computed = 7 * 2 * 2048 * width * TOKENS / 300e12 + evaluated / 250e12
    read = (TOKENS + 524288) * 4096 / 2e9
    assert (computed > read) == (width == FULL)
    minutes = ask(wildcards(cell_of(paper, width)), attempt=1, threads=1)
    assert minutes == math.ceil(2 * (30 + max(computed, read)) / 60)


def test_a_dump_waits_for_the_disk_or_the_passes_and_is_sealed(paper):
    """650 GB at 2 GB/s are longer than the passes of Pythia; the sealing reads them again."""
    disk, tokens = 3 * 2048 * 2 * 52428800 / 2e9, 52428800 * 1024 / 1023
    passes = 19 * SMOLLM3 * tokens / 250e12
    assert passes > disk
    for model, computed in (("pythia-1b", disk), ("smollm3-3b", passes)):
        given = {"model": model, "split": "train"}
        minutes = paper.of("dump")["runtime"](given, attempt=1, threads=16)
        assert minutes == math.ceil(2 * (30 + computed + disk + tokens / 580_000) / 60)


def test_every_attempt_asks_for_more(paper):
    given, asked = wildcards(cell_of(paper, FULL)), paper.of("cell")
    times = [asked["runtime"](given, attempt=n, threads=1) for n in (1, 2, 3)]
    assert times == [times[0], 2 * times[0], 3 * times[0]]
    sizes = [asked["mem_mb"](given, attempt=n) for n in (1, 2, 3)]
    for size, before in zip(sizes[1:], sizes, strict=False):
        assert size == pytest.approx(MEMORY_GROWTH * before, abs=200)


def test_memory_covers_every_cell_of_the_reference_study():
    """What training took there, beside what is asked for: enough, and not out of all proportion."""
    asked = Requests(Study.load(CONFIGS / "reference.yaml"), "cpu-core").of("cell")["mem_mb"]
    published = Measures(ROOT / "results" / "reference" / "local-reference" / "measures")
    for cell, metrics in published.metrics().items():
        took = metrics.training.peak_memory_mb
        assert took < asked(wildcards(cell), attempt=1) < 8 * took, cell.path


@pytest.mark.parametrize(
    ("rule", "given"),
    [
        ("tokens", {"model": "tiny-smollm3", "split": "train"}),
        ("dump", {"model": "tiny-smollm3", "split": "heldout"}),
        ("baselines", {"model": "tiny-gpt-neox"}),
        ("dial_run", {"look": "tiny-gpt-neox/resid/seed0"}),
        ("probe_run", {"look": "tiny-gpt-neox/resid/seed0"}),
        ("signs_run", {"look": "tiny-gpt-neox/resid"}),
        ("synthetic_run", {"protocol": "anomalies", "seed": "1"}),
        ("browser_run", {"look": "tiny-gpt-neox/resid/gated/w256_lam0.1_seed0"}),
    ],
)
def test_every_rule_of_a_cluster_has_numbers(rule, given):
    cells = ["tiny-gpt-neox/resid/gated/w256_lam0.1_seed0"]
    raw = Study.load(CONFIGS / "smoke.yaml").config.model_dump() | {"browser": {"cells": cells}}
    raw |= {"probe": {}, "signs": {}}
    asked = Requests(Study.from_dict(raw), "cpu-core").of(rule)
    assert LEAST_MINUTES <= asked["runtime"](given, attempt=1, threads=1) < 60
    assert 1000 <= asked["mem_mb"](given, attempt=1) < 8000


def test_a_device_without_rates_is_named_with_those_there_are(paper):
    with pytest.raises(ValueError, match="unknown rates 'b200'; known are cpu-core, h100"):
        Requests(paper.study, "b200")


def test_it_says_what_is_missing_here_and_whose_hours_it_gives(tmp_path, capsys):
    raw = yaml.safe_load((CONFIGS / "smoke.yaml").read_text())
    raw["text"] = {"source": {"kind": "files", "paths": [str(tmp_path / "none.txt")]}}
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(raw))
    main(path, "cpu-core")
    shown = capsys.readouterr().out
    assert "Hours are those of cpu-core" in shown
    assert f"text.source.paths.0: no file of text at {tmp_path}" in shown
