"""Dry runs: what a command would do, and what a bad one says."""

from __future__ import annotations

import re
import shutil
from collections import Counter

import pytest
import yaml

from pipeline.analysis.figure import figures_of
from pipeline.study.study import Study
from tests.helpers.workflow import ROOT, Workflow, workflow_of

GATED = "results/local/cells/smollm2-135m/attn/gated"


def test_without_a_configuration_it_is_the_local_study(elsewhere):
    planned = elsewhere.planned()
    assert (planned["cell"], planned["dial_run"], planned["synthetic_run"]) == (35, 1, 5)
    assert planned == elsewhere.planned("--resources", "gpu=0")


def test_a_job_finds_out_on_its_own_node_whether_there_is_a_gpu(elsewhere):
    """This host has none. With --cores jobs run here, so that none claims one."""
    for options, gpus in ((["--config", "device=cuda"], 1), ([], 0)):
        done = elsewhere.run(*options, "--dry-run", "--printshellcmds")
        assert done.returncode == 0, done.stdout
        for stage in ("dump", "baselines", "cell", "dial"):
            commands = [x for x in done.stdout.splitlines() if f"-m pipeline {stage} " in x]
            assert commands
            device = "cuda" if gpus else "auto"
            lease = f"gpu-lease --device {device} --jobs-per-gpu 1 --gpus {gpus} -- "
            assert all(lease in command for command in commands)


@pytest.mark.long
def test_five_thousand_cells_plan_and_no_command_grows_with_them(elsewhere):
    raw = yaml.safe_load((ROOT / "workflow/configs/local.yaml").read_text())
    sides = [{"variant": "gated", "expansion": 4}, {"variant": "sagsae_tied", "expansion": 2}]
    lambdas = [round(0.01 * i, 2) for i in range(1, 43)]
    raw["grid"] = [side | {"lambdas": lambdas, "seeds": list(range(10))} for side in sides]
    workflow = workflow_of(elsewhere.folder, raw)
    done = workflow.run("--dry-run", "--printshellcmds")
    assert done.returncode == 0, done.stdout[-2000:]
    commands = [line for line in done.stdout.splitlines() if "python -m pipeline " in line]
    stages = Counter(re.findall(r"-m pipeline (?!gpu-lease)(\S+) ", "\n".join(commands)))
    assert stages["cell"] == len(Study.load(workflow.config).cells) == 2 * 3 * 2 * 42 * 10
    assert (stages["dump"], stages["baselines"], stages["dial"], stages["report"]) == (4, 2, 1, 1)
    assert stages["tables"] == 4  # of cells, dial, claims and synthetic protocols
    assert max(map(len, commands)) < 5_000
    assert not list(elsewhere.folder.glob("results/*/specs"))


@pytest.mark.long
def test_recipes_plan_with_cells_and_figures_of_their_own(elsewhere):
    raw = yaml.safe_load((ROOT / "workflow/configs/smoke.yaml").read_text())
    raw["recipes"] = {
        "zero-bias": {"training": {"b_dec_init": "zero"}},
        "matched": {
            "extends": "zero-bias",
            "variants": ["gated"],
            "training": {"gate_init": "matched"},
        },
    }
    raw["grid"][0]["recipes"], raw["grid"][1]["recipes"] = ["matched", "default"], ["zero-bias"]
    workflow = workflow_of(elsewhere.folder, raw)
    whole = workflow.planned()
    assert whole["cell"] == len(Study.load(workflow.config).cells) == 29 + 12
    assert len(figures_of(Study.load(workflow.config).scope)) == 3 * 9 + 2 * 2
    assert (whole["draw_cells"], whole["draw_dial"]) == (1, 1)
    assert whole["dial_run"] == 2 * 6  # there is no sagsae_tied under the default recipe
    place = "results/smoke/cells/tiny-smollm3/resid"
    cell = workflow.planned(
        "figure_2@matched", f"{place}/gated@zero-bias/w9_lam0.1_seed7/metrics.json"
    )
    assert (cell["cell"], cell["draw_cells"]) == (29 + 12 + 1, 1)
    done = workflow.run(f"{place}/sagsae_tied@matched/w9_lam0.1_seed0/metrics.json", "--dry-run")
    assert done.returncode == 1
    assert f"ask for {place.partition('cells/')[2]}/sagsae_tied@zero-bias/w9" in done.stdout


def test_a_study_that_grew_after_a_stop_is_planned_whole(elsewhere):
    """What the study is lies on disk, of before; cells and tables do not."""
    raw = yaml.safe_load((ROOT / "workflow/configs/smoke.yaml").read_text())
    done = workflow_of(elsewhere.folder, raw).run("results/smoke/measures/study.json")
    assert done.returncode == 0, done.stdout
    raw["grid"][0]["seeds"] = [0, 1]
    workflow = workflow_of(elsewhere.folder, raw)
    planned = workflow.planned()
    assert planned["cell"] == len(Study.load(workflow.config).cells)
    assert planned["report"] == 1


def test_one_cell_by_name_and_no_other(elsewhere):
    planned = elsewhere.planned(f"{GATED}/w2304_lam0.0777_seed5/metrics.json")
    assert planned["cell"] == 1
    assert planned["dump"] == 2
    assert "cells_tables" not in planned


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (f"{GATED}/w2304_lam3e-3_seed0/metrics.json", "ask for lam0.003"),
        (
            "results/local/cells/gpt5/attn/gated/w8_lam0.1_seed0/metrics.json",
            "unknown model 'gpt5'; this study has smollm2-135m, gemma3-270m",
        ),
    ],
)
def test_a_bad_target_says_what_to_ask_for(elsewhere, target, message):
    done = elsewhere.run("--dry-run", target)
    assert done.returncode != 0
    assert message in done.stdout


def test_snakemake_finds_no_fault_of_style(elsewhere):
    done = elsewhere.run("--lint")
    assert done.returncode == 0, done.stdout


def test_a_folder_with_config_yaml_is_a_study_as_in_the_workflow_catalog(tmp_path):
    shutil.copytree(ROOT / ".test/config", tmp_path / "config")
    smoke = Workflow(tmp_path, ROOT / "workflow/configs/smoke.yaml")
    assert Workflow(tmp_path).planned() == smoke.planned()


@pytest.mark.parametrize(
    "name", ["local", "smoke", "paper", "reference", "reference-deep", "collapse", "competitors"]
)
def test_shipped_configurations_are_valid(name):
    assert Study.load(ROOT / f"workflow/configs/{name}.yaml").cells
