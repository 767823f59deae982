"""Disks full or read-only: one message, nothing torn, and the same command ends the work."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.campaign import Campaign
from tests.helpers.small_disk import PAGE, Done, SmallDisk, Stages, namespace, small_disk
from tests.helpers.stages_of_study import (
    RULES,
    Reference,
    Stage,
    ancient_if_current,
    run_study,
)

pytestmark = pytest.mark.long

FULL = re.compile(r".*(No space left on device|os error 28)")
NEEDS_MORE = {"cell": 3}
"""Rules whose temporary files need this many times what stays."""


@pytest.fixture(scope="module")
def stages() -> Iterator[Stages]:
    with Stages(namespace()) as running:
        yield running


@pytest.fixture(scope="module")
def reference(stages: Stages, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """The small study, undisturbed."""
    return run_study(stages, tmp_path_factory.mktemp("reference"))


def fill(disk: SmallDisk, reference: Reference, rule: str, stage: Stage, chance: random.Random):
    """Leave too little room for what a stage makes: of bytes, or sometimes of files."""
    if chance.random() < 0.25:
        disk.leave(files=chance.randrange(len(stage.makes)))
        return
    sizes = [(reference.study / name).stat().st_size for name in stage.makes]
    needed = sum(-(-size // PAGE) for size in sizes)
    disk.leave(pages=chance.randrange(NEEDS_MORE.get(rule, 1) * needed))


def faults_of(done: Done, wanted: re.Pattern[str]) -> list[str]:
    """What is wrong with how a starved stage ended."""
    faults = [] if done.status == 1 else [f"exit status {done.status}"]
    if not wanted.match(done.error) or "Traceback" in done.output:
        faults.append(f"the message is:\n{done.output}")
    return faults


@pytest.mark.parametrize("rule", RULES)
def test_full_disk(
    rule: str, stages: Stages, reference: Reference, campaign: Campaign, tmp_path: Path
):
    chance = campaign.chance("full disk", rule)
    injected = detected = recovered = lost = 0
    faults: list[str] = []
    while injected < campaign.times(full=40, short=1):
        stage = chance.choice(reference.stages[rule])
        arguments = list(stage.arguments)
        if rule == "cell" and chance.random() < 0.5:
            arguments[arguments.index("--checkpoint-seconds") + 1] = "0"
        with small_disk(stages, tmp_path / "disk") as disk:
            reference.prepare(disk.seen, stage)
            fill(disk, reference, rule, stage, chance)
            done = stages.run(disk.folder, *arguments)
            if done.status == 0:
                continue  # there was room enough
            injected += 1
            found = faults_of(done, FULL) + reference.torn(disk.seen, stage)
            detected += not found
            before = ancient_if_current(disk.seen)
            disk.resize()
            again = stages.run(disk.folder, *arguments)
            after = reference.differences(disk.seen, stage)
            after += [again.output] if again.status else []
            recovered += not after
            times = ancient_if_current(disk.seen)
            lost += sum(times[path] != before[path] for path in before)
            faults += [f"{rule}, fault {injected}: {fault}" for fault in found + after]
    campaign.record(
        f"full disk, {rule}", injected=injected, detected=detected, recovered=recovered, lost=lost
    )
    assert not faults, "\n".join(faults)
    assert lost == 0
