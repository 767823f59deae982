"""The files that a cell passes on its way from its name to metrics.json are few, and listed."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from pipeline.__main__ import STAGES

ROOT = Path(__file__).resolve().parents[1]
MOST_FILES = 12
LEAVES = {
    "what surrounds every job": ("jobs",),
    "other sections of a configuration, and what is wrong with them": (
        *("study.browser", "study.checks", "study.dial", "study.grid", "study.probe"),
        *("study.recipes", "study.run_settings", "study.sections", "study.sources"),
        *("study.signs", "study.study_config", "study.synthetic", "study.training"),
    ),
    "names of files, and which of them a job reads": ("study.outputs", "study.inputs"),
    "what analysis must know of a study": ("study.scope",),
    "the format of the training curve": ("study.curves",),
    "readers of what earlier jobs made": (
        *("data.manifests", "data.baselines", "data.fetch", "data.passes"),
    ),
    "a cell that another library has trained": ("cells.foreign",),
    "curves on their way to trackers": ("cells.trackers",),
    "the schema of metrics.json": ("study.metrics",),
    "weights and rows, read and checked": ("cells.looks",),
    "what a file must have been made for": ("study.made_for",),
    "what follows from the cells that are there": ("tools.preview",),
    "time and memory that a job asks a scheduler for": ("tools.cost",),
}
"""Why a file of the path may call a module that is not on it -> rooms and modules. A leaf answers
one question; it hands no cell on."""


def listed() -> list[str]:
    """The numbered files of the section of CONTRIBUTING.md."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.partition("## The path of a cell\n")[2].partition("\n## ")[0]
    return re.findall(r"^\d+\. `([^`]+)`", section, re.MULTILINE)


def used_by(file: str) -> set[str]:
    """Files that a file imports, includes, or calls as a stage."""
    text = (ROOT / file).read_text(encoding="utf-8")
    stages = {name: f"pipeline/{module.replace('.', '/')}.py" for name, module in STAGES.items()}
    if file == "pipeline/__main__.py":
        return set(stages.values())
    if not file.endswith(".py"):
        names = re.findall(r"^from (\S+) import (\w+)", text, re.MULTILINE)
        found = {
            f"{name.replace('.', '/')}.py"
            for module, own in names
            for name in (module, f"{module}.{own}")
        }
        found |= set(re.findall(r'^include: "([^"]+)"', text, re.MULTILINE))
        return found | {"pipeline/__main__.py" for _ in re.findall("python -m pipeline", text)}
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            found |= {f"{name.replace('.', '/')}.py" for name in names}
    return {name for name in found if (ROOT / name).is_file()}


def test_the_files_are_there_and_each_is_reached_from_an_earlier_one() -> None:
    path = listed()
    assert path[0] == "Snakefile"
    assert 8 <= len(path) == len(set(path)) <= MOST_FILES
    reached = {"Snakefile"}
    for file in path:
        assert (ROOT / file).is_file(), file
        assert file in reached, f"nothing before it on the path uses {file}"
        reached |= used_by(file)


def test_what_else_the_path_calls_is_a_leaf() -> None:
    """So a new step of a cell is put on the list, or said to be none."""
    path = listed()
    modules = {name for names in LEAVES.values() for name in names}
    called = {
        used.removeprefix("pipeline/").removesuffix(".py").replace("/", ".")
        for file in path
        if file.startswith("pipeline/") and file != "pipeline/__main__.py"
        for used in used_by(file)
        if used.startswith("pipeline/") and used not in path
    }
    others = {name for name in called if not {name, name.partition(".")[0]} & modules}
    assert others == set()


def test_a_leaf_hands_no_cell_on() -> None:
    path = listed()
    later = set(path[path.index("pipeline/cells/run.py") :])
    later.remove("pipeline/cells/train.py")  # whose record a foreign cell has, too
    for names in LEAVES.values():
        for name in names:
            place = ROOT / "pipeline" / name.replace(".", "/")
            files = place.glob("*.py") if place.is_dir() else [place.with_suffix(".py")]
            for file in files:
                used = used_by(file.relative_to(ROOT).as_posix()) & later
                assert not used, (name, used)
