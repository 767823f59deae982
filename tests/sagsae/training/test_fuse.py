"""The compiled parts of a step on a machine without a compiler."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
WITHOUT_COMPILER = """
from copy import deepcopy
import torch
from sagsae.training.autograd_step import AutogradStep
from tests.sagsae.autoencoders.test_variants import batch, random_autoencoder

sae, x = random_autoencoder("sagsae", 8, 20, 3), batch(33, 8, 0)
plain, fused = (AutogradStep(twin, torch.float64) for twin in (sae, deepcopy(sae)))
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
