"""Writers of a store of objects that are killed at random instants; prints what became of it.

    python -m tests.faults.object_kills PLAN.json

A plan: ``url`` of the store; ``lone``, folder of the same store by one writer that is not killed;
``changes`` of its configuration; ``writers`` at a time; ``kills``; ``seed``. Children are forked,
and only they use obstore, which does not survive a fork. Prints JSON: kills, how many of them left
a store with some blocks missing, committed chunks that were read after kills and how many were
wrong, commits that were written again, and the digests of the stores at the end.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from activation_samples import block_data, small_config, write_store

from sagsae.activations import StoreConfig, StoreWriter, verify_store
from sagsae.activations.commits import committed_blocks
from sagsae.storage import Storage, storage_at

PATIENCE = 120.0
"""Seconds for each kill; a writer whose answers are lost waits before it asks again."""


def write(url: str, config: StoreConfig) -> None:
    """Make what nobody else makes, wait for what others make, and seal."""
    torch.set_num_threads(1)
    with StoreWriter(url, config) as writer:
        for block in writer.claimed_blocks():
            writer.write_block(block, **block_data(config, block))
        writer.seal()


def look(url: str) -> dict[str, Any]:
    """What is committed, whether it is what was committed, and the digest of everything."""
    place = storage_at(url)
    blocks = committed_blocks(place) if place.exists("run.json") else []
    if not blocks:
        return {"commits": {}, "chunks": 0, "wrong": [], "digest": ""}
    found = verify_store(place)
    commits = {str(block): place.read(f"commits/{block:06d}.json").decode() for block in blocks}
    wrong = [str(fault) for fault in found.faults if "SEALED" not in fault.file]
    state = hashlib.sha256()
    for name, content in sorted(everything(place).items()):
        state.update(f"{name} {len(content)}\n".encode() + content)
    return {
        "commits": commits,
        "chunks": found.chunks,
        "wrong": wrong,
        "digest": state.hexdigest(),
    }


def everything(place: Storage, below: str = "") -> dict[str, bytes]:
    """Every content below a place but locks and questions to the server, by its name."""
    names = (name for name in place.names() if name[0] != ".")
    found = {f"{below}{name}": place.read(name) for name in names}
    for folder in place.folders():
        found |= everything(place / folder, f"{below}{folder}/")
    return found


def child(work: Callable[[], object], report: Path | None = None) -> int:
    """A process that does something, and leaves what it gives in a file."""
    process = os.fork()
    if process == 0:
        try:
            found = work()
            if report is not None:
                report.write_text(json.dumps(found))
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return process


def ended_well(process: int) -> bool:
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0


def asked(work: Callable[[], object], report: Path) -> Any:
    """What a process of its own gives."""
    assert ended_well(child(work, report)), "see the messages above"
    return json.loads(report.read_text())


def main() -> None:
    file = Path(sys.argv[1])
    plan, report = json.loads(file.read_text()), file.with_suffix(".report")
    config, chance = small_config(**plan["changes"]), random.Random(plan["seed"])
    url, lone = plan["url"], plan["lone"]
    assert ended_well(child(lambda: write_store(Path(lone), config)))
    began = time.monotonic()
    assert ended_well(child(lambda: write(f"{url}-timed", config)))
    seconds, deadline = time.monotonic() - began, time.monotonic() + PATIENCE * plan["kills"]
    counts = {"kills": 0, "unfinished": 0, "chunks": 0, "again": 0}
    wrong: list[str] = []
    before: dict[str, str] = {}
    store = 0
    while counts["kills"] < plan["kills"] and time.monotonic() < deadline:
        fill = partial(write, f"{url}-{store}", config)
        running = [child(fill) for _ in range(plan["writers"])]
        time.sleep(chance.uniform(0.02, 0.5 * seconds))
        victim = running.pop(0)
        os.kill(victim, signal.SIGKILL)
        counts["kills"] += os.WIFSIGNALED(os.waitpid(victim, 0)[1])
        for other in running:
            assert ended_well(other), "a writer that was not killed failed"
        found = asked(partial(look, f"{url}-{store}"), report)
        counts["chunks"] += found["chunks"]
        wrong += found["wrong"]
        counts["again"] += sum(before[key] != found["commits"].get(key) for key in before)
        finished = len(found["commits"]) == config.n_blocks
        counts["unfinished"] += not finished
        before = {} if finished else found["commits"]
        if finished and counts["kills"] < plan["kills"]:
            assert ended_well(child(fill))
            store += 1
    digests = []
    for number in range(store + 1):
        assert ended_well(child(partial(write, f"{url}-{number}", config)))
        found = asked(partial(look, f"{url}-{number}"), report)
        wrong += found["wrong"]
        digests.append(found["digest"])
    whole = asked(lambda: look(lone), report)["digest"]
    print(json.dumps({**counts, "wrong": wrong, "digests": digests, "whole": whole}))


if __name__ == "__main__":
    main()
