"""What jobs ask for: minutes and memory by hand, more for wider cells and later attempts."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest

from pipeline.jobs.json_files import write_json
from pipeline.study.cell import Cell
from pipeline.study.measures import Measures
from pipeline.study.study import Study
from pipeline.tools.requests import LEAST_MINUTES, MEMORY_GROWTH, Requests

ROOT = Path(__file__).resolve().parents[3]
CONFIGS = ROOT / "workflow" / "configs"
FULL, HALF = 32768, 16384


@pytest.fixture(scope="module")
def paper() -> Study:
    return Study.load(CONFIGS / "paper.yaml")


def wildcards(cell: Cell) -> dict[str, str]:
    model, hookpoint, variant, name = cell.path.split("/")
    width, knob, seed = name.split("_")
    place = {"model": model, "hookpoint": hookpoint, "variant": variant}
    return place | {"width": width[1:], "knob": knob, "seed": seed[4:]}


def cells_of(study: Study, **fields: Any) -> list[Cell]:
    return [c for c in study.cells if all(getattr(c, k) == v for k, v in fields.items())]


def trained_seconds(width: int) -> float:
    """Seven products of a step, 209,715,200 tokens, at 300 TFLOP/s."""
    return 7 * 2 * 2048 * width * 209715200 / 300e12


@pytest.mark.parametrize("width", [HALF, FULL])
def test_the_minutes_of_a_cell_by_hand(paper, width):
    """Twice of: two starts of 30 s, training, three products on the held-out rows, spliced passes.

    Half width computes for less time than one job takes to read its stream at 2 GB/s.
    """
    cell = cells_of(paper, model="pythia-1b", width=width, variant="sagsae_tied", recipe="")[0]
    found = Requests(paper, "h100").of("cell")["runtime"](wildcards(cell), attempt=1, threads=1)
    spliced = 256 * 1024 * (16 * (2 * 50331648 + 2 * 1024 * 2048) + 2 * 103022592)
    evaluated = (3 * 2 * 2048 * width * 524288 + spliced) / 250e12
    trained = max(trained_seconds(width), 209715200 * 4096 / 2e9)
    assert (trained == trained_seconds(width)) == (width == FULL)
    evaluated = max(evaluated, 524288 * 4096 / 2e9)
    assert found == math.ceil(2 * (60 + trained + evaluated) / 60)


def test_a_dump_waits_for_the_disk_and_is_sealed(paper):
    """650 GB at 2 GB/s are longer than the passes of Pythia; the sealing reads them again."""
    found = Requests(paper, "h100").of("dump")["runtime"]
    disk = 3 * 2048 * 2 * 52428800 / 2e9
    given = {"model": "pythia-1b", "split": "train"}
    assert found(given, attempt=1, threads=16) == math.ceil(2 * (30 + 2 * disk) / 60)
    passes = 19 * (2 * 78118912 + 2 * 1024 * 2048) * 52428800 * 1024 / 1023 / 250e12
    assert passes > disk
    given = {"model": "smollm3-3b", "split": "train"}
    assert found(given, attempt=1, threads=16) == math.ceil(2 * (30 + passes + disk) / 60)


def test_every_attempt_asks_for_more(paper):
    given = wildcards(cells_of(paper, width=FULL)[0])
    found = Requests(paper, "h100").of("cell")
    times = [found["runtime"](given, attempt=n, threads=1) for n in (1, 2, 3)]
    assert times == [times[0], 2 * times[0], 3 * times[0]]
    sizes = [found["mem_mb"](given, attempt=n) for n in (1, 2, 3)]
    for size, before in zip(sizes[1:], sizes, strict=False):
        assert size == pytest.approx(MEMORY_GROWTH * before, abs=200)


def test_what_is_left_is_what_is_not_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = Study.load(CONFIGS / "local.yaml")

    def left() -> list[int]:
        return [int(number) for number in re.findall(r"\d+", Requests(study).left())[:3]]

    cells, stores, minutes = left()
    assert (cells, stores) == (len(study.cells), 4)
    for cell in study.cells[1:]:
        write_json(study.metrics(cell), {"made_from": study.cell_made_for(cell)})
    spec = study.stores["gemma3-270m", "train"]
    write_json(study.manifest("gemma3-270m", "train"), {"spec": spec})
    assert left()[:2] == [1, 1]  # the cell's model is Gemma, whose held-out store is not there
    assert left()[2] < minutes / 4
    write_json(study.metrics(study.cells[1]), {"made_from": {"train": "another"}})
    assert left()[0] == 2


def test_memory_covers_every_cell_of_the_reference_study():
    """What training took there, beside what is asked for: enough, and not out of all proportion."""
    study = Study.load(CONFIGS / "reference.yaml")
    found = Requests(study, "cpu-core").of("cell")["mem_mb"]
    published = Measures(ROOT / "results" / "reference" / "local" / "measures")
    for cell, metrics in published.metrics().items():
        took = metrics.training.peak_memory_mb
        assert took < found(wildcards(cell), attempt=1) < 8 * took, cell.path


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
    found = Requests(Study.from_dict(raw), "cpu-core").of(rule)
    assert LEAST_MINUTES <= found["runtime"](given, attempt=1, threads=1) < 60
    assert 1000 <= found["mem_mb"](given, attempt=1) < 8000
