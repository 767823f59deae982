"""Jobs that SLURM ends, and a node that fails."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path

import pytest

from pipeline.study.study import Study
from pipeline.tools.cost import MEMORY_GROWTH
from sagsae.training.checkpoint import newest_checkpoint
from tests.helpers.workflow import Workflow, differences, reduced_smoke, results_digest
from tests.slurm.cluster import Cluster, Job
from tests.slurm.conftest import OnSlurm, end, wait_for

STUDY = Path("results/smoke")
PARTS = ("cells", "tables", "figures", "report.html")
TOKENS, BATCH = 1 << 20, 512


def configure(folder: Path) -> Path:
    """One model, one hookpoint, one cell that trains for some seconds."""
    grid = [{"variant": "gated", "expansion": 4, "lambdas": [0.1]}]
    training = {"tokens": TOKENS, "batch_size": BATCH}
    sections = {"hookpoints": ["resid"], "grid": grid, "comparisons": []}
    return reduced_smoke(folder, **sections, training=training)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a local run made the study in which nothing happened, each cell by a job of its own."""

    folder = tmp_path_factory.mktemp("undisturbed")
    done = Workflow(folder, configure(folder)).run()
    assert done.returncode == 0, done.stdout
    return folder


def on_cluster(slurm: Cluster, whole: Path, folder: Path) -> OnSlurm:
    """The same study with its stores and without its cells, its jobs on the cluster."""
    for name in ("results", "cache", ".snakemake"):
        shutil.copytree(whole / name, folder / name)
    for name in ("cells", "tables", "figures", "report.html"):
        made = folder / STUDY / name
        shutil.rmtree(made) if made.is_dir() else made.unlink()
    return OnSlurm(folder, configure(folder), slurm)


@contextmanager
def running(workflow: OnSlurm, log: Path) -> Iterator[subprocess.Popen[str]]:
    """Snakemake, which is killed if it is still there at the end."""
    with log.open("a") as output, workflow.start(output) as process:
        try:
            yield process
        finally:
            end(process)


def submitted(slurm: Cluster, before: int) -> list[Job]:
    """The jobs of cells that were submitted after those that a test found there."""
    return [job for job in slurm.jobs() if job.number > before and "cell" in job.what]


def last(slurm: Cluster) -> int:
    return max((job.number for job in slurm.jobs()), default=0)


def step(workflow: OnSlurm) -> int:
    """How far the training of the cell is noted to be; 0 before that and after it."""
    cell = STUDY / "cells/tiny-smollm3/resid/gated/w256_lam0.1_seed0/.state"
    for path in (workflow.folder / cell).glob("checkpoint-*.safetensors"):
        with suppress(OSError, RuntimeError, ValueError):  # it was replaced just now
            if newest := newest_checkpoint(path):
                return int(newest[1]["step"])
    return 0


def going(head: subprocess.Popen[str], log: Path, condition: bool) -> bool:
    """The condition; fails the test when Snakemake has ended before."""
    assert condition or head.poll() is None, log.read_text()[-6000:]
    return condition


def trained(jobs: list[Job]) -> list[str]:
    """The cells whose training came to its end in the logs of some jobs, each time it did."""
    texts = [log.read_text() for job in jobs if (log := Path(job["StdOut"])).exists()]
    done = r"^train (\S+): ([\d,]+)/\2 tokens, .*done in"
    return sorted(name for text in texts for name, _ in re.findall(done, text, re.MULTILINE))


def assert_whole(workflow: OnSlurm, whole: Path) -> None:
    """The results are those of the local run."""
    found, expected = workflow.folder / STUDY, whole / STUDY
    assert [n for n in differences(expected, found) if not n.startswith("specs/")] == []
    assert results_digest(found, PARTS) == results_digest(expected, PARTS)


def cells_of(workflow: OnSlurm) -> list[str]:
    return sorted(cell.path for cell in Study.load(workflow.config).cells)


def test_a_cancelled_job_and_a_failed_node_are_tried_again_and_go_on(slurm, undisturbed, tmp_path):
    """Each attempt starts where the one before was, and asks for more."""
    whole, log, before = undisturbed, tmp_path / "log", last(slurm)
    workflow = on_cluster(slurm, whole, tmp_path)
    with running(workflow, log) as head:
        wait_for("a checkpoint", lambda: going(head, log, step(workflow) > 0))
        (first,) = submitted(slurm, before)
        slurm.run("scancel", str(first.number))
        wait_for("its end", lambda: slurm.state_of(first.number) == "CANCELLED")
        cancelled = step(workflow)
        wait_for("another", lambda: going(head, log, step(workflow) not in (0, cancelled)))
        assert step(workflow) > cancelled
        (second,) = submitted(slurm, first.number)
        slurm.run("scontrol", "update", "nodename=localhost", "state=down", "reason=test")
        wait_for("its end", lambda: slurm.state_of(second.number) == "NODE_FAIL")
        failed = step(workflow)
        slurm.run("scontrol", "update", "nodename=localhost", "state=resume")
        wait_for("one more", lambda: going(head, log, step(workflow) not in (0, failed)))
        assert step(workflow) > failed
        head.wait()
    assert head.returncode == 0, log.read_text()[-6000:]
    jobs = submitted(slurm, before)
    print(*(f"{j.number} {j.what} {j.state} {j.minutes} min {j.mem_mb} MB" for j in jobs), sep="\n")
    assert [job.state for job in jobs] == ["CANCELLED", "NODE_FAIL", "COMPLETED"]
    assert [job.minutes for job in jobs] == [jobs[0].minutes * n for n in (1, 2, 3)]
    for job, earlier in pairwise(jobs):
        assert earlier.mem_mb == pytest.approx(MEMORY_GROWTH * job.mem_mb, abs=200)
    assert trained(jobs) == cells_of(workflow)
    assert_whole(workflow, whole)


def test_a_store_that_is_partly_made_is_finished(slurm, undisturbed, tmp_path):
    """The contexts of a store are there, and some of its rows; its group has fewer jobs then."""
    before = last(slurm)
    workflow = on_cluster(slurm, undisturbed, tmp_path)
    for gone in ("manifests/tiny-smollm3-heldout.json", "baselines/tiny-smollm3.json"):
        (tmp_path / STUDY / gone).unlink()
    workflow.run()
    jobs = [job for job in slurm.jobs() if job.number > before]
    assert [job.what.split("_")[0] for job in jobs] == ["store", "cell"]
    assert {job.state for job in jobs} == {"COMPLETED"}
    assert_whole(workflow, undisturbed)
