"""The border: what jobs left, as a few files, and what analysis reads of them."""

from __future__ import annotations

import json

import pytest

from pipeline.study.measures import Measures, gather
from pipeline.study.metrics import MetricsError
from pipeline.study.scope import Scope


def test_metrics_come_back_in_sorted_order(made_study):
    made_study.measure()
    found = Measures(made_study.root / "measures").metrics()
    assert list(found) == sorted(made_study.scope.grid)
    assert all(metrics.cell == cell for cell, metrics in found.items())
    assert {metrics.schema_version for metrics in found.values()} == {1}, "of files without one"


def test_a_missing_cell_and_a_torn_line_are_named(made_study):
    made_study.measure()
    file = made_study.root / "measures" / "cells.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[1:]))
    with pytest.raises(MetricsError, match=r"cells\.jsonl: 1 of 48 are missing, the first is"):
        Measures(file.parent).metrics()
    file.write_text(lines[0] + lines[1][:50])
    with pytest.raises(MetricsError, match=r"cells\.jsonl, line 2: Unterminated|line 2: Expecting"):
        Measures(file.parent).metrics()
    file.unlink()
    with pytest.raises(MetricsError, match="no such file: run snakemake"):
        Measures(file.parent).metrics()


def test_curves_are_those_of_the_cells_that_are_drawn(made_study, tmp_path):
    cell = made_study.scope.grid[0]
    made_study.curve(cell)
    scope = made_study.scope.model_copy(update={"curves": [cell.path]})
    gather(scope, made_study.root, tmp_path / "curves.parquet")
    found = Measures(tmp_path, scope).curves()
    assert set(found["cell"]) == {cell.path}
    assert found["reconstruction"].is_monotonic_decreasing
    assert Measures(tmp_path / "none", scope).curves().empty
    other = made_study.of_another(train="3" * 16).model_copy(update={"curves": [cell.path]})
    with pytest.raises(MetricsError, match="made for another configuration"):
        Measures(tmp_path, other).curves()


def test_words_for_readers_change_no_digest(made_study):
    scope = made_study.scope
    for name in ("note", "study"):
        assert scope.model_copy(update={name: "other"}).digest == scope.digest
    assert Scope.model_validate(made_study.spec | {"models": {"small": 64}}).digest != scope.digest


def test_an_edited_line_and_one_of_another_configuration_are_refused(made_study):
    made_study.measure()
    measures, cell = made_study.root / "measures", made_study.cells[0]
    other = made_study.of_another(train="3" * 16)
    with pytest.raises(MetricsError, match=f"{cell}: made for another configuration: train"):
        Measures(measures, other).check()
    file = measures / "cells.jsonl"
    text = file.read_text()
    for name, value in (("r2", 0.99), ("l0", 1.0)):
        first, *rest = text.splitlines()
        edited = json.dumps(json.loads(first) | {name: value})
        file.write_text("\n".join([edited, *rest, ""]))
        with pytest.raises(MetricsError, match=r"line 1: content does not match .* edited"):
            Measures(measures).check()
    file.write_text(text)
    Measures(measures).check()


def test_jobs_of_another_configuration_are_not_gathered_and_all_are_named(made_study):
    other = made_study.of_another(evaluate="3" * 16)
    out = made_study.root / "cells.jsonl"
    with pytest.raises(MetricsError, match="48 of 48 cannot be used") as refused:
        gather(other, made_study.root, out)
    assert all(cell in str(refused.value) for cell in made_study.cells)
    assert not out.exists()
