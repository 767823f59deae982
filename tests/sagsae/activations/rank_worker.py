"""Dumps by several ranks of which some are killed at random instants; run by test_ranks.py.

Arguments: folder, seed, kills. Children are forked before this process has touched Zarr or run a
model. Writes a store by one process without a kill, and one by each of 1, 2 and 4 ranks; a rank
that is killed is followed by another. Prints JSON: number of ranks (0 for the first store) ->
digest of the finished store, kills, and blocks that each process made.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from activation_samples import random_tokens, tiny_model

from sagsae.activations import DumpSettings, contexts_per_block, default_hookpoints
from sagsae.activations.dump import dump_activations
from tests.faults.campaign import folder_digest

BLOCKS, ROWS, LENGTH = 24, 128, 16


def dump(root: Path, rank: bool) -> None:
    """Make blocks; leave one file for each beside the store."""
    torch.set_num_threads(1)
    settings = DumpSettings(
        rows_per_chunk=32, rows_per_block=ROWS, n_blocks=BLOCKS, seed=3, batch_contexts=4
    )
    tokens = random_tokens(BLOCKS * contexts_per_block(ROWS, LENGTH))
    calibration = torch.from_numpy(random_tokens(8, seed=9).input_ids)
    points = default_hookpoints("smollm3", 2)
    made = root.with_name(f"{root.name}-made")
    made.mkdir(exist_ok=True)

    def note(at: object) -> None:
        (made / f"{os.getpid()}-{time.monotonic_ns()}").touch()
        time.sleep(0.02)  # or the store is full before the last kill

    arguments = (tiny_model("smollm3"), tokens, calibration, points, root, "tiny", settings)
    dump_activations(*arguments, rank=rank, progress=note)


def start(work: Callable[[], None]) -> int:
    """A process that does something."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return child


def commits(root: Path) -> int:
    return len(list(root.glob("*/commits/*.json")))


def share(root: Path, ranks: int, kills: int, chance: random.Random) -> int:
    """Fill a store by ranks, killing some; how many were killed."""
    running, killed = [start(lambda: dump(root, True)) for _ in range(ranks)], 0
    while running:
        before, deadline = commits(root), time.monotonic() + 60
        while killed < kills and commits(root) == before and time.monotonic() < deadline:
            if commits(root) == BLOCKS:
                break
            time.sleep(0.001)
        if killed < kills:
            time.sleep(chance.uniform(0, 0.03))
            victim = running.pop(chance.randrange(len(running)))
            os.kill(victim, signal.SIGKILL)
            killed += os.WIFSIGNALED(os.waitpid(victim, 0)[1])
            running.append(start(lambda: dump(root, True)))
            if commits(root) == BLOCKS:
                kills = killed
            continue
        status = os.waitstatus_to_exitcode(os.waitpid(running.pop(), 0)[1])
        assert status == 0, status
    return killed


def main() -> None:
    folder, seed, kills = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    found = {}
    for ranks in (0, 1, 2, 4):
        root, killed = folder / str(ranks), 0
        if ranks:
            killed = share(root, ranks, kills, random.Random(seed + ranks))
        os.waitpid(start(lambda root=root: dump(root, False)), 0)
        (store,) = root.iterdir()
        processes = [path.name.split("-")[0] for path in root.with_name(f"{ranks}-made").iterdir()]
        found[ranks] = {
            "digest": folder_digest(store, without=(".lock",)),
            "kills": killed,
            "blocks": sorted(processes.count(process) for process in set(processes)),
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
