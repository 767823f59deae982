"""What is only needed where it is asked for is not imported before."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from pipeline.__main__ import MODULES

TRACKERS = {"wandb", "tensorboard", "mlflow"}
LIGHT = {
    "cells.run",
    "cells.tracking.track",
    "study.list_cells",
    "study.measures",
    "tools.list_targets",
    "tools.publish",
    "tools.status",
    "study.config.export_schema",
}
"""Modules that start without PyTorch, as before there were trackers."""


def imported(code: str) -> set[str]:
    """The packages that a fresh process has in the end."""
    code += "\nimport json, sys; print(json.dumps(sorted({n.split('.')[0] for n in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_no_stage_imports_a_tracker_or_draws_bars():
    names = ", ".join(f"pipeline.{module}" for module in MODULES.values())
    found = imported(f"import {names}")
    assert not found & TRACKERS
    assert "rich" not in imported(
        "import pipeline.tools.status, pipeline.tools.cache, pipeline.jobs.bars"
    )


@pytest.mark.parametrize("module", sorted(LIGHT))
def test_what_started_without_pytorch_still_does(module):
    assert "torch" not in imported(f"import pipeline.{module}")


def test_a_plan_imports_no_tracker_even_where_one_is_asked_for(tmp_path):
    found = imported(
        "from pipeline.cells.tracking.asked import Asked\n"
        "from pipeline.study.config.tracking import Tracking\n"
        "section = Tracking.model_validate({'wandb': {}, 'tensorboard': {}, 'mlflow': {}})\n"
        f"asked = Asked(study='s', folder={str(tmp_path)!r}, tracking=section)\n"
        "assert asked.missing() == []"
    )
    assert not found & {*TRACKERS, "torch", "sqlalchemy"}
