"""What is only needed where it is asked for is not imported before."""

from __future__ import annotations

import json
import subprocess
import sys

from pipeline.__main__ import MODULES

TRACKERS = {"wandb", "tensorboard", "mlflow"}
LIGHT = (
    "jobs.progress",
    "cells.run",
    "cells.trackers",
    "study.list_cells",
    "study.measures",
    "tools.list_targets",
    "tools.planning",
    "tools.publish",
    "tools.status",
    "study.study_config",
)
"""Modules that start without PyTorch and Matplotlib."""
CODE = """
import json, sys
from importlib import import_module
from pathlib import Path

found = {}

def note(name):
    found[name] = sorted({module.split(".")[0] for module in sys.modules})

for name in %r:
    import_module(f"pipeline.{name}")
    note(name)
from pipeline.cells.trackers import pass_on
from pipeline.study.study import Study
study = Study.load("workflow/configs/smoke.yaml")
asked = ["wandb", "tensorboard", "mlflow"]
pass_on(Study.from_dict(study.configuration | {"tracking": asked}))
from pipeline.analysis.figure import all_figures
from pipeline.analysis.table import all_tables
assert all_figures() and all_tables()
note("a plan")
for name in %r:
    import_module(f"pipeline.{name}")
note("all")
print(json.dumps(found))
"""


def test_what_is_not_needed_is_not_imported():
    """One process imports module after module; PyTorch takes seconds each time."""
    code = CODE % (LIGHT, sorted(MODULES.values()))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = {name: set(packages) for name, packages in json.loads(done.stdout).items()}
    everything = found.pop("all")
    assert "torch" in everything
    assert not everything & TRACKERS
    assert [
        name for name, packages in found.items() if packages & {"torch", "matplotlib", *TRACKERS}
    ] == []
