"""Training steps with all trackers beside the same steps without one.

    python -m benchmarks.tracking

The trackers are real and offline. A row is logged as often as in a job, every 50th step.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Mapping
from statistics import median

import torch

from benchmarks.interleaved import Timing, interleaved, table
from benchmarks.ours import sparse_batches, trainer
from pipeline.cells.trackers import TRACKERS, pass_on, tracked
from pipeline.study.study import Study
from pipeline.study.study_config import DEFAULT_CONFIG

STEPS = 50


def arms(width: int, tell: Callable[..., None]) -> Mapping[str, Callable[[int], object]]:
    """Fifty steps of two equal trainers; the rows of one go to trackers."""
    batches = list(sparse_batches(4, 1024, 576))
    runs = {name: trainer("sagsae_tied", width, batches, 64.0) for name in ("none", "all three")}
    watched = runs["all three"]
    watched.progress = lambda step, row: tell(watched.history.rows[-1:])

    def steps(name: str) -> Callable[[int], None]:
        def go(_: int) -> None:
            for _ in range(STEPS):
                runs[name]._advance()

        return go

    return {name: steps(name) for name in runs}


def measure(width: int, rounds: int) -> dict[str, Timing]:
    """Seconds of fifty steps, by arm."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["WANDB_MODE"] = "offline"
        raw = Study.load(DEFAULT_CONFIG).configuration
        study = Study.from_dict(raw | {"results": folder, "tracking": list(TRACKERS)})
        pass_on(study)
        with tracked(study.train_spec(study.cells[0])) as tell:
            timings = interleaved(arms(width, tell), rounds)
    return timings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=1152)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    timings = measure(args.width, args.rounds)
    rows = [
        [
            name,
            f"{median(timing.wall) / STEPS * 1e3:.2f}",
            f"{1 / timing.wall_ratio(timings['none']):.3f}",
            f"{1 / timing.cpu_ratio(timings['none']):.3f}",
        ]
        for name, timing in timings.items()
    ]
    print(table(["trackers", "ms a step", "x none", "x none, CPU of the job"], rows))


if __name__ == "__main__":
    main()
