"""The compiled parts of a step: how often they pass over [B, H], and a machine without compiler."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from shutil import which

import pytest
import torch
from torch._inductor import graph
from torch._inductor.dependencies import MemoryDep
from torch._inductor.utils import fresh_inductor_cache

from sagsae.training.step import Step
from tests.sagsae.autoencoders.test_variants import batch, random_autoencoder

ROOT = Path(__file__).resolve().parents[3]
B, D, H = 64, 8, 128


@pytest.fixture
def passes(monkeypatch):
    """For each compiled part, how many buffers [B, H] its kernels read, and how many they write."""
    found, generate = [], graph.GraphLowering.codegen

    def counted(self):
        made = generate(self)
        gone, reads, writes = self.removed_buffers | self.inplaced_to_remove, 0, 0

        def large(dependencies):
            names = {found.name for found in dependencies if isinstance(found, MemoryDep)} - gone
            sizes = [self.try_get_buffer(name).get_numel() // (B * H) for name in sorted(names)]
            return sum(map(int, sizes))

        for kernel in self.scheduler.nodes:
            stored = large(kernel.read_writes.writes)
            writes += stored
            names = {found.name for found in kernel.read_writes.writes}
            reads += large(read for read in kernel.read_writes.reads if read.name not in names)
        found.append((reads, writes))
        return made

    monkeypatch.setattr(graph.GraphLowering, "codegen", counted)
    torch.compiler.reset()
    with fresh_inductor_cache():
        yield found


@pytest.mark.slow
@pytest.mark.skipif(
    which("g++") is None and which("clang++") is None, reason="no C++ compiler: nothing is compiled"
)
@pytest.mark.parametrize("name", ["gated", "sagsae", "sagsae_tied", "sagsae_noaux"])
def test_few_passes_over_the_large_buffers(name, passes):
    """Each is read once for the elementwise work, and once for the sums over the rows."""
    sae = random_autoencoder(name, D, H, 3, torch.float32)
    plain, fused = Step(sae, B, torch.float32), Step(sae, B, torch.float32)
    fused.fuse()
    codes = 1 + sae.auxiliary
    assert passes == [(2, codes), (0, 0), (2 * (1 + codes), 1)]
    for k in range(2):
        expected, terms = plain(batch(B, D, k).float(), 0.2), fused(batch(B, D, k).float(), 0.2)
        torch.testing.assert_close(vars(terms), vars(expected))
        for key, value in plain.grads.items():
            torch.testing.assert_close(fused.grads[key], value)


WITHOUT_COMPILER = """
import torch
from sagsae.training.step import Step
from tests.sagsae.autoencoders.test_variants import batch, random_autoencoder

sae, x = random_autoencoder("sagsae", 8, 20, 3), batch(33, 8, 0)
plain, fused = Step(sae, 33, torch.float64), Step(sae, 33, torch.float64)
fused.fuse()
for _ in range(2):
    assert vars(fused(x, 0.1)) == vars(plain(x, 0.1))
    assert all(torch.equal(fused.grads[name], value) for name, value in plain.grads.items())
"""


@pytest.mark.slow
def test_without_a_compiler_the_step_runs_uncompiled_and_says_so_once(tmp_path):
    environment = os.environ | {"PATH": str(tmp_path), "CXX": str(tmp_path / "none")}
    environment |= {"PYTHONPATH": str(ROOT), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, "-W", "ignore", "-c", WITHOUT_COMPILER]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("warning: PyTorch cannot compile the training step") == 1
    assert "Install gcc or clang" in done.stderr
