"""Kernels that were just compiled and kernels from the cache must round alike.

A helper that is a function of its own in the machine code exists once for each kernel that calls
it, each copy optimised otherwise, and which copy runs depends on what was loaded first: then the
first job on a machine ends with other weights than all later ones.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.long, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[3]


def digests(cache: Path) -> list[str]:
    command = [sys.executable, "-m", "tests.sagsae.training.fresh_kernels"]
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_compiled_and_cached_kernels_give_the_same_weights(tmp_path):
    fresh = digests(tmp_path)
    compiled = set(tmp_path.rglob("*.nbc"))
    assert compiled
    assert len(set(fresh)) == 2
    assert digests(tmp_path) == fresh
    assert set(tmp_path.rglob("*.nbc")) == compiled
