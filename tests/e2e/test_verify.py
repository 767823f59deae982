"""`snakemake verify` on the finished smoke study; its remedies bring damaged files back."""

from __future__ import annotations

import re
import shlex

import pytest

from pipeline.jobs.json_files import read_json
from pipeline.study.cell import Cell
from pipeline.study.outputs import CLAIM_TABLES, DIAL_TABLES, TABLES

pytestmark = pytest.mark.long

CELL = Cell(
    model="tiny-smollm3", hookpoint="resid", variant="sagsae_tied", width=128, lam=0.3, seed=0
)
REMEDY = re.compile(r"^  remedy: (?:rm -rf (.*) && )?snakemake --cores all (.*)$", re.MULTILINE)
COSTS = ("seconds", "tokens_per_second", "data_wait_seconds", "peak_memory_mb")


def results(smoke) -> dict[str, bytes]:
    """Every file of the study that is the same in every run."""
    folders = [smoke.path(str(smoke.study.root)), smoke.path(smoke.study.cache)]
    changing = ("metrics.json", "training.json", "trained.json", "cells.csv", "report.html")
    return {
        str(path): path.read_bytes()
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file()
        and path.suffix != ".log"
        and path.name not in changing
        and "lock" not in path.name
    }


def measured(smoke) -> dict:
    metrics = read_json(smoke.path(smoke.study.metrics(CELL)))
    for cost in COSTS:
        del metrics["training"][cost]
    return metrics


def test_a_finished_study_is_sound_and_verifying_it_plans_nothing(smoke):
    done = smoke.run("verify")
    assert done.returncode == 0, done.stdout
    assert "study smoke: no fault; 29 of 29 cells finished; checked: models 2, " in done.stdout
    made = len(TABLES + DIAL_TABLES + CLAIM_TABLES) + 3 * (len(smoke.study.figures) + 1) + 1
    assert f"tables, figures and reports {made}" in done.stdout
    assert "verify cells: " in smoke.path(smoke.study.log("verify")).read_text()
    assert smoke.planned() == {}
    assert smoke.planned("verify") == {"verify": 1, "total": 1}


def test_damage_is_listed_and_its_remedies_mend_it(smoke):
    before, metrics_before = results(smoke), measured(smoke)
    chunk = smoke.entry(smoke.study.manifest("tiny-smollm3", "train")) / "data.zarr/resid/c.9.0"
    content = bytearray(chunk.read_bytes())
    content[1234] ^= 16
    chunk.write_bytes(content)
    metrics = smoke.path(smoke.study.metrics(CELL))
    metrics.write_text(metrics.read_text().replace('"dead_latents": ', '"dead_latents": 1'))
    done = smoke.run("verify")
    assert done.returncode != 0
    assert "2 fault(s), to be mended from the first to the last:" in done.stdout
    assert re.search(
        r"^cache/\S+/data\.zarr/resid/c\.9\.0\n  rows \d+ to \d+: cannot be read",
        done.stdout,
        re.M,
    )
    assert f"{smoke.study.metrics(CELL)}\n  content does not match its own" in done.stdout
    remedies = REMEDY.findall(done.stdout)
    assert len(remedies) == 2
    for delete, options in remedies:
        for name in shlex.split(delete):
            smoke.path(name).unlink()
        words = shlex.split(options, comments=True)
        assert words[:2] == ["--configfile", str(smoke.config)]
        mended = smoke.run(*words[2:])
        assert mended.returncode == 0, mended.stdout
    planned = smoke.planned()
    assert not {"asset", "documents", "tokens", "dump", "baselines", "cell"} & set(planned)
    done = smoke.run()
    assert done.returncode == 0, done.stdout
    assert results(smoke) == before
    assert measured(smoke) == metrics_before
    assert smoke.run("verify").returncode == 0
    assert smoke.planned() == {}
