"""Tables of consistency and of poles, from made-up results."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.analysis.csv_files import main, read_table
from pipeline.analysis.page import parts_of
from pipeline.analysis.table import MEASURED, tables_from, tables_of
from pipeline.analysis.tables.signs import POLES, consistency_table, poles_table, starts_table
from pipeline.jobs.json_files import write_json
from pipeline.study.measures import gather
from pipeline.study.study import Study
from tests.helpers.made_looks import made_signs, make_looks
from tests.helpers.made_studies import configuration

KEYS = ["variant", "width", "lam"]


@pytest.fixture
def spec():
    asked = {"models": ["small"], "hookpoints": ["attn"]}
    (found,) = Study.from_dict(configuration(signs=asked)).looks["signs"].values()
    return found


def test_a_row_for_each_point_that_has_several_seeds(spec):
    lost = {cell for cell in spec.cells if cell.lam == 0.1 and cell.seed == 1}
    lost |= {cell for cell in spec.cells if (cell.variant, cell.lam) == ("gated", 0.2)}
    table = consistency_table([made_signs(spec, lost)]).set_index(KEYS)
    assert set(table.index.droplevel("lam")) == {("sagsae_tied", 128), ("gated", 256)}
    assert len(table) == 2 * 3
    whole, part, none = (table.loc["gated", 256, lam] for lam in (0.05, 0.1, 0.2))
    assert (whole["seeds"], whole["greedy"], whole["assigned"]) == (3, 0.75, 0.5)
    assert (whole["found"], whole["l0"], whole["collapsed"]) == (0.25, 65, "")
    assert (part["seeds"], part["l0"], part["collapsed"]) == (2, 65, "seed 1")
    assert (none["seeds"], none["collapsed"]) == (0, "seed 0, seed 1, seed 2")
    assert none[["greedy", "assigned", "found", "l0"]].isna().all()


def test_a_row_for_each_two_sided_cell_with_a_one_sided_form(spec):
    table = poles_table([made_signs(spec)]).set_index([*KEYS, "seed"])
    assert len(table) == 3 * (3 + 3)  # three other two-sided variants have one seed
    row = table.loc["sagsae_tied", 128, 0.05, 2]
    assert row[["live", "two_sided", "two_sided_share", "latents"]].tolist() == [64, 16, 0.25, 4]
    assert row[["both", "one", "neither"]].tolist() == [1, 2, 1]
    assert row[["both_share", "one_share", "neither_share"]].tolist() == [0.25, 0.5, 0.25]
    assert row[["along", "stronger", "weaker"]].tolist() == [2, 0.8, 0.4]
    assert (row["one_sided_variant"], row["one_sided_lam"]) == ("gated", 0.05)
    assert row[["one_sided_live", "one_sided_opposite", "one_sided_alike"]].tolist() == [128, 3, 1]


def test_a_row_for_each_sound_cell_says_where_its_dead_latents_began(spec):
    lost = frozenset(spec.cells[:1])
    table = starts_table([made_signs(spec, lost)])
    assert len(table) == len(spec.cells) - 1
    assert set(table["dead"]) == {0.5}
    assert table[["dead_against", "dead_along"]].drop_duplicates().values.tolist() == [[0.75, 0.25]]


@pytest.mark.parametrize("seeds", [[0, 1], [0]])
def test_pages_show_them_and_what_is_empty_is_no_fault(tmp_path, seeds):
    grid = [
        {"variant": "batchtopk", "expansion": 4, "ks": [32], "seeds": seeds},
        {"variant": "absbatchtopk", "expansion": 2, "ks": [16, 32], "seeds": seeds},
    ]
    asked = {"grid": grid, "comparisons": [], "hookpoints": ["attn"], "signs": {}}
    study = Study.from_dict(configuration(results=str(tmp_path), **asked))
    make_looks(study, "signs")
    measures = tmp_path / "measures"
    gather(study.scope, Path(study.root), measures / "signs.jsonl")
    write_json(measures / "study.json", study.scope.model_dump())
    main(measures, tmp_path, "signs")
    declared = tables_from(MEASURED["signs"])
    tables = {table: read_table(tmp_path / table.path) for table in declared}
    assert set(declared) < set(tables_of(study.scope))
    n = len(seeds)
    assert [len(table) for table in tables.values()] == [2 * 3 * (n - 1), 4 * (n - 1), 2 * 3 * n]
    if len(tables[POLES]):
        assert set(tables[POLES]["k"]) == {32}
    for name, table in tables.items():
        _, *grids = parts_of(name, table, study.scope)
        assert len(grids) == (2 if len(table) else 0)
        for shown in grids:
            assert {"k", "L0", "Variant"} <= set(shown.texts)
