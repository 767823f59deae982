"""The interpreter that has SAELens and dictionary_learning, in an environment of its own.

``make test`` makes the environment and names its interpreter. Tests that need it fail where it is
named and unusable. Elsewhere they are skipped, and the summary of the run says why.
"""

from __future__ import annotations

import json
import os
import subprocess
from functools import cache
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


@cache
def server() -> subprocess.Popen[str]:
    """The process that runs scripts in the peers' environment, without the network."""
    offline = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.Popen(
        [interpreter(), "-m", "tests.peers.server"],
        cwd=ROOT,
        env=os.environ | offline,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def run(script: str, *arguments: str | Path) -> str:
    """What a script of this folder prints in the peers' environment."""
    process = server()
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps([script, *map(str, arguments)]) + "\n")
    process.stdin.flush()
    answer = process.stdout.readline()
    assert answer, f"tests.peers.server ended, status {process.wait()}"
    done = json.loads(answer)
    assert done["status"] == 0, f"{script} {arguments}\n{done['output']}\n{done['errors']}"
    return str(done["output"])
