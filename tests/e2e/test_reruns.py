"""What is built again, and what is not. These tests change the finished smoke study and mend it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import yaml

from pipeline.jobs.json_files import sha256_of
from pipeline.study.study import Study
from tests.helpers.workflow import Finished, workflow_of

CELL = "results/smoke/cells/tiny-gpt-neox/attn/gated/w256_lam0.1_seed0"


@pytest.fixture
def copied(smoke: Finished, tmp_path: Path) -> Finished:
    """The finished smoke study again, to be left changed."""
    shutil.copytree(smoke.folder, tmp_path / "smoke", symlinks=True)
    return replace(smoke, folder=tmp_path / "smoke")


def test_a_second_run_does_nothing_and_the_study_is_sound(smoke):
    assert smoke.planned() == {}
    done = smoke.run("verify")
    assert done.returncode == 0, done.stdout
    assert "study smoke: no fault; sound: models 2, texts 1, " in done.stdout
    assert smoke.planned("verify") == {"verify": 1, "total": 1}


def test_forcing_a_cell_trains_it_again_to_the_same_weights(smoke):
    target = f"{CELL}/metrics.json"
    assert smoke.planned("--force", target) == {"cell": 1, "total": 1}
    weights = smoke.path(f"{CELL}/sae.safetensors")
    before, when = sha256_of(weights), weights.stat().st_mtime_ns
    done = smoke.run("--force", target)
    assert done.returncode == 0, done.stdout
    assert "train tiny-gpt-neox/attn/gated" in done.stdout
    assert weights.stat().st_mtime_ns > when
    assert sha256_of(weights) == before


def test_a_deleted_cell_comes_back(smoke):
    metrics = smoke.path(f"{CELL}/metrics.json")
    before = metrics.read_text()
    shutil.rmtree(smoke.path(CELL))
    planned = smoke.planned()
    assert planned["cell"] == 1
    assert not {"dump", "asset", "tokens", "baselines"} & set(planned)
    done = smoke.run()
    assert done.returncode == 0, done.stdout
    assert next(line for line in before.splitlines() if '"r2"' in line) in metrics.read_text()
    assert smoke.planned() == {}


def test_a_study_that_died_and_whose_cache_moved_is_planned_whole(copied):
    for made in ("tables", "measures", "figures", "cells/tiny-gpt-neox/attn"):
        shutil.rmtree(copied.path(f"results/smoke/{made}"))
    left = sum(
        cell.path.startswith("tiny-gpt-neox/attn/") for cell in Study.load(copied.config).cells
    )
    planned = copied.planned("--config", f"cache={copied.folder / 'moved'}")
    assert (planned["asset"], planned["dump"], planned["cell"]) == (2, 4, left)


def test_a_cell_off_the_grid_is_built_by_name_and_stays_out_of_the_tables(smoke):
    target = "results/smoke/cells/tiny-smollm3/resid/sagsae_tied/w96_lam0.123_seed7/metrics.json"
    done = smoke.run(target)
    assert done.returncode == 0, done.stdout
    assert smoke.path(target).exists()
    assert smoke.planned() == {}
    assert not (pd.read_csv(smoke.path("results/smoke/tables/cells.csv")).lam == 0.123).any()


def test_another_evaluation_keeps_the_weights(copied):
    smoke = copied
    changed = smoke.changed(evaluation={"lr_contexts": 16})
    target = f"{CELL}/metrics.json"
    before = sha256_of(smoke.path(f"{CELL}/sae.safetensors"))
    killed_while_it_tidied_up = smoke.path(f"{CELL}/.state/checkpoint-1.safetensors")
    killed_while_it_tidied_up.touch()
    assert changed.planned(target) == {"baselines": 1, "cell": 1, "total": 2}
    done = changed.run(target)
    assert done.returncode == 0, done.stdout
    assert "evaluate tiny-gpt-neox/attn/gated" in done.stdout
    assert "train tiny-gpt-neox/attn/gated" not in done.stdout
    assert sha256_of(smoke.path(f"{CELL}/sae.safetensors")) == before
    assert not killed_while_it_tidied_up.exists()


def test_another_seed_of_the_documents_reruns_everything_after_them_in_one_run(smoke):
    planned = smoke.changed(text={"seed": 1}).planned()
    assert planned["tokens"] == planned["dump"] == 4
    assert (planned["baselines"], planned["cell"]) == (2, 29)
    assert not {"asset", "documents"} & set(planned)


def test_what_changes_no_number_reruns_no_cell_and_no_dump(smoke):
    """Of a finished study; what changes numbers is in the tests beside this one."""
    made = {"fetch", "asset", "documents", "tokens", "dump", "baselines", "cell", "dial_run"}
    raw = yaml.safe_load(smoke.config.read_text())
    raw |= {"note": "another", "hookpoints": raw["hookpoints"][::-1]}
    raw["dump"]["profile"] = "disk"
    planned = workflow_of(smoke.folder, raw).planned("--config", "checkpoint_seconds=7")
    assert not made & set(planned)
