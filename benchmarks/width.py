"""How a step's cost grows with the width, at one L0.

    python -m benchmarks.width [--l0 64] [--widths 2304 4608 9216 16384]

Widths take turns. Each row also has the seven dense products of that width, measured in the same
run, and the parts of a step that grow with the width.
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import torch

from benchmarks.interleaved import interleaved, table
from benchmarks.ours import sparse_batches, trainer
from benchmarks.step import seven_products, timed_parts

STEPS = 2  # a round


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--d", type=int, default=576)
    parser.add_argument("--batch", type=int, default=2048)
    parser.add_argument("--l0", type=float, default=64.0)
    parser.add_argument("--widths", type=int, nargs="+", default=[2304, 4608, 9216, 16384])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    batches = list(sparse_batches(2, args.batch, args.d))
    runs = {width: trainer("sagsae_tied", width, batches, args.l0) for width in args.widths}
    parts: dict[int, dict[str, float]] = {}

    def arm(width: int) -> None:
        with timed_parts(time.process_time) as seconds:
            for _ in range(STEPS):
                runs[width]._advance()
        parts[width] = seconds  # of the last round

    arms = {str(width): lambda _, width=width: arm(width) for width in args.widths}
    timings = interleaved(arms, args.rounds)
    first = timings[str(args.widths[0])]
    rows = []
    for width in args.widths:
        timing, run = timings[str(width)], runs[width]
        l0 = run.history.rows[-1]["l0"]
        dense = median(seven_products(args.d, width, args.batch).cpu)
        cells = [str(width), f"{l0:.1f}", f"{median(timing.wall) / STEPS * 1e3:.1f}"]
        cells += [f"{median(timing.cpu) / STEPS * 1e3:.1f}"]
        cells += [f"{1 / timing.wall_ratio(first):.2f} (CPU {1 / timing.cpu_ratio(first):.2f})"]
        cells += [f"{width / args.widths[0]:.2f}", f"{dense * 1e3:.0f}"]
        cells += [
            ", ".join(f"{name} {part / STEPS * 1e3:.1f}" for name, part in parts[width].items())
        ]
        rows.append(cells)
    headings = ["H", "L0", "ms a step", "CPU ms", "times the first", "dense arithmetic would be"]
    headings += ["seven dense products, CPU ms", "CPU ms of the parts"]
    print(f"d = {args.d}, batch {args.batch}, {args.threads} threads, sagsae_tied\n")
    print(table(headings, rows))


if __name__ == "__main__":
    main()
