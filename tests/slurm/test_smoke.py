"""The smoke study through sbatch: the results of a local run, and SLURM has what was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.study.study import Study
from pipeline.tools.cost import LEAST_MINUTES, Requests
from tests.helpers.workflow import ROOT, Workflow, differences, results_digest
from tests.slurm.cluster import Job
from tests.slurm.conftest import OnSlurm

SMOKE = ROOT / "workflow" / "configs" / "smoke.yaml"
PARTS = ("assets", "tokens", "manifests", "baselines", "cells", "dial", "tables", "figures")


@dataclass(frozen=True)
class Both:
    """The study of a local run, that of the cluster, and the cluster's jobs."""

    local: Path
    remote: Path
    workflow: OnSlurm
    jobs: list[Job]


@pytest.fixture(scope="module")
def both(slurm, tmp_path_factory: pytest.TempPathFactory) -> Both:
    """Locally each cell has a job of its own; on the cluster, streams are submitted whole."""
    here, there = (tmp_path_factory.mktemp(name) for name in ("local", "remote"))
    done = Workflow(here, SMOKE).run()
    assert done.returncode == 0, done.stdout
    workflow = OnSlurm(there, SMOKE, slurm)
    workflow.run()
    study = Path("results/smoke")
    return Both(here / study, there / study, workflow, slurm.jobs())


def test_results_are_those_of_a_local_run(both):
    assert differences(both.local, both.remote) == []
    for part in (*PARTS, "report.html"):
        assert results_digest(both.remote, (part,)) == results_digest(both.local, (part,)), part


def test_jobs_are_submitted_in_groups_and_each_ends_well(both):
    assert {job.state for job in both.jobs} == {"COMPLETED"}
    kinds = [job.what.split("_")[0] for job in both.jobs]
    assert sorted(kinds) == sorted(["store"] * 2 + ["cell"] * 29 + ["dial"])


def test_slurm_was_asked_for_what_the_estimates_say(both):
    """Each job takes less than the least time: a group asks for that of its members in turn."""
    study = Study.load(both.workflow.config)
    requests = Requests(study, "cpu-core")
    baselines = [
        requests.of("baselines")["mem_mb"]({"model": model}, attempt=1) for model in study.models
    ]
    for job in both.jobs:
        kind = job.what.split("_")[0]
        members = {"store": 5, "dial": 6}.get(kind, 1)
        assert job.gpus == 1, job.what
        assert job.minutes == LEAST_MINUTES * members, job.what
        # Cells ask for 4 by the profile, the others for their threads, two on this node.
        assert int(job.asked["cpu"]) == {"cell": 4}.get(kind, 2), job.what
        if kind == "store":
            assert job.mem_mb >= min(baselines)


def test_a_second_run_submits_nothing(both):
    before = len(both.workflow.cluster.jobs())
    output = both.workflow.run()
    assert "Nothing to be done" in output
    assert len(both.workflow.cluster.jobs()) == before
