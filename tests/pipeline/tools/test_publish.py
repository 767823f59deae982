"""What a published study must have."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy
import pytest

from pipeline.jobs.json_files import read_json
from pipeline.study.metrics import MetricsError
from pipeline.study.outputs import CURVES, MEASURES
from pipeline.study.study import Study
from pipeline.tools.publish import main, publish, readme

REFERENCE = Path(__file__).resolve().parents[3] / "results/reference"


@pytest.fixture
def finished(made_study):
    """A study with curves that figures draw, tables and claims."""
    cell = made_study.scope.grid[0]
    made_study.curve(cell)
    made_study.spec["curves"] = [cell.path]
    made_study.tables()
    made_study.make("claims")
    return made_study


def test_all_that_a_rebuild_needs_is_published(finished, tmp_path):
    out = tmp_path / "published"
    publish(finished.root, out, finished.scope, [])
    names = {path.relative_to(out).as_posix() for path in out.rglob("*.*")}
    assert {"measures/study.json", "measures/cells.jsonl", f"{MEASURES}/{CURVES}"} < names
    assert {"tables/cells.csv", "tables/claims.md"} < names
    assert "tables/calibration.csv" not in names


def test_measures_of_another_configuration_are_not_published(finished, tmp_path):
    other = finished.of_another(train="3" * 16)
    with pytest.raises(MetricsError, match="made for another configuration"):
        publish(finished.root, tmp_path / "published", other, [])
    assert not (tmp_path / "published").exists()


def test_tables_without_their_digests_are_not_published(finished, tmp_path):
    (finished.root / "tables" / "cells.sha256").unlink()
    with pytest.raises(ValueError, match="tables of cells are missing"):
        publish(finished.root, tmp_path / "published", finished.scope, [])
    assert not (tmp_path / "published").exists()


@pytest.mark.parametrize("gone", [f"{MEASURES}/{CURVES}", "tables/points.csv"])
def test_nothing_is_written_where_something_is_missing(finished, tmp_path, gone):
    (finished.root / gone).unlink()
    with pytest.raises((ValueError, OSError), match=gone.rpartition("/")[2]):
        publish(finished.root, tmp_path / "published", finished.scope, [])
    assert not (tmp_path / "published").exists()


def test_an_edited_table_is_not_published(finished, tmp_path):
    table = finished.root / "tables" / "points.csv"
    table.write_text(table.read_text().replace("0.3", "0.9", 1))
    with pytest.raises(ValueError, match="tables of cells are missing, were edited"):
        publish(finished.root, tmp_path / "published", finished.scope, [])
    assert not (tmp_path / "published").exists()


def test_a_published_study_names_its_folder_from_the_checkout(made_study, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for out in (Path("results/mine"), tmp_path / "results/mine"):
        assert "FROM=results/mine TO=FOLDER" in readme(made_study.scope, out, 1.0, {})
    for page in REFERENCE.glob("*/README.md"):
        assert f"FROM=results/reference/{page.parent.name} TO=FOLDER" in page.read_text()


def test_versions_are_those_that_cells_were_made_with(finished, tmp_path, monkeypatch, capsys):
    """Not those that are installed where the study is published; all of them where they differ."""
    cells, one = finished.cells, {"torch": "1.0", "sagsae": "0.0.7"}
    for number, cell in enumerate(cells):
        made_from = read_json(finished.metrics_file(cell))["made_from"]
        other = one | {"torch": "2.0"} if number == 0 else one
        known = {"trained_with": other, "evaluated_with": one | {"transformers": "4.4"}}
        finished.change(cell, made_from=made_from | known)
    finished.tables()
    finished.make("claims")
    config = SimpleNamespace(model_dump=dict)
    study = SimpleNamespace(root=finished.root, scope=finished.scope, config=config)
    monkeypatch.setattr(Study, "load", lambda *arguments: study)
    out = tmp_path / "published"
    main(Path("any.yaml"), out)
    versions = read_json(out / "environment.json")["versions"]
    torch = f"1.0 ({len(cells)} of {len(cells)} cells) and 2.0 (1 of {len(cells)} cells)"
    assert versions.items() >= {"torch": torch, "sagsae": "0.0.7", "transformers": "4.4"}.items()
    assert versions["numpy"] == numpy.__version__
    assert f"torch {torch}" in (out / "README.md").read_text()
    assert torch in capsys.readouterr().err
