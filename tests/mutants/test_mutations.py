"""Mutants are made as the page says. `make mutants` installs what this needs, and runs it first."""

from __future__ import annotations

import sys

import pytest

pytest.importorskip("mutmut", reason="mutmut is not installed: make mutants installs it")

from tests.mutants.child import Substitute
from tests.mutants.mutations import Key, mutations
from tests.mutants.page import Row, Survivor, page, read_reasons
from tests.mutants.target import ROOT, _apart


def changes(source: str) -> set[tuple[str, str]]:
    return {(found.key.where, found.key.now) for found in mutations(source)}


def test_operators_numbers_arguments_and_effects():
    assert changes("x = 1 < y\n") >= {("", "x = 1 <= y"), ("", "x = 2 < y"), ("", "x = None")}
    found = changes("def f(a):\n    g(a, 2)\n")
    assert found == {
        ("f", "g(None, 2)"),
        ("f", "g(a, None)"),
        ("f", "g(2)"),
        ("f", "g(a, )"),
        ("f", "g(a, 3)"),
        ("f", "..."),
    }


def test_decorated_functions_and_decorators_are_changed_and_their_texts_are_not():
    source = "class A:\n    @claim(text='one', least=2)\n    def b(self):\n        return -1\n"
    found = changes(source)
    assert ("A.b", "return +1") in found
    assert ("A.b", "@claim(text='one', least=3)") in found
    assert not any("XX" in now for _, now in found)


@pytest.mark.parametrize(
    "source",
    [
        "x: int\n",
        'def f():\n    """Words."""\n',
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    x = 1\n",
        "@dataclass(frozen=True)\nclass A:\n    x: int\n",
    ],
)
def test_what_is_left_out(source):
    assert mutations(source) == []


def test_texts_stay_and_names_are_changed_once():
    assert changes("f('two words')\n") == {("", "f(None)"), ("", "...")}
    assert changes("f('a' f'{b + 1}')\n") >= {("", "f('a' f'{b - 1}')")}
    assert {now for _, now in changes("f('name')\n")} == {"f(None)", "f('XXnameXX')", "..."}


def test_strict_stays():
    assert {now for _, now in changes("zip(a, strict=True)\n")} == {
        "zip(None, strict=True)",
        "zip(strict=True)",
    }


def test_equal_changes_in_one_function_are_told_apart():
    keys = [found.key for found in mutations("def f():\n    a = b\n    a = b\n")]
    assert keys == [Key("f", "a = b", "a = None", 0), Key("f", "a = b", "a = None", 1)]


def test_a_mutant_takes_the_place_of_its_module(monkeypatch):
    name = "tests.their_package"
    loader = Substitute(name, ROOT / "tests/their_package.py", "made_up = 7\n")
    monkeypatch.setattr(sys, "meta_path", [loader, *sys.meta_path])
    monkeypatch.delitem(sys.modules, name, raising=False)
    assert __import__(name, fromlist=["made_up"]).made_up == 7
    monkeypatch.delitem(sys.modules, name)


def test_what_is_imported_before_a_mutant_never_needs_its_module():
    """A package imports its own modules: nothing in it can be imported without them."""
    graph = {
        "sagsae": set(),
        "sagsae.files": set(),
        "sagsae.store": {"sagsae.store.commits"},
        "sagsae.store.commits": {"sagsae.files"},
        "sagsae.store.bits": set(),
        "sagsae.train": {"sagsae.store.bits"},
    }
    for module, alone in (
        ("sagsae.store.commits", {"sagsae", "sagsae.files"}),
        ("sagsae.train", graph.keys() - {"sagsae.train"}),
    ):
        assert {name for name in graph if _apart(name, module, graph)} == alone
    assert _apart("numpy", "sagsae.train", graph)
    assert not _apart("tests.conftest", "sagsae.train", graph)


def test_the_page_has_each_survivor_under_its_reason(tmp_path):
    reasons = tmp_path / "survivors.toml"
    reasons.write_text(
        '[[survivors]]\nmodule = "a.py"\nreason = "No one\\n sees it."\n'
        'mutants = [{where = "f", was = "x = 1", now = "x = 2"}]\n'
    )
    (survivor,) = found = read_reasons(reasons)
    assert survivor == Survivor("a.py", Key("f", "x = 1", "x = 2"))
    rows = [Row.of("a.py", ["killed", "survived", "timeout", "killed"])]
    text = page(rows, list(found.items()))
    assert "### a.py\n\nNo one sees it.\n\n- `f`: `x = 1` becomes `x = 2`" in text
    assert [line.split() for line in text.splitlines() if line.startswith("| a.py")] == [
        ["|", "a.py", "|", "4", "|", "2", "|", "1", "|", "1", "|", "75.0", "|"]
    ]
    reasons.write_text(reasons.read_text().replace("No one\\n sees it.", " "))
    with pytest.raises(ValueError, match=r"a survivor of a\.py has an empty reason"):
        read_reasons(reasons)


def test_a_module_is_not_apart_from_what_its_package_imports():
    """Importing `package.leaf` runs `package` first, which here imports what is to be mutated."""
    graph = {
        "sagsae": set(),
        "sagsae.package": {"sagsae.package.core"},
        "sagsae.package.core": set(),
        "sagsae.package.leaf": set(),
        "sagsae.other": set(),
    }
    assert not _apart("sagsae.package.leaf", "sagsae.package.core", graph)
    assert not _apart("sagsae.package.core", "sagsae.package.core", graph)
    assert _apart("sagsae.other", "sagsae.package.core", graph)
    assert _apart("numpy", "sagsae.package.core", graph)
    assert not _apart("tests.some", "sagsae.package.core", graph)
