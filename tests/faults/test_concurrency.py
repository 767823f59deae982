"""Several processes on one study, one cell, one store: they wait, or are refused by name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import ROOT, Workflow
from tests.faults import one_cell
from tests.faults.campaign import Campaign, folder_digest
from tests.faults.one_cell import (
    CELL,
    STUDY,
    Finished,
)
from tests.faults.rivals import Rivalry, rivalry
from tests.faults.workflow_results import results_digest

pytestmark = pytest.mark.long

SAMPLES = ROOT / "tests" / "sagsae" / "activations"
ENVIRONMENT = os.environ | {
    "PYTHONPATH": os.pathsep.join([str(ROOT), str(SAMPLES)]),
    "CUDA_VISIBLE_DEVICES": "",
    "OMP_NUM_THREADS": "1",
}

Crowd = Callable[[Path, list[list[str]], list[float]], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def crowd() -> Iterator[Crowd]:
    """Runs stages in a folder at the same time, each after a delay."""
    module = [sys.executable, "-m", "tests.faults.stage_crowd"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(module, cwd=ROOT, env=ENVIRONMENT, **pipes) as server:

        def run(folder: Path, stages: list[list[str]], delays: list[float]) -> list[dict[str, Any]]:
            pairs = zip(stages, delays, strict=True)
            request = [{"arguments": words, "delay": delay} for words, delay in pairs]
            server.stdin.write(json.dumps({"folder": str(folder), "stages": request}) + "\n")
            server.stdin.flush()
            return json.loads(server.stdout.readline())

        yield run
        server.stdin.close()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, crowd: Crowd) -> Finished:
    """The study by single runs of its stages."""
    folder = tmp_path_factory.mktemp("finished")
    workflow = Workflow(folder, one_cell.configure(folder))
    stages = one_cell.commands(workflow)
    for _, arguments in stages:
        (answer,) = crowd(folder, [arguments], [0.0])
        assert answer["status"] == 0, answer["output"]
    return Finished(workflow, stages)


def test_a_second_run_is_refused(campaign: Campaign, finished: Finished, tmp_path: Path) -> None:
    """At once, by name, and without changing anything; the first one ends as if alone."""
    times, chance = campaign.times(full=5, short=1), campaign.chance("second run")
    wanted = results_digest(finished.workflow.folder / STUDY, ("cells",))
    found = []
    for number in range(times):
        base, other = tmp_path / f"{number}", tmp_path / f"{number}-elsewhere"
        other.mkdir()
        finished.copy(base, CELL)
        found.append(rivalry(base, other, moment=chance.uniform(0.1, 0.4)))
    well = sum(not one.changed and one.planned and one.end == (0, wanted) for one in found)
    here, elsewhere = sum(one.here for one in found), sum(one.elsewhere for one in found)
    count = {"injected": 2 * times, "detected": here, "recovered": 2 * well}
    campaign.record("second snakemake, same working directory", **count)
    count = {"injected": times, "detected": elsewhere, "recovered": well}
    campaign.record("second snakemake, other working directory", **count)
    campaign.same("cell of a run that others tried to disturb", wanted, found[-1].end[1])
    assert found == [Rivalry(2, 1, True, [], (0, wanted))] * times


def test_every_stage_twice_at_once(
    campaign: Campaign, crowd: Crowd, finished: Finished, tmp_path: Path
) -> None:
    """The whole study, each stage by several processes with one output; a cell trains once."""
    times, chance = campaign.times(full=4, short=1), campaign.chance("twice")
    rivals: Counter[str] = Counter()
    ended: Counter[str] = Counter()
    trained, digests, faults = [], [], []
    for number in range(times):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        for rule, arguments in finished.stages:
            size = 2 + number % 2
            delays = [0.0, *(chance.choice((0.0, chance.uniform(0, 1))) for _ in range(size - 1))]
            answers = crowd(folder, [arguments] * size, delays)
            bad = [answer["output"] for answer in answers if answer["status"] != 0]
            rivals[rule] += size - 1
            ended[rule] += 0 if bad else size - 1
            faults += [f"{rule}: {output}" for output in bad]
            if rule == "cell":
                lines = "\n".join(answer["output"] for answer in answers).splitlines()
                trained.append(sum(x.startswith("train ") and "done in" in x for x in lines))
        digests.append(results_digest(folder / STUDY))
    wanted = results_digest(finished.workflow.folder / STUDY)
    same = all(digest == wanted for digest in digests)
    for rule, injected in rivals.items():
        campaign.record(
            f"{rule}: the same stage at the same time",
            injected=injected,
            detected=ended[rule],
            recovered=ended[rule] if same else 0,
            lost=sum(trained) - times if rule == "cell" else 0,
        )
    campaign.same("study of which each stage ran twice at once", wanted, digests[-1])
    assert not faults, "\n".join(faults)
    assert trained == [1] * times
    assert digests == [wanted] * times


STORES: list[dict[str, Any]] = [
    {"changes": {"n_blocks": 12}},
    {"changes": {"n_blocks": 12, "profile": "disk", "sharded": True}},
    {"changes": {"n_blocks": 12, "dtype": "float32"}},
    {"changes": {"n_blocks": 12, "sharded": True}},
]
"""Kinds of stores: plain, compressed shards, float32, shards."""
LOCKS = (".lock",)


def store_crowd(folder: Path, plans: list[dict[str, Any]]) -> list[dict[str, list[Any]]]:
    """What ``tests.faults.store_crowd`` counted, by plan and role."""
    file = folder / "plans.json"
    file.write_text(json.dumps(plans))
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.store_crowd", file],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_readers_beside_writers(campaign: Campaign, tmp_path: Path) -> None:
    """Four readers, a stream and an intruder on a store that is being written, then sealed."""
    plans = []
    for number in range(campaign.times(full=12, short=2)):
        places = {"path": str(tmp_path / f"{number}"), "lone": str(tmp_path / f"{number}-lone")}
        size = {"pause": 0.06, "readers": 4, "streams": 1, "seed": 100 * campaign.seed + number}
        plans.append(STORES[number % len(STORES)] | places | size)
    looks: Counter[str] = Counter()
    tries: Counter[str] = Counter()
    faults = []
    for seen in store_crowd(tmp_path, plans):
        counts = [count for role in seen.values() for count in role]
        faults += [count.pop("error") for count in counts if "error" in count]
        for count in (*seen["read"], *seen["stream"]):
            looks.update(count)
            assert faults or count["unsealed"] > 3, "a reader came too late to meet a writer"
        told = Counter(seen["intrude"][0])
        tries.update(told)
        if (
            nameless := told["anonymous"]
        ) > 1:  # the one refused while the writer is leaving may see no name any more
            faults.append(f"{nameless} refusals named nobody: {told}")
    digests = [
        [folder_digest(Path(plan[key]), without=LOCKS) for key in ("path", "lone")]
        for plan in plans
    ]
    same = all(found == wanted for found, wanted in digests)
    reads = looks["reads"]
    campaign.record(
        "chunk or epoch read beside a writer",
        injected=reads + len(faults),
        detected=reads,
        recovered=reads - looks["wrong"],
    )
    refused = tries["refused"]
    refusals = {"injected": refused, "detected": refused, "recovered": refused * same}
    campaign.record("second writer of a store", **refusals)
    campaign.same("store written before readers", digests[-1][1], digests[-1][0])
    assert not faults, "\n".join(faults)
    assert looks["wrong"] == 0
    assert refused > 10 * len(plans)
    assert same
