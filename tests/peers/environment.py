"""The interpreter that has SAELens and dictionary_learning, in an environment of its own.

``make test`` makes the environment and names its interpreter. Tests that need it fail where it is
named and unusable. Elsewhere they are skipped, and the summary of the run says why.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
VARIABLE = "SAGSAE_PEERS"
DEFAULT = ROOT / ".venv-peers" / "bin" / "python"


def interpreter() -> str:
    """The path of the interpreter; skips the test where nobody has made the environment."""
    if named := os.environ.get(VARIABLE):
        return str(ROOT / named)
    if not DEFAULT.exists():
        pytest.skip(f"no {DEFAULT.relative_to(ROOT)}: make test makes it, or set {VARIABLE}")
    return str(DEFAULT)


def run(script: str, *arguments: str | Path) -> str:
    """What a script of this folder prints in the peers' environment, without the network."""
    command = [interpreter(), str(Path(__file__).with_name(script)), *map(str, arguments)]
    offline = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | offline)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout
