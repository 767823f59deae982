"""Jobs run the checkout's code from any folder, also where only its dependencies are installed."""

from __future__ import annotations

import json
import os
import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.helpers.workflow import ROOT

pytestmark = pytest.mark.long

OURS = ("sagsae", "pipeline", "__editable__")


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with every package of this one but the project's own."""
    folder = tmp_path_factory.mktemp("dependencies")
    venv.create(folder, symlinks=True)
    target = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.startswith(OURS) and entry.suffix != ".pth":
            (target / entry.name).symlink_to(entry)
    return folder / "bin" / "python"


def run(python: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a module in a folder, with nothing about Python in the environment."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return subprocess.run(
        [python, "-P", "-m", *arguments],
        cwd=folder,
        env=clean | {"CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_plan_and_a_job_far_from_the_checkout(python, tmp_path):
    assert "No module named sagsae" in run(python, tmp_path, "sagsae").stdout
    decoy = tmp_path / "work" / "pipeline"
    decoy.mkdir(parents=True)
    (decoy / "__init__.py").write_text("raise RuntimeError('not the checkout')\n")
    files = ["--snakefile", str(ROOT / "Snakefile"), "--configfile"]
    options = [*files, str(ROOT / "workflow/configs/smoke.yaml"), "--directory", "work"]
    plan = run(python, tmp_path, "snakemake", *options, "--cores", "1", "-n", "--quiet", "rules")
    assert plan.returncode == 0, plan.stdout
    target = "results/smoke/assets/text/documents.json"
    done = run(python, tmp_path, "snakemake", *options, "--cores", "1", target)
    assert done.returncode == 0, done.stdout
    assert json.loads((tmp_path / "work" / target).read_text())["documents"] == 1500
