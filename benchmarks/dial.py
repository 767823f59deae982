"""What steering costs, and what resuming, reading few positions and batching save of it.

    python -m benchmarks.dial [--models ...] [--rounds 3] [--device cpu]

An intervention is one context of 128 tokens under one added vector. Random language models of the
local study's shapes, one thread on a CPU; on a GPU, wall time.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from statistics import median

import torch

from benchmarks.evaluation import LENGTH, random_contexts
from benchmarks.interleaved import interleaved, table
from benchmarks.models import SHAPES, random_model
from sagsae.activations.hookpoints import default_hookpoints
from sagsae.evaluation.loss_recovered import Contexts
from sagsae.evaluation.steering.dial import Steering, interventions, steer
from sagsae.evaluation.steering.directions import Arms, random_directions

CONTEXTS, DIRECTIONS, SIZES = 2, 4, (1.0, 2.0, 4.0, 8.0)
READ = 16
BATCHES = (4, 16, 64)


def arms_of(name: str, device: str) -> dict[str, Callable[[int], object]]:
    """Ways to steer, from one plain pass at a time to many interventions a pass."""
    layer, model = SHAPES[name][1], random_model(name).to(device)
    point = default_hookpoints(model.config.model_type, layer)["resid"]
    contexts = random_contexts(model, layer).first(CONTEXTS)
    directions = Arms.signed(random_directions(DIRECTIONS, model.config.hidden_size, seed=0))

    def way(given: Contexts, positions: int, batch: int) -> Callable[[int], object]:
        steering = Steering(model=model, hookpoint=point, positions=positions, batch=batch)
        return lambda _: steer(steering, given, directions, SIZES)

    return {
        "one at a time, all blocks, all positions read": way(contexts.full, LENGTH, 1),
        "the same from the tapped block on": way(contexts, LENGTH, 1),
        f"the same, {READ} positions read": way(contexts, READ, 1),
        **{f"the same, {batch} a pass": way(contexts, READ, batch) for batch in BATCHES},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--models", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    count, parts = interventions(CONTEXTS, DIRECTIONS, len(SIZES)), dict[str, list[str]]()
    for name in options.models:
        timings = interleaved(arms_of(name, options.device), options.rounds)
        plain = next(iter(timings.values()))
        for part, timing in timings.items():
            on_cpu = options.device == "cpu"
            seconds = median(timing.cpu if on_cpu else timing.wall) / count
            ratio = timing.cpu_ratio(plain) if on_cpu else timing.wall_ratio(plain)
            parts.setdefault(part, []).extend([f"{1000 * seconds:.1f}", f"{ratio:.2f}"])
    headings = [f"{name}, {what}" for name in options.models for what in ("ms", "x plain")]
    print(table(["an intervention", *headings], [[part, *cells] for part, cells in parts.items()]))


if __name__ == "__main__":
    main()
