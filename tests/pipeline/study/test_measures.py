"""The border: what jobs left, as a few files, and what analysis reads of them."""

from __future__ import annotations

import pytest

from pipeline.study.measures import Measures, gather
from pipeline.study.metrics import MetricsError
from pipeline.study.scope import Scope
from tests.pipeline.made_curves import make_curve


def test_metrics_come_back_in_sorted_order(made_study):
    made_study.measure()
    found = Measures(made_study.root / "measures").metrics(made_study.scope)
    assert list(found) == sorted(made_study.scope.grid)
    assert all(metrics.cell == cell for cell, metrics in found.items())
    assert {metrics.schema_version for metrics in found.values()} == {1}, "of files without one"


def test_a_missing_cell_and_a_torn_line_are_named(made_study):
    made_study.measure()
    file = made_study.root / "measures" / "cells.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[1:]))
    with pytest.raises(MetricsError, match=r"cells\.jsonl: 1 cells are missing, the first is"):
        Measures(file.parent).metrics(made_study.scope)
    file.write_text(lines[0] + lines[1][:50])
    with pytest.raises(MetricsError, match=r"cells\.jsonl, line 2: no JSON"):
        Measures(file.parent).metrics(made_study.scope)
    file.write_text(lines[0].replace('"r2":', '"r3":'))
    with pytest.raises(MetricsError, match=r"cells\.jsonl, line 1: 2 error"):
        Measures(file.parent).metrics(made_study.scope)
    file.unlink()
    with pytest.raises(MetricsError, match="no such file: run `snakemake"):
        Measures(file.parent).metrics(made_study.scope)


def test_curves_are_those_of_the_cells_that_are_drawn(made_study, tmp_path):
    cell = made_study.scope.grid[0]
    make_curve(made_study.root / "cells", cell)
    scope = made_study.scope.model_copy(update={"curves": [cell.path]})
    gather(scope, made_study.root, tmp_path / "curves.parquet")
    found = Measures(tmp_path).curves()
    assert set(found["cell"]) == {cell.path}
    assert found["reconstruction"].is_monotonic_decreasing
    assert Measures(tmp_path / "none").curves().empty


def test_words_for_readers_change_no_digest(made_study):
    scope = made_study.scope
    for name in ("note", "study"):
        assert scope.model_copy(update={name: "other"}).digest == scope.digest
    assert Scope.model_validate(made_study.spec | {"models": {"small": 64}}).digest != scope.digest
