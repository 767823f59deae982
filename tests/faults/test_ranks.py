"""Ranks of one store on made-up GPUs, under real Snakemake, of which one is killed."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from pipeline.jobs.json_files import read_json
from tests.e2e.conftest import Workflow
from tests.faults import orphans
from tests.faults.campaign import Campaign
from tests.faults.workflow_results import results_digest

MADE = ("manifests", "cache/stores")


def fake_gpus(folder: Path, count: int) -> dict[str, str]:
    """The environment of a machine with some GPUs, of which PyTorch sees none."""
    devices = ",".join(str(number) for number in range(count))
    return {"CUDA_VISIBLE_DEVICES": devices, "SAGSAE_LEASE_DIR": str(folder / "leases")}


def ranks_at_work(folder: Path) -> list[int]:
    """Processes that fill a store below a folder, as one of several."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            mine = b"dump-rank" in words and b"gpu-lease" not in words
            if mine and (entry / "cwd").resolve() == folder:
                found.append(int(entry.name))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found


def dump(workflow: Workflow, gpus: int, *, kill: bool) -> int:
    """Fill the store by ``gpus`` GPUs; with ``kill`` one rank is killed, and the command repeated.

    Returns:
        How many ranks were killed.
    """
    environment, killed = fake_gpus(workflow.folder, gpus), 0
    arguments = [orphans.MANIFEST, "--resources", f"gpu={gpus}", "--cores", str(max(2, gpus))]
    if kill:
        with (workflow.folder / "log").open("w") as log:
            run = workflow.start(
                *arguments, "--cores", str(max(2, gpus)), output=log, **environment
            )
        while run.poll() is None and not killed:
            at_work = ranks_at_work(workflow.folder)
            if at_work and len(orphans.commits(workflow.folder)) > 2:
                os.kill(at_work[0], signal.SIGKILL)
                killed += 1
            time.sleep(0.01)
        run.wait()
        assert run.returncode == (1 if killed else 0), (workflow.folder / "log").read_text()
    done = workflow.run(*arguments, **environment)
    assert done.returncode == 0, done.stdout
    return killed


def test_any_number_of_gpus_and_a_killed_rank(campaign: Campaign, tmp_path: Path) -> None:
    """One store whatever the number; a finished one is not touched when the number changes."""
    if not campaign.full:
        pytest.skip("in the full form alone: see tests/sagsae/activations/test_ranks.py")
    first = Workflow(tmp_path / "1", orphans.configure(tmp_path))
    first.folder.mkdir()
    split = orphans.MANIFEST.replace("manifests/", "tokens/")
    done = first.run(split, "--resources", "gpu=0")
    assert done.returncode == 0, done.stdout
    folders = {n: Workflow(tmp_path / f"{n}", first.config) for n in (2, 4)}
    for workflow in folders.values():
        shutil.copytree(first.folder, workflow.folder)
    digests, kills = {}, 0
    for gpus, workflow in {1: first, **folders}.items():
        killed = dump(workflow, gpus, kill=gpus > 1)
        kills += killed
        digests[gpus] = results_digest(workflow.folder / orphans.STUDY, MADE)
        logs = sorted((workflow.folder / orphans.STUDY / "logs/dump").glob("*rank*.log"))
        assert len(logs) == (gpus if gpus > 1 else 0)
        assert sum("gpu lease: device" in log.read_text() for log in logs) == len(logs)
        left = (workflow.folder / orphans.STUDY / "manifests").glob("*.rank*")
        assert {path.suffix for path in left} <= {".lock"}  # the lock beside each record stays
        for other in (0, 1, 3, 4):
            options = (orphans.MANIFEST, "--resources", f"gpu={other}", "--dry-run")
            plan = workflow.run(*options, **fake_gpus(workflow.folder, 4))
            assert "Nothing to be done" in plan.stdout, plan.stdout
        assert read_json(workflow.folder / orphans.MANIFEST)["rows"] == orphans.BLOCKS * 2048
        campaign.same(f"store filled on {gpus} GPUs, a rank killed", digests[1], digests[gpus])
    campaign.record(
        "SIGKILL: a rank of a dump", injected=2, detected=kills, recovered=kills, lost=0
    )
    assert kills == 2
    assert len(set(digests.values())) == 1
