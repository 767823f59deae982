"""SIGKILL at random instants: what follows must end as if nothing had happened."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sagsae.training.checkpoint import newest_checkpoint
from tests.helpers.campaign import Campaign
from tests.helpers.small_disk import Stages
from tests.helpers.stages_of_study import (
    CONFIGURATION,
    RULES,
    STUDY,
    Reference,
    Stage,
    ancient_if_current,
    run_study,
)

LONGER: dict[str, Any] = CONFIGURATION | {
    "text": {
        "source": {"kind": "random", "documents": 2000, "words": 60},
        "context_length": 32,
        "heldout_fraction": 0.2,
    },
    "dump": {
        "train_rows": 32768,
        "heldout_rows": 4096,
        "rows_per_block": 1024,
        "rows_per_chunk": 256,
        "slack": 0.1,
    },
    "training": {"tokens": 1500 * 256, "batch_size": 256, "reset_window_tokens": 25600},
}
"""The small study with stages that take long enough to be met in the middle."""
GROW = "dump that grows"
"""The dump where a store of fewer rows is there already."""
CHECKPOINT_SECONDS = "0.1"
KILLS = {"tokens": (20, 1), "dump": (50, 3), GROW: (30, 2), "cell": (40, 3)}
"""Rule: kills in the full and in the short form."""


@pytest.fixture(scope="module")
def stages() -> Iterator[Stages]:
    with Stages() as running:
        yield running


@pytest.fixture(scope="module")
def reference(stages: Stages, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """Everything up to the cells, made without a kill."""
    rules = RULES[: RULES.index("cell") + 1]
    return run_study(stages, tmp_path_factory.mktemp("kills"), LONGER, rules)


def longest(reference: Reference, rule: str) -> Stage:
    """The stage of a rule that has most to do: the training split's, for those of splits."""
    stages = reference.stages["dump" if rule == GROW else rule]
    found = [s for s in stages if rule == "cell" or "train" in str(s.makes)]
    stage = max(found, key=lambda s: sorted(s.makes))  # Snakemake plans in no fixed order
    arguments = list(stage.arguments)
    if rule == "cell":
        arguments[arguments.index("--checkpoint-seconds") + 1] = CHECKPOINT_SECONDS
    return replace(stage, arguments=arguments)


def begin(rule: str, stages: Stages, reference: Reference, stage: Stage, folder: Path) -> None:
    """What a stage finds: all that others made, and of a dump that grows a quarter of its rows."""
    reference.prepare(folder, stage)
    if rule == GROW:
        arguments = list(stage.arguments)
        place = arguments.index("--spec") + 1
        spec = json.loads(arguments[place])
        arguments[place] = json.dumps(spec | {"rows": spec["rows"] // 4})
        done = stages.run(folder, *arguments)
        assert done.status == 0, done.output


def work(folder: Path) -> tuple[dict[Path, int], int]:
    """Finished blocks and weights with their times, and the step of the newest checkpoint."""
    found = (folder / STUDY).glob("cells/*/*/*/*/.state/checkpoint-*.safetensors")
    steps = [state[1]["step"] for path in found if (state := newest_checkpoint(path))]
    return ancient_if_current(folder), max(steps, default=0)


@pytest.mark.parametrize("rule", KILLS)
def test_a_killed_stage(
    rule: str, stages: Stages, reference: Reference, campaign: Campaign, tmp_path: Path
) -> None:
    """Again and again until it was killed often enough; whenever it ends, all is as it should."""
    stage, chance = longest(reference, rule), campaign.chance("kill", rule)
    full, short = KILLS[rule]
    wanted, kills = campaign.times(full=full, short=short), 0
    resumable, lost, digests, faults, seconds = 0, 0, [], [], 0.0
    folder = tmp_path / "0"
    begin(rule, stages, reference, stage, folder)
    while kills < wanted or len(digests) < 2:
        first = not digests  # undisturbed, and timed
        delay = chance.uniform(0, 1.2 * seconds) if not first and kills < wanted else None
        (before, step), began = work(folder), time.monotonic()
        done = stages.run(folder, *stage.arguments, kill_after=delay)
        after, later = work(folder)
        lost += sum(after.get(path) != when for path, when in before.items())
        if done.status == -signal.SIGKILL:
            kills += 1
            lost += 0 < later < step
            resumable += bool(after) or later > 0
            continue
        assert done.status == 0, done.output
        seconds = seconds or time.monotonic() - began
        digests.append(reference.digest(folder, stage))
        faults += reference.differences(folder, stage)
        folder = tmp_path / f"{len(digests)}"
        begin(rule, stages, reference, stage, folder)
    recovered = 0 if faults else kills
    kind = f"SIGKILL: {rule}"
    campaign.record(kind, injected=wanted, detected=kills, recovered=recovered, lost=lost)
    assert not faults, "\n".join(faults)
    assert lost == 0
    assert rule == "tokens" or resumable > kills // 5, "most kills must hit work that was begun"
