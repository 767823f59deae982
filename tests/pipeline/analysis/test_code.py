"""What the digest of the analysis covers: all that the analysis imports, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.analysis import csv_files as code

ROOT = Path(__file__).resolve().parents[3]
IMPORT_ALL = """
import importlib, pathlib, sys
for folder in ("pipeline/analysis", "pipeline/claims"):
    for file in sorted(pathlib.Path(folder).rglob("*.py")):
        importlib.import_module(".".join(file.with_suffix("").parts).removesuffix(".__init__"))
for name, module in list(sys.modules.items()):
    if name.split(".")[0] in ("pipeline", "sagsae") and module.__file__:
        print(module.__file__)
"""


@pytest.mark.slow
def test_it_has_all_that_an_import_of_the_analysis_loads():
    command = [sys.executable, "-c", IMPORT_ALL]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {Path(line).resolve() for line in done.stdout.splitlines()}
    assert len(loaded) > 80
    assert loaded <= code.code_files()


@pytest.mark.parametrize(
    ("module", "covered"),
    [
        ("pipeline/study/scope.py", True),
        ("pipeline/study/settings.py", True),
        ("pipeline/analysis/page.py", True),
        ("sagsae/comparison/sweeps.py", True),
        ("pipeline/cells/train.py", False),
        ("pipeline/tools/verify.py", False),
    ],
)
def test_a_changed_line_counts_where_analysis_follows_from_it(module, covered, monkeypatch):
    path, read = ROOT / module, Path.read_bytes
    before = code.code_digest.__wrapped__()
    monkeypatch.setattr(Path, "read_bytes", lambda file: read(file) + b"#" * (file == path))
    assert (code.code_digest.__wrapped__() != before) == covered
