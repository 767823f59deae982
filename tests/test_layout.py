"""How the house is built: wings import downwards only, no circle, modules of one screenful."""

from __future__ import annotations

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PIPELINE = (
    {"jobs"},
    {"study"},
    {"analysis"},
    {"claims"},
    {"data", "synthetic"},
    {"cells"},
    {"tools"},
)
"""Floors of ``pipeline``, the lowest first; a room may import its own floor and those below.

Analysis lies below data and cells: only measures reach it."""
SAGSAE = (
    {"files"},
    {"autoencoders.registry"},
    {"training.recipe"},
    {"activations", "autoencoders"},
    {"evaluation", "training", "comparison", "exchange"},
    {"synthetic", "result_files", "api"},
)
"""Floors of ``sagsae``; names and settings of autoencoders lie below what they name."""
MOST_LINES = 600
FILE_NAME = re.compile(r"[\w./{}-]*[\w}]\.(json|csv|safetensors|html|png|svg|md|tex|gguf|parquet)")
OF_OTHERS = {"config.json", "generation_config.json", "special_tokens_map.json"}
OF_OTHERS |= {"added_tokens.json", "tokenizer.json", "tokenizer_config.json", "state.json"}
"""File names that Transformers and datasets give."""
WITHIN_ASSETS = {"documents.parquet", "model.gguf"}
"""Lie beside documents.json or asset.json, which names them: no other wing looks for them."""


def modules(root: Path, package: str) -> dict[str, Path]:
    """Dotted name -> file of every module of a package."""
    found = {}
    for path in sorted((root / package).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, known: dict[str, Path]) -> set[str]:
    """Modules of ``known`` that a file imports, also within functions and for types alone."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} & known.keys() or {
                str(node.module)
            }
    return {name for name in found if name in known or name.partition(".")[0] in PACKAGES}


PACKAGES = ("pipeline", "sagsae")


def circle(known: dict[str, Path], package: str) -> list[str]:
    """Modules of a package that import each other; what an ``__init__`` hands on to readers ties no
    module."""
    graph = {
        name: imports(path, known) - {name}
        for name, path in known.items()
        if name.startswith(f"{package}.") and path.name != "__init__.py"
    }
    try:
        TopologicalSorter({name: used & graph.keys() for name, used in graph.items()}).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def faults(root: Path) -> list[str]:
    """Imports that go up or round, and modules that are too long."""
    known = modules(root, "pipeline") | modules(root, "sagsae")
    found = [f"circle: {' <- '.join(names)}" for p in PACKAGES if (names := circle(known, p))]
    for name, path in known.items():
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > MOST_LINES:
            found.append(f"{name} has {lines} lines")
        for used in imports(path, known):
            if fault := _direction(name, used):
                found.append(fault)
    return found


def _direction(name: str, used: str) -> str:
    """Why a module may not import another; empty if it may."""
    (package, *own), (other, *theirs) = name.split("."), used.split(".")
    if package == "sagsae" and other == "pipeline":
        return f"{name} imports {used}: the library knows no workflow"
    if package != other or not own or not theirs or own == ["__main__"]:
        return ""
    floors = PIPELINE if package == "pipeline" else SAGSAE
    level = {wing: number for number, floor in enumerate(floors) for wing in floor}
    wings = [
        ".".join(parts[:2]) if ".".join(parts[:2]) in level else parts[0] for parts in (own, theirs)
    ]
    for wing in wings:
        if wing not in level:
            return f"{package}.{wing} has no floor here: give it one"
    if level[wings[1]] > level[wings[0]]:
        return f"{name} imports {used}, which is a floor above"
    return ""


def test_imports_go_down_and_modules_are_short():
    assert faults(ROOT) == []


def made(root: Path, **files: str) -> Path:
    """A tree of modules; ``a__b`` is a/b.py."""
    for name, text in files.items():
        path = root / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        (
            {"pipeline__jobs__a": "from pipeline.study.b import x", "pipeline__study__b": ""},
            "pipeline.jobs.a imports pipeline.study.b, which is a floor above",
        ),
        (
            {
                "sagsae__training__a": "if TYPE_CHECKING:\n    from sagsae.training.b import x",
                "sagsae__training__b": "def f():\n    from sagsae.training import a",
            },
            "circle: ",
        ),
        ({"sagsae__files": "from pipeline.jobs import stage"}, "the library knows no workflow"),
        ({"pipeline__jobs__a": "\n" * 601}, "pipeline.jobs.a has 601 lines"),
    ],
)
def test_what_is_forbidden_is_found(tmp_path, files, fault):
    found = faults(made(tmp_path, **files))
    assert len(found) == 1
    assert fault in found[0]


def file_names(text: str) -> set[str]:
    """Literal file names in Python code, f-strings included; documentation aside."""
    tree = ast.parse(text)
    documentation = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = (p.value if isinstance(p, ast.Constant) else "{}" for p in node.values)
            found.add("".join(map(str, parts)))
        elif isinstance(node, ast.Constant) and id(node) not in documentation:
            found.add(str(node.value))
    return {name for name in found if FILE_NAME.fullmatch(name)} - OF_OTHERS - WITHIN_ASSETS


def test_one_module_knows_the_names_of_files_under_results():
    """And one those of the cache; rules show theirs, and no plan works where they differ."""
    outside, homes = {}, ("pipeline.study.outputs", "pipeline.jobs.cache")
    for name, path in modules(ROOT, "pipeline").items():
        if name not in homes and (names := file_names(path.read_text())):
            outside[name] = names
    assert outside == {}
