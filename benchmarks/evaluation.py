"""What evaluating one cell costs, by part, on language models of the local study's shapes.

    python -m benchmarks.evaluation [--models ...] [--rounds 3]

Parts: start Python with everything a cell imports; open the language model (it is mapped, so its
weights are read where they are first used); measure the reconstruction over the held-out rows; run
the spliced pass for Loss Recovered. The blocks and the head of that pass are timed alone, too.
One thread. The weights and the text are random, which changes no shape.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from benchmarks.interleaved import interleaved, table
from benchmarks.models import SHAPES, random_model
from benchmarks.ours import open_as_trained
from sagsae.activations.hookpoints import default_hookpoints
from sagsae.activations.language_models import load_language_model
from sagsae.autoencoders.base import Autoencoder
from sagsae.autoencoders.weights import build
from sagsae.evaluation.calibration import activation_histograms
from sagsae.evaluation.loss_recovered import Contexts, reconstruction, spliced_losses, token_losses
from sagsae.evaluation.metrics import accumulate, evaluate_reconstruction
from sagsae.evaluation.resume import find_blocks, forward_replaced, resume_from

ROWS, READ = 40960, 8192
"""Held-out rows of the local study, and how many are read at once."""
CONTEXTS, LENGTH, BATCH, L0 = 32, 128, 4, 64
AUTOENCODERS = (("gated", 4), ("sagsae_tied", 2))
"""Variant and width over d."""
IMPORTS = """
from pipeline.jobs.stage import relax_gc
import pipeline.cells.run
relax_gc()
import pipeline.cells.train, pipeline.cells.evaluate
"""


def random_autoencoder(variant: str, expansion: int, rows: Tensor) -> Autoencoder:
    """A random dictionary whose gates open as often as trained ones: `L0` latents a row."""
    d = rows.shape[1]
    sae = build(variant, d, expansion * d, d**-0.5)
    sae.initialise(torch.zeros(d), seed=0)
    open_as_trained(sae, rows[:1024].float() * sae.scale, L0)
    return sae


def random_contexts(model: Any, layer: int) -> Contexts:
    """Contexts of random tokens with random hidden states that enter the tapped block."""
    ids = torch.randint(0, model.config.vocab_size, (CONTEXTS, LENGTH))
    kept = torch.ones(CONTEXTS, LENGTH, dtype=torch.bool)
    kept[:, 0] = False
    hidden = torch.randn(CONTEXTS, LENGTH, model.config.hidden_size).bfloat16()
    return Contexts(input_ids=ids, kept=kept, hidden=hidden, blocks=find_blocks(model), layer=layer)


def arms_of(name: str, folder: Path) -> dict[str, Callable[[int], object]]:
    """The parts of one cell's evaluation; those of the spliced pass overlap with it."""
    layer = SHAPES[name][1]
    model = load_language_model(folder)
    contexts, d = random_contexts(model, layer), model.config.hidden_size
    rows = torch.randn(READ, d).bfloat16()
    point = default_hookpoints(model.config.model_type, layer)["resid"]
    batches = list(contexts.batches(BATCH, torch.device("cpu")))
    saes = {variant: random_autoencoder(variant, times, rows) for variant, times in AUTOENCODERS}

    def split() -> Iterator[Tensor]:
        return (rows for _ in range(ROWS // READ))

    def reconstruct(sae: Autoencoder) -> Callable[[int], object]:
        return lambda _: evaluate_reconstruction(sae, split())

    firings = accumulate(saes["gated"], [rows]).firings

    def blocks(_: int) -> None:
        for batch in batches:
            hidden = batch.hidden
            assert hidden is not None
            with torch.inference_mode(), resume_from(model, batch.blocks, layer, hidden):
                model.base_model(input_ids=batch.input_ids, use_cache=False)

    with torch.inference_mode():
        ended = model.base_model(input_ids=batches[0].input_ids, use_cache=False)

    def head(_: int) -> None:
        with forward_replaced(model.base_model, lambda *args, **kwargs: ended):
            for _ in range(len(batches)):
                token_losses(model, batches[0].input_ids)

    replacement = reconstruction(saes["sagsae_tied"])
    return {
        "open the model": lambda _: load_language_model(folder),
        **{f"reconstruction, {name}": reconstruct(sae) for name, sae in saes.items()},
        "histograms, gated": lambda _: activation_histograms(saes["gated"], split(), firings),
        "spliced pass": lambda _: spliced_losses(model, contexts, BATCH, point, replacement),
        "of it, blocks": blocks,
        "of it, head and loss": head,
    }


def import_seconds() -> float:
    """CPU seconds of a Python that imports what a cell's job does."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", IMPORTS], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--models", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    parts: dict[str, list[str]] = {}
    for name in options.models:
        with tempfile.TemporaryDirectory() as folder:
            random_model(name).save_pretrained(folder)
            timings = interleaved(arms_of(name, Path(folder)), options.rounds)
        for part, timing in timings.items():
            cells = parts.setdefault(part, [])
            cells += [f"{median(timing.cpu):.2f}", f"{median(timing.wall):.2f}"]
    print(
        f"start and imports: {median(import_seconds() for _ in range(options.rounds)):.2f} s CPU\n"
    )
    headings = [f"{name}, s {kind}" for name in options.models for kind in ("CPU", "wall")]
    print(table(["part", *headings], [[part, *cells] for part, cells in parts.items()]))


if __name__ == "__main__":
    main()
