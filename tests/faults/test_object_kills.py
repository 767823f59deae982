"""Stores of objects whose writers are killed and whose answers are lost: nothing is ever wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.e2e.conftest import ROOT
from tests.faults.campaign import Campaign
from tests.s3_servers import Proxy

SAMPLES = ROOT / "tests" / "sagsae" / "activations"
SMALL = {"n_blocks": 6, "rows_per_block": 32}
PLANS: dict[str, tuple[dict[str, Any], int, int]] = {
    "one writer": ({"changes": SMALL, "writers": 1}, 40, 2),
    "one writer, compressed shards": (
        {"changes": SMALL | {"sharded": True, "profile": "disk"}, "writers": 1},
        20,
        1,
    ),
    "one of three writers": ({"changes": SMALL | {"n_blocks": 12}, "writers": 3}, 30, 1),
}
"""Kind: plan, and kills in the full and in the short form."""
LOSS = 0.08
"""Share of the puts whose answers are lost."""


def test_killed_writers_and_lost_answers(
    campaign: Campaign, moto: str, s3: str, tmp_path: Path
) -> None:
    """All kinds at a time: a writer mostly waits for the claims of one that was killed."""
    with ThreadPoolExecutor(len(PLANS)) as pool:
        runs = {
            kind: pool.submit(interrupted, campaign, kind, moto, f"{s3}/{number}/s", tmp_path)
            for number, kind in enumerate(PLANS)
        }
    faults = []
    for kind, run in runs.items():
        found, lost = run.result()
        sound = not found["wrong"] and set(found["digests"]) == {found["whole"]}
        campaign.record(
            f"SIGKILL: objects, {kind}",
            injected=found["kills"],
            detected=found["kills"],
            recovered=found["kills"] * sound,
            lost=found["again"],
        )
        answers = {"injected": lost, "detected": lost, "recovered": lost * sound}
        campaign.record(f"answer to a put lost: objects, {kind}", **answers)
        campaign.same(f"store of objects, {kind}", found["whole"], found["digests"][-1])
        if not sound or found["again"] or not lost or found["kills"] != kills_of(campaign, kind):
            faults.append(f"{kind}: {lost} answers lost, {found}")
        print(f"{kind}: {found['chunks']} committed chunks read after kills")
    assert not faults, "\n".join(faults)


def kills_of(campaign: Campaign, kind: str) -> int:
    _, full, short = PLANS[kind]
    return campaign.times(full=full, short=short)


def interrupted(
    campaign: Campaign, kind: str, server: str, url: str, folder: Path
) -> tuple[dict[str, Any], int]:
    """What ``tests.faults.object_kills`` counted, and how many answers were lost."""
    chance = campaign.chance("objects", kind)
    own = folder / kind
    own.mkdir()
    plan = PLANS[kind][0] | {"url": url, "kills": kills_of(campaign, kind)}
    lost = []
    with Proxy(server) as proxy:

        def lose(method: str, path: str) -> bool:
            hit = method == "PUT" and chance.random() < LOSS
            lost.extend([path] * hit)
            return hit

        proxy.lose = lose
        return run(own, plan, proxy.endpoint), len(lost)


def run(folder: Path, plan: dict[str, Any], endpoint: str) -> dict[str, Any]:
    """What ``tests.faults.object_kills`` counted."""
    file = folder / "plan.json"
    file.write_text(json.dumps(plan | {"lone": str(folder / "lone"), "seed": 0}))
    paths = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(SAMPLES)]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.object_kills", file],
        cwd=ROOT,
        env=os.environ | paths | {"AWS_ENDPOINT_URL": endpoint},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))
