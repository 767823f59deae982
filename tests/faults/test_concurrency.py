"""Several processes on one study, one cell, one store: they wait, or are refused by name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Thread

import pytest

from pipeline.study.study import Study
from sagsae.files import FileLock
from tests.faults.small_stores import rows_of
from tests.helpers.campaign import Campaign
from tests.helpers.small_disk import Stages
from tests.helpers.stages_of_study import CONFIGURATION, RULES, run_study
from tests.helpers.workflow import ROOT, Workflow
from tests.sagsae.activations.activation_samples import small_config, write_store

MADE = RULES[: RULES.index("cell") + 1]


@pytest.fixture
def servers() -> Iterator[list[Stages]]:
    """Two processes, each of which runs stages."""
    with ExitStack() as stack:
        yield [stack.enter_context(Stages()) for _ in range(2)]


@pytest.mark.long
def test_every_stage_twice_at_once(
    campaign: Campaign, servers: list[Stages], tmp_path: Path
) -> None:
    """Two processes with one output end as one; a cell trains once."""
    (tmp_path / "alone").mkdir()
    reference = run_study(servers[0], tmp_path / "alone", CONFIGURATION, MADE)
    for rule in MADE:
        for number, stage in enumerate(reference.stages[rule]):
            folder = tmp_path / f"{rule}-{number}"
            reference.prepare(folder, stage)
            with ThreadPoolExecutor() as pool:
                runs = [pool.submit(one.run, folder, *stage.arguments) for one in servers]
            pair = [run.result() for run in runs]
            faults = [done.output for done in pair if done.status != 0]
            faults += reference.differences(folder, stage)
            kind = f"{rule}: the same stage at the same time"
            campaign.record(kind, injected=1, detected=1, recovered=int(not faults))
            assert faults == []
            if rule == "cell":
                said = "".join(done.output for done in pair).splitlines()
                assert sum(line.startswith("train ") and "done in" in line for line in said) == 1


def test_a_second_run_is_refused_by_name_and_changes_nothing(tmp_path: Path) -> None:
    workflow = Workflow(tmp_path, ROOT / "workflow/configs/smoke.yaml")
    study = Study.load(workflow.config)
    lock = FileLock(tmp_path / study.run_lock)
    lock.path.parent.mkdir(parents=True)
    lock.acquire()
    done = workflow.run(study.documents)
    assert done.returncode != 0
    assert f"in use by process {os.getpid()} on" in done.stdout
    assert not (tmp_path / study.documents).exists()
    assert workflow.planned(study.documents)["documents"] == 1
    lock.release()


def test_a_reader_beside_a_writer_sees_whole_blocks_alone(tmp_path: Path) -> None:
    made = small_config(n_blocks=24)
    wanted = rows_of(write_store(tmp_path / "alone", made), sealed=True)
    writer = Thread(target=write_store, args=(tmp_path / "read", made))
    writer.start()
    seen = []
    while writer.is_alive():
        if rows := rows_of(tmp_path / "read", sealed=False):
            assert rows.items() <= wanted.items()
            seen.append(len(rows))
    writer.join()
    assert seen == sorted(seen)
    assert seen[0] < len(wanted), "the reader came too late to meet the writer"
    assert rows_of(tmp_path / "read", sealed=True) == wanted
