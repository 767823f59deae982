"""Importing the package says how long idle threads may spin, unless the environment does."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from sagsae import SPIN_COUNT

NAMES = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
SHOW = "import os, sagsae; print(*map(os.environ.get, %r))"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, f"{SPIN_COUNT} None"),
        ({"GOMP_SPINCOUNT": "7"}, "7 None"),
        ({"OMP_WAIT_POLICY": "PASSIVE"}, "None PASSIVE"),
    ],
)
def test_the_spin_count_of_openmp(given, expected):
    environment = {name: value for name, value in os.environ.items() if name not in NAMES}
    printed = subprocess.run(
        [sys.executable, "-c", SHOW % (NAMES,)],
        env=environment | given,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert printed.strip() == expected


def test_a_cell_imports_the_package_before_pytorch():
    """Where it counts: the OpenMP of PyTorch reads its environment once, when it is loaded."""
    imported = (
        "import sys, pipeline.run_cell; "
        "sys.exit('torch' in sys.modules or 'sagsae' not in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", imported]).returncode == 0
