"""What the wheel holds, and that what is imported is declared and what is declared is used."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
OURS = {"sagsae", "pipeline", "benchmarks", "tests", "workflow", "docs"}
USED_WITHOUT_IMPORT = {
    "numcodecs": "encodes the chunks of a store, for Zarr",
    "tabulate": "pandas writes Markdown with it",
    "pip": "run as a command, to download wheels",
    "snakemake-executor-plugin-slurm": "Snakemake finds it by its name",
    "gguf": "Transformers reads GGUF files with it",
    "accelerate": "Transformers opens no GGUF file without it",
    "sqlalchemy": "MLflow keeps runs in a local database with it",
    "alembic": "MLflow makes that database with it",
    "tensorboard": "PyTorch writes the files of TensorBoard with it",
}
TRACKERS = ["wandb", "tensorboard", "mlflow"]
"""Extras of which a study needs those that its configuration asks for."""
PEERS = {"sae_lens", "dictionary_learning", "transformer_lens", "sparsify", "circuit_tracer"}
"""Imported by benchmarks and by workers of tests, in an environment of their own."""


def normalised(name: str) -> str:
    """A distribution's name, or a requirement's, as package indices compare them."""
    found = re.match(r"[A-Za-z0-9._-]+", name)
    assert found, name
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def declared(*extras: str) -> set[str]:
    """Distributions of the core and of some extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lists = [project["dependencies"], *(project["optional-dependencies"][name] for name in extras)]
    return {normalised(requirement) for requirements in lists for requirement in requirements}


def imported(*folders: str) -> dict[str, set[str]]:
    """Distributions that modules below some folders import, with the modules that do."""
    homes = packages_distributions()
    helpers = {path.stem for path in (ROOT / "tests").rglob("*.py")}  # some are on sys.path
    found: dict[str, set[str]] = {}
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            for name in {name.split(".")[0] for name in names}:
                if name in sys.stdlib_module_names | OURS | PEERS | helpers:
                    continue
                (home,) = set(homes.get(name, [f"{name} (not installed)"]))
                found.setdefault(normalised(home), set()).add(str(path.relative_to(ROOT)))
    return found


@pytest.mark.parametrize(
    ("folders", "extras"),
    [
        (["sagsae"], ["s3", "dask"]),
        (["pipeline"], ["workflow", "demo", *TRACKERS]),
        (["benchmarks"], ["workflow", "demo"]),
        (["tests"], ["workflow", "demo", "s3", "dask", *TRACKERS, "dev"]),
    ],
)
def test_what_is_imported_is_declared(folders, extras):
    found = imported(*folders)
    undeclared = {name: found[name] for name in found.keys() - declared(*extras)}
    assert undeclared == {}
    assert len(found) > 4


def test_what_is_declared_is_imported():
    core, workflow = imported("sagsae"), imported("pipeline")
    reasons = USED_WITHOUT_IMPORT.keys()
    assert declared() - core.keys() - reasons == set()
    extras = declared("workflow", "demo", *TRACKERS)
    assert extras - declared() - workflow.keys() - reasons == set()
    assert declared("s3", "dask") - declared() <= core.keys()


def test_the_container_installs_what_is_declared_at_one_version_each():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "container" / "requirements.txt").read_text().splitlines()
    pinned = [Requirement(line) for line in lines if not line.startswith("#")]
    versions = {}
    for one in pinned:
        (only,) = one.specifier
        assert only.operator == "==", one
        versions[normalised(one.name)] = only.version
    assert len(versions) == len(pinned)
    extras = ("workflow", "demo", "kubernetes")
    parts = [project["dependencies"], *(project["optional-dependencies"][e] for e in extras)]
    for text in (text for part in parts for text in part):
        wanted = Requirement(text)
        assert wanted.specifier.contains(versions[normalised(wanted.name)]), text


def test_the_wheel_holds_the_library_alone(tmp_path):
    checkout, ignored = tmp_path / "checkout", shutil.ignore_patterns("__pycache__")
    checkout.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, checkout)
    for name in ("sagsae", "pipeline", "benchmarks", "tests", "workflow"):
        shutil.copytree(ROOT / name, checkout / name, ignore=ignored)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*command, "--disable-pip-version-check", "--wheel-dir", tmp_path, checkout],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {re.sub(r"-.*\.dist-info", ".dist-info", name.split("/")[0]) for name in names} == {
        "sagsae",
        "sagsae.dist-info",
    }
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "sagsae").rglob("*.py")}
    assert sources | {"sagsae/py.typed"} == {name for name in names if "dist-info" not in name}


def test_the_library_speaks_of_nothing_that_the_workflow_alone_has():
    """Its users have no Snakemake, and no configuration with a section training."""
    foreign = re.compile(r"snakemake|(?<!sagsae\.)\btraining\.[a-z_]+")
    texts = {
        f"{path.name}:{node.lineno}": node.value
        for path in (ROOT / "sagsae").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert [place for place, text in texts.items() if foreign.search(text)] == []
