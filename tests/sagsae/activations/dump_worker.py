"""Dumps in child processes that are killed at random instants; run by test_dump.py.

Arguments: folder, seed, kills. Children are forked before this process has touched Zarr or run a
model, so that each begins with clean threads. Writes one store without a kill to `whole`, one with
kills to `killed`, and prints how many commits each kill left. Those that are killed write three
blocks at once.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
from activation_samples import random_tokens

from sagsae.activations.dump import dump_activations
from sagsae.activations.hookpoints import default_hookpoints
from sagsae.activations.reading import DumpSettings, contexts_per_block
from tests.sagsae.evaluation.samples import tiny_model

BLOCKS, ROWS, LENGTH = 24, 128, 16


def dump(root: Path) -> None:
    torch.set_num_threads(1)
    settings = DumpSettings(
        rows_per_chunk=32, rows_per_block=ROWS, n_blocks=BLOCKS, seed=3, batch_contexts=4
    )
    tokens = random_tokens(BLOCKS * contexts_per_block(ROWS, LENGTH))
    calibration = torch.from_numpy(random_tokens(8, seed=9).input_ids)
    points = default_hookpoints("smollm3", 2)
    model, threads = tiny_model("smollm3"), 1 if root.name == "whole" else 3
    dump_activations(model, tokens, calibration, points, root, "tiny", settings, threads=threads)


def start(root: Path) -> int:
    child = os.fork()
    if child == 0:
        try:
            dump(root)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return child


def finish(root: Path) -> None:
    status = os.waitstatus_to_exitcode(os.waitpid(start(root), 0)[1])
    assert status == 0, status


def commits(root: Path) -> int:
    return len(list(root.glob("*/commits/*.json")))


def kill_soon(root: Path, delay: float, *, preparing: bool) -> bool:
    """Kill a dump `delay` seconds after its first sign of life; False if it finished before.

    That sign is its first new commit, or, with `preparing`, the store's folder: the kill then hits
    the creation of the store or the beginning of a resumed dump.
    """
    before, child = commits(root), start(root)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if any(root.glob("*")) if preparing else commits(root) > before:
            break
        time.sleep(0.001)
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def main() -> None:
    folder, seed, kills = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    chance = random.Random(seed)
    finish(folder / "whole")
    for kill in range(kills):
        preparing = kill % 2 == 0
        delay = chance.uniform(0.0, 0.1 if preparing else 0.04)
        if kill_soon(folder / "killed", delay, preparing=preparing):
            print(commits(folder / "killed"), flush=True)
    finish(folder / "killed")


if __name__ == "__main__":
    main()
