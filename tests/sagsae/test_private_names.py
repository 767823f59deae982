"""Which private names of other libraries are used, why, and whether they are still there.

``zarr.core`` counts as private: Zarr documents only what it exports above it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = ("sagsae", "pipeline", "benchmarks", "tests")
USED = {
    "os._exit": "is documented; it ends a process that threads of others would keep",
    "torch.cpu._is_avx512_bf16_supported": "PyTorch 2.6 has no torch.cpu.get_capabilities",
}
"""Full name -> why no public one serves."""
NAMED_TUPLE = {"_asdict", "_fields", "_replace"}
"""Public names of named tuples; they begin with _ so that no field has the same."""


@cache
def trees() -> dict[Path, ast.Module]:
    """Every module of the library and of the workflow."""
    paths = [path for folder in ("sagsae", "pipeline") for path in (ROOT / folder).rglob("*.py")]
    assert len(paths) > 50
    return {path: ast.parse(path.read_text()) for path in paths}


def is_private(name: str) -> bool:
    """Whether a dotted name has a part that begins with one underscore, or lies in zarr.core."""
    parts = [part for part in name.split(".") if not part.startswith("__")]
    return name.startswith("zarr.core") or any(part.startswith("_") for part in parts)


def used_names(tree: ast.Module) -> Iterator[str]:
    """Full names of foreign things that a module imports, or reads below an imported module."""
    imported: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                full = alias.name
                imported[alias.asname or full.split(".")[0]] = (
                    full if alias.asname else full.split(".")[0]
                )
                yield full
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                imported[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                yield f"{node.module}.{alias.name}"
    for node in ast.walk(tree):
        names: list[str] = []
        value: ast.AST = node
        while isinstance(value, ast.Attribute):
            names.insert(0, value.attr)
            value = value.value
        if names and isinstance(value, ast.Name) and value.id in imported:
            yield ".".join([imported[value.id], *names])


def own_private_names() -> set[str]:
    """Underscore names that our modules define: functions, classes, variables, attributes."""
    own: set[str] = set()
    for tree in trees().values():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                own.add(node.name)
            elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
                own.add(node.id if isinstance(node, ast.Name) else node.attr)
    return own


def private_names(tree: ast.Module) -> set[str]:
    """Foreign private names of one module."""
    names = {name for name in used_names(tree) if name.split(".")[0] not in OURS}
    return {name for name in names if is_private(name)}


def test_private_names_of_others_are_listed():
    found = {name for tree in trees().values() for name in private_names(tree)}
    assert found == USED.keys(), "use a public name, or list it with the reason; drop unused ones"


def test_no_private_attribute_of_a_foreign_object_is_read():
    own = own_private_names()
    listed = {name.split(".")[-1] for name in USED}
    unknown = {
        f"{path.relative_to(ROOT)}:{node.lineno} {node.attr}"
        for path, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and is_private(node.attr)
        if node.attr not in own | listed | NAMED_TUPLE
    }
    assert unknown == set()


@pytest.mark.parametrize("name", USED)
def test_every_listed_name_is_there(name):
    module, _, attribute = name.rpartition(".")
    assert callable(getattr(import_module(module), attribute))


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("from zarr.core.sync import sync", {"zarr.core.sync.sync"}),
        ("import torch\ndef f(): return torch.cpu._device", {"torch.cpu._device"}),
        ("import torch._dynamo as d\nd.reset()", {"torch._dynamo", "torch._dynamo.reset"}),
        ("from sagsae.files import _sign\nimport torch\ntorch.cpu.stream\nself._x", set()),
        ("import torch\ntorch.__version__", set()),
    ],
)
def test_private_names_are_found(code, expected):
    assert private_names(ast.parse(code)) == expected
