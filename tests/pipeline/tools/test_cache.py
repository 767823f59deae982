"""The cache that studies share: what is there, who uses it, what goes, and what is never taken."""

from __future__ import annotations

import builtins
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.__main__ import main
from pipeline.jobs.cache import register
from pipeline.jobs.stage import run_stage
from pipeline.study.study import Study
from pipeline.tools.cache import entries
from sagsae.files import FileLock
from tests.helpers.real_study import WholeStudy, configuration, make_whole_study

Answer = Callable[[str], None]


@pytest.fixture(scope="module")
def _made(tmp_path_factory: pytest.TempPathFactory) -> WholeStudy:
    return make_whole_study(tmp_path_factory.mktemp("made"))


@pytest.fixture
def whole(_made: WholeStudy, tmp_path: Path) -> WholeStudy:
    """A finished study, registered, with a cache beside its results."""
    shutil.copytree(_made.root, tmp_path / "results/small")
    (tmp_path / "results/small/cache").rename(tmp_path / "cache")
    moved = {"results": str(tmp_path / "results"), "cache": str(tmp_path / "cache")}
    found = WholeStudy(Study.from_dict(configuration(tmp_path) | moved))
    for record in found.root.glob("*/**/*.json"):  # they name the cache where it was made
        if record.parent.name in ("tokens", "manifests", "baselines", "m", "text"):
            record.unlink()
    found.make_all_but_cells()  # what stages find in the cache, they make again in no time
    register(found.cache, found.root)
    return found


def second(whole: WholeStudy, **dump: object) -> WholeStudy:
    """Another study on the same model, text and layer."""
    raw = configuration(whole.root)
    raw |= {"study": "second", "results": str(whole.root.parent), "cache": str(whole.cache)}
    raw["dump"] = raw["dump"] | dump
    made = WholeStudy(Study.from_dict(raw))
    register(made.cache, made.root)
    return made


def tool(*arguments: object) -> int:
    try:
        run_stage(lambda: main(["cache", *map(str, arguments)]))
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Answer:
    """What the person at the prompt types."""
    return lambda text: monkeypatch.setattr(builtins, "input", lambda question: text)


def test_what_is_there_and_who_uses_it(whole, capsys):
    second(whole).make_all_but_cells()
    assert tool("list", "--cache", whole.cache) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[0] for line in lines] == [
        *("models", "texts", "tokens", "tokens", "stores", "stores", "baselines")
    ]
    assert all(line.endswith("second, small") for line in lines)


def test_prune_takes_what_no_study_uses_after_a_question(whole, answer, capsys):
    answer("y")
    assert tool("prune", "--cache", whole.cache) == 0
    assert "a study uses each entry" in capsys.readouterr().out
    shutil.rmtree(whole.root)
    answer("")
    tool("prune", "--cache", whole.cache)
    assert "nothing deleted" in capsys.readouterr().out
    assert len(list(entries(whole.cache))) == 7
    answer("y")
    tool("prune", "--cache", whole.cache)
    assert capsys.readouterr().out.count(": deleted") == 7
    assert list(entries(whole.cache)) == []
    assert tool("list", "--cache", whole.cache) == 0
    assert "the cache is empty" in capsys.readouterr().out


def test_prune_keeps_what_a_job_holds(whole, capsys):
    shutil.rmtree(whole.root)
    found = {item.entry.kind: item for item in entries(whole.cache)}
    used, made = found["models"], found["texts"]
    dump = FileLock(whole.stores("train") / ".lock")
    dump.acquire()
    with used.entry.used(), made.entry.making():
        assert tool("prune", "--yes", "--cache", whole.cache) == 0
    dump.release()
    said = capsys.readouterr().out
    assert said.count(": kept, ") == 3
    assert said.count(": deleted") == 4
    assert used.folder.is_dir()
    assert made.folder.is_dir()
    assert whole.stores("train").is_dir()
