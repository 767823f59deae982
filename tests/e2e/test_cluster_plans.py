"""What schedulers would be asked for: plans under the profiles of clusters, without a cluster."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

import pytest

from tests.helpers.workflow import ROOT, Workflow

pytestmark = pytest.mark.long

PAPER = ROOT / "workflow" / "configs" / "paper.yaml"
GPUS = ("--config", "device=cuda")
SLURM = ("--workflow-profile", str(ROOT / "profiles" / "slurm"), *GPUS)
KUBERNETES = ("--workflow-profile", str(ROOT / "profiles" / "kubernetes"), *GPUS)
LOCAL = {"asset", "documents", "cells_tables", "dial_tables"}
LOCAL |= {"draw_cells", "draw_cells_curves", "draw_dial"}
LOCAL |= {"scope", "measures", "claims_tables", "probe_tables", "signs_tables", "report", "all"}
"""Rules that run beside Snakemake. A dry run does not say so."""


@dataclass(frozen=True)
class Submission:
    """What a scheduler gets at once: the rule of each job, and its resources."""

    group: str
    rules: list[str]
    resources: list[dict[str, str]]

    @property
    def minutes(self) -> int:
        """Time asked for: its jobs take turns."""
        assert {one["turns"] for one in self.resources} == {"1"}
        return sum(int(one["runtime"]) for one in self.resources)


def submissions(output: str) -> list[Submission]:
    """Of a dry run under the profile of a cluster."""
    found = []
    for block in re.split(r"^\[.*?\] ?\n?(?=Group job|rule )", output, flags=re.MULTILINE)[1:]:
        rules = re.findall(r"^ *rule (\w+):$", block, re.MULTILINE)
        group = re.match(r"Group job (\w+)", block)
        lines = re.findall(r"^ +resources: (.*)$", block, re.MULTILINE)
        resources = [dict(part.split("=", 1) for part in line.split(", ")) for line in lines]
        if group or rules[0] not in LOCAL:
            found.append(Submission(group[1] if group else rules[0], rules, resources))
    return found


@pytest.fixture(scope="module")
def paper(tmp_path_factory) -> list[Submission]:
    workflow = Workflow(tmp_path_factory.mktemp("paper"), PAPER)
    done = workflow.run(*SLURM, "--dry-run")
    assert done.returncode == 0, done.stdout[-3000:]
    return submissions(done.stdout)


def test_the_jobs_of_the_paper_study(paper):
    found = Counter(one.group for one in paper)
    assert found == {"store": 2, "cell": 1944, "dial": 6}
    planned = Counter(rule for one in paper for rule in one.rules)
    assert planned == {
        "tokens": 4,
        "dump": 4,
        "baselines": 2,
        "cell": 1944,
        "dial_run": 36,
    }


def test_every_job_of_a_cluster_asks_for_a_gpu_memory_and_time(paper):
    for one in paper:
        assert 10 < one.minutes < 24 * 60, one.group
        for rule, resources in zip(one.rules, one.resources, strict=True):
            assert int(resources["mem_mb"]) >= 8000, rule
            assert int(resources["runtime"]) >= 5, rule
            assert resources.get("gpu", "0") == ("0" if rule == "tokens" else "1"), rule


def test_kubernetes_plans_without_a_cluster(elsewhere):
    """Files are looked for in a folder that stands for the bucket."""
    bucket = elsewhere.folder / "bucket"
    bucket.mkdir()
    smoke = ROOT / "workflow" / "configs" / "smoke.yaml"
    done = Workflow(elsewhere.folder, smoke).run(
        *KUBERNETES, "--default-storage-prefix", str(bucket), "--dry-run"
    )
    assert done.returncode == 0, done.stdout[-3000:]
    found = submissions(done.stdout)
    assert Counter(one.group for one in found) == {"store": 2, "cell": 29, "dial": 1}
    for one in found:
        for rule, resources in zip(one.rules, one.resources, strict=True):
            assert resources["gpu_manufacturer"] == "nvidia", rule
