"""A training step on one GPU: time, FLOP/s reached, and share of what the card's products reach.

    python -m benchmarks.gpu_step [--d 2048 --width 16384 --batch 4096]

The real trainer's step: optimiser, constraints and logging included, batches already on the card as
`sagsae.activations.stream` leaves them. The card's rate is that of one bfloat16 product of the
encoder's shape, measured in turn with the steps. FLOPs are those of the seven dense products. The
error is that of the step's gradients at d = 512, H = 4096, batch 1024, against the plain step in
float64: the largest, over the parameters, of |g - exact| / |exact|.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from statistics import median

import torch

from benchmarks.interleaved import table
from benchmarks.ours import sparse_batches, trainer
from sagsae.autoencoders.gated import GatedAutoencoder
from sagsae.autoencoders.weights import build
from sagsae.training.autograd_step import AutogradStep

ROUNDS, STEPS = 10, 20


def milliseconds(work: Callable[[], object], count: int) -> float:
    """Of one call, between two events on the card."""
    began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    began.record()
    for _ in range(count):
        work()
    ended.record()
    ended.synchronize()
    return began.elapsed_time(ended) / count


def gradient_error(
    name: str, device: str, d: int = 512, width: int = 4096, batch: int = 1024, fused: bool = True
) -> float:
    """Of the step in bfloat16; see this module."""
    x = sparse_batches(1, batch, d)[0]
    low, exact = build(name, d, width), build(name, d, width).double()
    assert isinstance(low, GatedAutoencoder)
    assert isinstance(exact, GatedAutoencoder)
    low.initialise(x.mean(0), 0)
    exact.load_state_dict(low.state_dict())
    steps = [
        AutogradStep(sae.to(device), dtype)
        for sae, dtype in ((low, torch.bfloat16), (exact, torch.float64))
    ]
    if fused:
        steps[0].fuse()
    for step in steps:
        step(x.to(device, next(iter(step.params.values())).dtype), 0.05)
    errors = [
        (steps[0].grads[key].double() - value).norm() / value.norm()
        for key, value in steps[1].grads.items()
    ]
    return float(torch.stack(errors).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--d", type=int, default=2048)
    parser.add_argument("--width", type=int, default=16384)
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--l0", type=float, default=64.0)
    args = parser.parse_args()
    if not torch.cuda.is_available():
        print("No GPU here: nothing was measured. Run this on a machine with a CUDA device.")
        return
    batches = list(sparse_batches(4, args.batch, args.d))
    x = batches[0].to("cuda", torch.bfloat16)
    W = torch.randn(args.d, args.width, device="cuda", dtype=torch.bfloat16)
    u = torch.empty(args.batch, args.width, device="cuda", dtype=torch.bfloat16)
    flops = 2 * args.batch * args.d * args.width
    rows = []
    for name in ("gated", "sagsae_tied"):
        run = trainer(name, args.width, batches, args.l0, "cuda")
        for _ in range(STEPS):  # compiles
            run._advance()
        steps, products = [], []
        for _ in range(ROUNDS):
            products.append(milliseconds(lambda: torch.mm(x, W, out=u), STEPS))
            steps.append(milliseconds(run._advance, STEPS))
        step, reached = median(steps), median(7 * flops / ms / 1e9 for ms in steps)
        card = median(flops / ms / 1e9 for ms in products)
        cells = [name, f"{step:.2f}", f"{args.batch / step * 1e3:,.0f}", f"{reached:.0f}"]
        error = f"{gradient_error(name, 'cuda'):.1e}"
        rows.append([*cells, f"{card:.0f}", f"{reached / card:.0%}", error])
        del run
    print(f"{torch.cuda.get_device_name()}: d = {args.d}, H = {args.width}, batch {args.batch}\n")
    headings = ["variant", "ms a step", "tokens/s", "TFLOP/s", "one product's TFLOP/s", "share"]
    headings.append("gradient error")
    print(table(headings, rows))


if __name__ == "__main__":
    main()
