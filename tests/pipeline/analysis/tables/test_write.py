"""Tables: every cell arrives, comparisons say what the metrics imply, faults are named."""

from __future__ import annotations

import pandas as pd
import pytest

from pipeline.analysis.csv_files import read_table
from pipeline.analysis.table import MEASURED, tables_from
from pipeline.study.metrics import MetricsError

GATED = "small/mlp_out/gated/w256_lam0.1_seed0"
TIED = "small/mlp_out/sagsae_tied/w128_lam0.1_seed0"


def test_cells_table_has_every_cell_once_sorted_at_full_precision(made_study):
    value = 0.1 + 0.2  # 17 digits
    made_study.change(GATED, r2=value)
    cells = read_table(made_study.tables() / "cells.csv")
    names = ["model", "hookpoint", "variant", "recipe", "width", "lam", "seed"]
    assert len(cells) == len(made_study.cells)
    assert list(cells.columns[:7]) == names
    assert cells[names].apply(tuple, axis=1).is_monotonic_increasing
    row = cells.query("model == 'small' and hookpoint == 'mlp_out' and variant == 'gated'")
    row = row.query("lam == 0.1 and seed == 0").iloc[0]
    assert row["r2"] == value
    assert (row["training_device"], row["made_from_store"]) == ("cpu", "12e3456789012345")


def test_points_are_means_over_seeds_with_standard_errors(made_study):
    points = pd.read_csv(made_study.tables() / "points.csv")
    assert len(points) == 2 * 2 * 2 * 3
    row = points.query("model == 'small' and hookpoint == 'resid' and lam == 0.1").iloc[0]
    assert row["seeds"] == 2
    assert row["l0"] == pytest.approx(40 * 1.005)
    assert row["l0_se"] == pytest.approx(0.2)
    assert points[["r2_se", "dead_fraction_se", "loss_recovered_se"]].notna().all(axis=None)


def test_comparison_finds_the_known_gaps_with_models_by_name(made_study):
    table = read_table(made_study.tables() / "comparison.csv")
    where = list(zip(table["model"], table["hookpoint"], strict=True))
    expected = [("large", "mlp_out"), ("large", "resid"), ("small", "mlp_out"), ("small", "resid")]
    assert where == expected
    assert table["dominates"].tolist() == [True, True, True, False]
    assert table["min_gap"].tolist() == pytest.approx([0.04, 0.03, 0.05, -0.02])
    assert table["mean_gap"].tolist() == pytest.approx([0.04, 0.03, 0.05, -0.02])
    assert table["p_dominance"].tolist() == [1, 1, 1, 0]
    assert table["overlap_lo"].tolist() == pytest.approx([20.1] * 4)
    assert table["candidate_width"].tolist() == [192, 192, 128, 128]
    assert table["dead_reduction"].tolist() == pytest.approx([24, 24, 16, 16])
    gap = table["l0_30_r2_candidate"] - table["l0_30_r2_baseline"]
    assert gap.tolist() == pytest.approx([0.04, 0.03, 0.05, -0.02])
    assert table["l0_900_r2_candidate"].isna().all()
    assert table["l0_900_reason"].str.contains("outside the overlap 20.1 to 80.4").all()


def test_a_collapsed_cell_is_named_and_takes_no_part(made_study):
    made_study.change(GATED, r2=-9.0, collapsed=["R2 below 0.2"])
    table = read_table(made_study.tables() / "comparison.csv")
    assert table["collapsed"].tolist() == ["", "", f"{GATED} (R2 below 0.2)", ""]
    assert (bool(table["dominates"][2]), table["max_gap"][2]) == (True, pytest.approx(0.05))
    latents = read_table(made_study.root / "tables" / "latents.csv")
    own = latents.query("model == 'small' and hookpoint == 'mlp_out' and variant == 'gated'")
    assert set(own.query("quantity == 'slope_positive_median'")["cells"]) == {5}  # of six


def test_a_side_that_the_grid_lacks_leaves_a_reason(made_study):
    made_study.keep(lambda path: "small/resid/gated" not in path)
    table = read_table(made_study.tables() / "comparison.csv")
    assert table["overlap_reason"].tolist()[3] == "the grid has no Gated, H = 256 here"
    assert pd.isna(table["dominates"][3])


def test_lambdas_without_dead_latents_are_left_out_and_said_to_be(made_study):
    for cell in made_study.cells:
        where = cell.split("/")
        if where[1] == "resid" or (where[0] == "small" and "_lam0.1_" in cell):
            made_study.change(cell, dead_fraction=0.0)
    out = made_study.tables()
    table = read_table(out / "comparison.csv")
    lambdas = len({cell.split("_lam")[1].split("_")[0] for cell in made_study.cells})
    assert table["dead_left_out"].tolist() == [0, lambdas, 1, lambdas]
    assert table["dead_reduction"].isna().tolist() == [False, True, False, True]
    assert table["dead_reduction"][2] == pytest.approx(16)
    assert table["dead_reason"][2].startswith(f"1 of {lambdas} lambdas left out: no dead latents")


def test_all_unusable_files_are_named_at_once_and_no_table_is_written(made_study):
    other = made_study.metrics_file(TIED).read_text()
    made_study.metrics_file(GATED).write_text(other)
    made_study.metrics_file(TIED).unlink()
    torn = made_study.cells[-1]
    made_study.metrics_file(torn).write_text('{"ce_zero": NaN}')
    extra = made_study.cells[-2]
    made_study.change(extra, surprise=1)
    with pytest.raises(MetricsError) as caught:
        made_study.tables()
    message = str(caught.value)
    assert f"{GATED}/metrics.json: metrics of another cell: the file says {TIED}" in message
    assert f"{TIED}/metrics.json: no such file" in message
    assert f"{torn}/metrics.json: not a JSON object" in message
    assert f"{extra}/metrics.json: 1 error(s)\n  surprise: unknown key" in message
    assert not (made_study.root / "tables").exists()


@pytest.mark.slow
def test_running_twice_writes_the_same_bytes_and_leaves_nothing_else(made_study):
    first = {path.name: path.read_bytes() for path in made_study.tables().iterdir()}
    second = {path.name: path.read_bytes() for path in made_study.tables().iterdir()}
    assert first == second
    own = [table.file for table in tables_from(MEASURED["cells"]) if table.when(made_study.scope)]
    assert set(first) == {*own, "cells.sha256"}
