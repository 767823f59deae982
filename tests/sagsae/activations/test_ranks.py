"""Several processes fill one store; whatever dies in whatever order, it is the store of one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import sagsae

HERE, ROOT = Path(__file__).parent, Path(sagsae.__file__).parents[1]


@pytest.mark.slow
def test_killed_ranks_leave_the_store_of_one_process(tmp_path: Path) -> None:
    kills = 4
    done = subprocess.run(
        [sys.executable, HERE / "rank_worker.py", tmp_path, "0", str(kills)],
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join([str(HERE), str(ROOT)]), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    print(done.stdout)
    assert found.keys() == {"0", "1", "2", "4"}
    assert {one["digest"] for one in found.values()} == {found["0"]["digest"]}
    assert found["0"] | {"blocks": [24], "kills": 0} == found["0"]
    for ranks in ("1", "2", "4"):
        assert found[ranks]["kills"] == kills, "too few ranks were killed while they ran"
        assert len(found[ranks]["blocks"]) > 1, "one process made all blocks"
        assert 24 <= sum(found[ranks]["blocks"]) <= 24 + 2 * kills, "blocks were made twice"
