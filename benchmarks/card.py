"""The first half hour on a card: figures to paste, each beside what is expected and why.

    python -m benchmarks.card [--device cuda] [--small]

No card has run this code yet. Expectations were computed, not measured: from 300 TFLOP/s of a
step's products (a third of the 989 that an H100's maker gives), 2.5 TB/s of memory and 10 us for
each operation that the host launches. What differs from them by more than twice is the finding.
The error of a step is that of its gradients in bfloat16 at d = 512, H = 4096, batch 1024, against
the plain step in float64: the largest, over the parameters, of |g - exact| / |exact|.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.interleaved import table
from benchmarks.ours import Repeated, sparse_batches
from sagsae.activations.layout import StoreConfig
from sagsae.activations.store import Store
from sagsae.activations.stream import ActivationStream
from sagsae.activations.writer import StoreWriter
from sagsae.autoencoders.base import Autoencoder
from sagsae.autoencoders.registry import GATED, VARIANTS, K
from sagsae.autoencoders.weights import build
from sagsae.evaluation.metrics import evaluate_reconstruction
from sagsae.training.autograd_step import AutogradStep
from sagsae.training.recipe import Recipe
from sagsae.training.trainer import Interrupted, Trainer

PRODUCTS_TFLOPS, MEMORY_TBYTES, LAUNCH_SECONDS = 300.0, 2.5, 10e-6
# Operations that the host launches in an uncompiled step, at most; `tests/sagsae/training` counts.
LAUNCHES = 300
WARM_UP = 20


class Sizes(NamedTuple):
    """What is run: (d, H) of steps, their batch; of trainings of all variants; rows of a store."""

    shapes: tuple[tuple[int, int], ...] = ((576, 2304), (2304, 9216), (2048, 32768))
    batch: int = 4096
    steps: int = 50
    trained: tuple[int, int, int] = (256, 1024, 300)
    rows: int = 2**18


SMALL = Sizes(((16, 32),), 32, 2, (16, 32, 6), 512)
# A figure: what, measured, expected, why.
Row = list[str]


def seconds(work: Callable[[], object], count: int, device: torch.device) -> float:
    """Of one call of ``count``, once the device has done them all."""

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()

    wait()
    began = time.perf_counter()
    for _ in range(count):
        work()
    wait()
    return (time.perf_counter() - began) / count


def trainer(name: str, d: int, width: int, batch: int, device: torch.device, steps: int) -> Trainer:
    """A trainer of sparse rows that lie on the device."""
    batches = list(sparse_batches(4, batch, d))
    sparsity = {"lam": 0.0, "k": min(64, d)} if VARIANTS[name].knob == K else {"lam": 0.02}
    recipe = Recipe(steps=steps, batch_size=batch, learning_rate=3e-4, **sparsity)
    sae = build(name, d, width)
    sae.initialise(batches[0].mean(0), 0, recipe)
    return Trainer(sae.to(device), Repeated(batches, device), recipe)


def gradient_error(
    name: str, device: torch.device, d: int = 512, width: int = 4096, batch: int = 1024
) -> float:
    """Of the step in bfloat16; see this module."""
    x, low, exact = sparse_batches(1, batch, d)[0], build(name, d, width), build(name, d, width)
    low.initialise(x.mean(0), 0)
    exact.double().load_state_dict(low.state_dict())
    steps = [
        AutogradStep(sae.to(device), dtype)
        for sae, dtype in ((low, torch.bfloat16), (exact, torch.float64))
    ]
    for step in steps:
        step(x.to(device, next(iter(step.params.values())).dtype), 0.05)
    errors = [
        (steps[0].grads[key].double() - value).norm() / value.norm()
        for key, value in steps[1].grads.items()
    ]
    return float(torch.stack(errors).max())


def expected_step(d: int, width: int, batch: int) -> tuple[float, str]:
    """Seconds of a compiled step, and what they are made of."""
    products = 14 * d * width * batch / (PRODUCTS_TFLOPS * 1e12)
    codes, weights = 12 * 2 * batch * width, 40 * d * width
    memory = (codes + weights) / (MEMORY_TBYTES * 1e12)
    launches = 60 * LAUNCH_SECONDS
    words = f"products {products * 1e3:.2f} ms, memory {memory * 1e3:.2f} ms, or 60 launches"
    return max(products + memory, launches), words


def steps(sizes: Sizes, device: torch.device) -> Iterator[Row]:
    """Time of a step, uncompiled and compiled, and of the compiler."""
    for d, width in sizes.shapes:
        x = torch.randn(sizes.batch, d, device=device, dtype=torch.bfloat16)
        W = torch.randn(d, width, device=device, dtype=torch.bfloat16)
        product = seconds(lambda x=x, W=W: torch.mm(x, W), sizes.steps, device)
        flops = 2 * d * width * sizes.batch
        what = f"one product, d {d}, H {width}, B {sizes.batch}"
        reached = f"{product * 1e3:.2f} ms, {flops / product / 1e12:.0f} TFLOP/s"
        yield [what, reached, "600 TFLOP/s", "two thirds of what the maker gives"]
        for name in ("gated", "batchtopk", "jumprelu"):
            run = trainer(name, d, width, sizes.batch, device, 4000)
            for _ in range(WARM_UP):
                run._advance()
            plain = seconds(run._advance, sizes.steps, device)
            shape = f"{name}, d {d}, H {width}"
            expected, words = expected_step(d, width, sizes.batch)
            host = f"up to {LAUNCHES * LAUNCH_SECONDS * 1e3:.0f} ms more than compiled"
            yield [f"step, {shape}", f"{plain * 1e3:.2f} ms", host, "launches of the host"]
            if device.type != "cuda":
                continue
            run.compute.fuse()
            began = time.perf_counter()
            for _ in range(WARM_UP):
                run._advance()
            torch.cuda.synchronize()
            compiled = time.perf_counter() - began
            fused = seconds(run._advance, sizes.steps, device)
            rate = f"{fused * 1e3:.2f} ms, {sizes.batch / fused:,.0f} tokens/s"
            yield [f"compiled step, {shape}", rate, f"{expected * 1e3:.2f} ms", words]
            why = "a second start finds it in the cache"
            yield [f"compiling {shape}", f"{compiled:.0f} s", "20 to 60 s, then 5 to 10 s", why]


def trainings(sizes: Sizes, device: torch.device) -> Iterator[Row]:
    """Every variant, trained on the device and on the CPU; killed and continued."""
    d, width, count = sizes.trained
    for name in VARIANTS:
        results = []
        for place in (device, torch.device("cpu")):
            run = trainer(name, d, width, 256, place, count)
            run.run()
            rows = sparse_batches(1, 1024, d, seed=9)[0].to(place)
            results.append(evaluate_reconstruction(run.sae, [rows]))
        here, there = results
        shown = f"R2 {here.r2:.4f} and {there.r2:.4f}, L0 {here.l0:.1f} and {there.l0:.1f}"
        why = "bfloat16 rounds otherwise on each device"
        yield [f"{name}, {count} steps, here and on a CPU", shown, "R2 within 0.005", why]
        yield [
            f"{name}, stopped and continued",
            "equal" if _continues(name, d, width, count, device) else "DIFFERS",
            "equal",
            "no operation adds to one place twice",
        ]
        if VARIANTS[name].family == GATED:  # of others another entry may be selected
            error = gradient_error(name, device, d, width, 256)
            yield [f"{name}, error of gradients", f"{error:.1e}", "below 3e-2", "bfloat16 products"]


def _continues(name: str, d: int, width: int, count: int, device: torch.device) -> bool:
    """Whether a training that was stopped half way ends with the same weights."""
    whole, stopped, after = (trainer(name, d, width, 256, device, count) for _ in range(3))
    whole.run()
    stopped.log_every = max(1, count // 2)
    stopped.progress = lambda step, _: setattr(stopped, "stop_requested", step > 0)
    with tempfile.TemporaryDirectory() as folder:
        try:
            stopped.run(Path(folder, "checkpoint"))
        except Interrupted:
            after.run(Path(folder, "checkpoint"))
    return after.step == count and _same(whole.sae, after.sae)


def _same(sae: Autoencoder, other: Autoencoder) -> bool:
    state: dict[str, Tensor] = other.state_dict()
    return all(torch.equal(value, state[name]) for name, value in sae.state_dict().items())


def reading(sizes: Sizes, device: torch.device) -> Iterator[Row]:
    """Rows of a store that arrive on the device, and their evaluation."""
    d = sizes.shapes[min(1, len(sizes.shapes) - 1)][0]
    block = min(8192, sizes.rows)
    config = StoreConfig(
        hookpoints={"resid": d},
        rows_per_chunk=min(1024, block // 4),
        rows_per_block=block,
        n_blocks=sizes.rows // block,
        seed=0,
    )
    with tempfile.TemporaryDirectory() as folder:
        store = _filled(Path(folder, "store"), config)
        batch = min(sizes.batch, sizes.rows // 4)
        with ActivationStream(store, "resid", batch, seed=0, device=device) as stream:
            next(stream)
            each = seconds(lambda: next(stream), max(2, sizes.rows // batch), device)
        rate = f"{2 * d * batch / each / 1e9:.1f} GB/s"
        yield [f"stream of a store, d {d}", rate, "4 to 10 GB/s", "one reading thread, page cache"]
        sae = build("sagsae_tied", d, 4 * d).to(device)
        rows = [torch.randn(batch, d, device=device) for _ in range(4)]
        took = seconds(lambda: evaluate_reconstruction(sae, rows), 2, device)
        yield [
            f"evaluation, d {d}, H {4 * d}",
            f"{4 * batch / took:,.0f} rows/s",
            "0.5 to 2 million rows/s",
            "three products, and sums over what fires",
        ]


def _filled(folder: Path, config: StoreConfig) -> Store:
    """A sealed store of random rows."""
    rows, (width,) = config.rows_per_block, config.hookpoints.values()
    zeros = np.zeros(rows, np.int32)
    with StoreWriter(folder, config) as writer:
        for block in range(config.n_blocks):
            x = torch.randn(rows, width).bfloat16()
            writer.write_block(block, {"resid": x}, zeros, zeros, zeros, {}, {})
        writer.seal()
    return Store.open(folder)


def page(device: torch.device, sizes: Sizes) -> str:
    """All figures as Markdown."""
    name = torch.cuda.get_device_name() if device.type == "cuda" else platform.processor()
    parts = [*steps(sizes, device), *trainings(sizes, device), *reading(sizes, device)]
    head = f"{name or device}, PyTorch {torch.__version__}"
    return f"{head}\n\n{table(['what', 'measured', 'expected', 'why'], parts)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", help="cuda or cpu")
    parser.add_argument("--small", action="store_true", help="sizes that show only that it runs")
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        print("No GPU here: nothing was measured. Run this on a machine with a CUDA device.")
        return
    print(page(torch.device(args.device), SMALL if args.small else Sizes()))


if __name__ == "__main__":
    main()
