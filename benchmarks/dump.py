"""How fast a dump is beside the forward passes it is made of.

    python -m benchmarks.dump [--model smollm2-135m] [--batches 4 8 16 32] [--layers 5 15 25]

Three arms take turns. The full forward pass includes the head. The bare pass ends after the last
block studied and keeps nothing. The dump stores every hookpoint: drop rules, permutation,
statistics, checksums and fsync, without the calibration. The seal, which reads all of it, has its
own line.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor

from benchmarks.interleaved import Timing, interleaved, table
from benchmarks.models import SHAPES, random_model
from sagsae.activations.dump import dump_activations
from sagsae.activations.hookpoints import capture, default_hookpoints, run_captured
from sagsae.activations.reading import DumpSettings, contexts_per_block
from sagsae.activations.tokens import TokenStore

LENGTH = 128
Place = tuple[int, str]
"""A layer, and one of its hookpoints."""


def random_tokens(contexts: int, vocabulary: int) -> TokenStore:
    """Contexts of uniformly drawn tokens."""
    rng = np.random.default_rng(0)
    ids = rng.integers(0, vocabulary, (contexts, LENGTH), dtype=np.int32)
    return TokenStore(ids, np.zeros_like(ids))


def measure(
    name: str, places: list[Place], rows: int, batch: int, rounds: int, root: Path, device: str
) -> tuple[int, dict[str, Timing], float]:
    """Tokens of a round, the timings, and CPU seconds of the seal per round."""
    model = random_model(name).to(device)
    per_block = contexts_per_block(rows, LENGTH)
    blocks = 1 if device != "cpu" else torch.get_num_threads()  # of a round: one a core
    tokens = random_tokens(per_block * blocks * (rounds + 1), model.config.vocab_size)
    kind = model.config.model_type
    points = {f"l{layer}.{hook}": default_hookpoints(kind, layer)[hook] for layer, hook in places}
    last = default_hookpoints(kind, max(layer for layer, _ in places))["resid"]
    read = -(-rows // ((LENGTH - 1) * batch)) * batch  # a block stops once it is full
    read = min(read, per_block)
    settings = DumpSettings(
        rows_per_chunk=1024,
        rows_per_block=rows,
        n_blocks=blocks * (rounds + 1),
        seed=0,
        batch_contexts=batch,
    )

    def batches(number: int) -> Iterator[Tensor]:
        for first in range(
            number * blocks * per_block, (number + 1) * blocks * per_block, per_block
        ):
            ids = torch.from_numpy(tokens.input_ids[first : first + read]).long()
            yield from ids.to(device).split(batch)

    def finished() -> None:
        if device != "cpu":
            torch.cuda.synchronize()

    def full(number: int) -> None:
        with torch.no_grad():
            for ids in batches(number):
                model(input_ids=ids, use_cache=False)
        finished()

    def truncated(number: int) -> None:
        with capture(model, {"last": last}):
            for ids in batches(number):
                run_captured(model, ids)
        finished()

    def fill(number: int, seal: bool = False) -> None:
        """Add blocks to the store."""
        calibration = torch.from_numpy(tokens.input_ids[:8]).long()
        size = replace(settings, n_blocks=blocks * (number + 1))
        arguments = (model, tokens, calibration, points, root, "bench", size)
        dump_activations(*arguments, seal=seal, device=device)

    arms = {"full": full, "truncated": truncated, "dump": fill}
    timings = interleaved(arms, rounds)
    began = time.process_time()
    fill(rounds, seal=True)
    return read * LENGTH * blocks, timings, (time.process_time() - began) / (rounds + 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--model", choices=SHAPES, default="smollm2-135m")
    parser.add_argument("--rows", type=int, default=8192, help="of a block; a round has one a core")
    parser.add_argument("--batches", type=int, nargs="+", default=[8], help="contexts a pass")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--layers", type=int, nargs="+", help="default: the local study's")
    names = ["mlp_out", "attn", "resid"]
    parser.add_argument("--hookpoints", nargs="+", default=names, help="of each layer")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--folder", type=Path, help="where the store goes; default: temporary")
    options = parser.parse_args()
    layers = options.layers or [SHAPES[options.model][1]]
    places = list(itertools.product(layers, options.hookpoints))
    lines = []
    for batch in options.batches:
        with tempfile.TemporaryDirectory(dir=options.folder) as root:
            tokens, timings, seal = measure(
                options.model,
                places,
                options.rows,
                batch,
                options.rounds,
                Path(root),
                options.device,
            )
        for arm, timing in timings.items():
            speeds = [f"{tokens / median(seconds):,.0f}" for seconds in (timing.wall, timing.cpu)]
            bare = timings["truncated"]
            ratios = [f"{r:.2f}" for r in (timing.wall_ratio(bare), timing.cpu_ratio(bare))]
            lines.append([str(batch), arm, *speeds, *ratios])
        share = f"{seal / median(timings['dump'].cpu):.1%}"
        lines.append([str(batch), f"seal, share of the dump's CPU: {share}", "", "", "", ""])
    columns = ("tokens/s of wall", "tokens/s of CPU", "bare pass = 1, wall", "bare pass = 1, CPU")
    print(table(["contexts a pass", "arm", *columns], lines))


if __name__ == "__main__":
    main()
