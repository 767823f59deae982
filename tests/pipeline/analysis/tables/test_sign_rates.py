"""sign_rates.csv from made-up sweeps whose exchange of width is known."""

from __future__ import annotations

import itertools
import math
from dataclasses import asdict

import pandas as pd
import pytest

from pipeline.analysis.table import tables_of
from pipeline.analysis.tables.ranking import ranking_table
from pipeline.analysis.tables.sides import side_table, sign_rate_table
from pipeline.analysis.tables.sweeps import sweeps_in
from pipeline.study.cell import Cell
from pipeline.study.scope import Scope


def cells_of(paths: list[str]) -> dict[str, dict[str, dict[str, str]]]:
    """What a study's record says of some cells."""
    return {"cells": {path: {} for path in paths}}


D = 64
GRID = [("batchtopk", 1), ("batchtopk", 2), ("batchtopk", 4), ("absbatchtopk", 1)]


def rows(worth: float):
    """R2 rises by 0.01 a doubling; two sides do as well as ``worth`` times the width of one. The
    loss falls likewise. The last seed of the narrow one-sided cells collapsed."""
    for variant, multiple in GRID:
        two = variant == "absbatchtopk"
        for seed in range(3):
            doublings = math.log2(multiple * (worth if two else 1))
            lost = seed == 2 and not two and multiple == 1
            yield {
                "model": "small",
                "hookpoint": "resid",
                "variant": variant,
                "recipe": "",
                "width": multiple * D,
                "lam": None,
                "k": 64,
                "seed": seed,
                "l0": 64.0,
                "collapsed": "R2 below 0.2" if lost else "",
                "r2": -5.0 if lost else 0.7 + 0.01 * doublings + 0.0001 * (seed - 1),
                "loss_added": 0.3 - 0.1 * doublings,
            }


def table_of(worth: float) -> pd.DataFrame:
    cells = pd.DataFrame(rows(worth)).astype({"lam": float})
    paths = [
        f"small/resid/{variant}/w{multiple * D}_k64_seed{seed}"
        for variant, multiple in GRID
        for seed in range(3)
    ]
    scope = Scope(
        made_for=cells_of(paths), comparisons=[], models={"small": D}, hookpoints=["resid"]
    )
    assert scope.has_sign_rates
    return sign_rate_table(sweeps_in(cells), {}, scope).set_index("measure")


def test_a_rate_is_the_width_ratio_at_equal_value():
    table = table_of(2**1.5)
    assert table.loc[["r2", "loss_added"], "rate"].tolist() == pytest.approx([2**1.5] * 2, rel=0.02)
    assert table["bound"].eq("").all()
    row = table.loc["r2"]
    assert row["rate_low"] < row["rate"] < row["rate_high"]
    assert (row["seeds"], row["multiple"], row["widths"]) == (2, 1.0, "64 128 256")
    assert row["difference"] == pytest.approx(0.015, abs=1e-3)


def test_more_than_the_widths_that_were_trained_is_a_bound():
    row = table_of(8).loc["r2"]
    assert (row["rate"], row["bound"]) == (4.0, "above")
    assert pd.isna(row["rate_high"])


def test_sides_have_intervals_of_seeds_and_p_adjusted_over_families():
    """Two sides of BatchTopK are ahead by 0.006 at six pairs, with seeds 0.002 apart; TopK has one
    seed."""
    seeds = {"batchtopk": 2, "absbatchtopk": 2, "topk": 1, "abstopk": 1}
    cells = [
        Cell(model=model, hookpoint=hookpoint, variant=variant, width=width, seed=seed, k=64)
        for model, hookpoint in itertools.product(("a", "b"), ("mlp_out", "attn", "resid"))
        for variant in seeds
        for width in [D if "abs" in variant else 2 * D]
        for seed in range(seeds[variant])
    ]
    frame = pd.DataFrame(
        asdict(cell)
        | {"l0": 64.0, "collapsed": "", "loss_recovered": 0.5, "dead_fraction": 0.0}
        | {"r2": 0.7 + 0.006 * ("abs" in cell.variant) + 0.002 * cell.seed}
        for cell in cells
    ).astype({"lam": float})
    scope = Scope(
        made_for=cells_of([cell.path for cell in cells]),
        comparisons=[],
        models={"a": D, "b": D},
        hookpoints=["mlp_out", "attn", "resid"],
    )
    sweeps = sweeps_in(frame)
    table = side_table(sweeps, {key: key.variant for key in sweeps}, scope)
    over = table[table["model"] == ""].set_index("family")
    assert over["positive"].to_dict() == {"topk": 6, "batchtopk": 6}
    row, pair = over.loc["batchtopk"], table[table["family"] == "batchtopk"].iloc[0]
    for one in (row, pair):
        assert one["r2_difference_low"] < one["r2_difference"] < one["r2_difference_high"]
    # Two seeds a side: Student's t with 2 degrees of freedom, with 12 over the six pairs.
    error = 0.002 * 0.5**0.5
    assert pair["r2_difference_high"] == pytest.approx(0.006 + 4.302653 * error)
    assert row["r2_difference_low"] == pytest.approx(0.006 - 2.178813 * error / 6**0.5)
    ends = ["r2_difference_low", "r2_difference_high"]
    assert table.loc[table["family"] == "topk", ends].isna().all(axis=None)


def names_of(scope: Scope) -> list[str]:
    return [table.name for table in tables_of(scope)]


def test_one_family_has_rates_where_signs_are_asked_for_and_one_width_none():
    paths = [f"small/resid/{name}_k64_seed0" for name in ("batchtopk/w64", "batchtopk/w128")]
    made_for = cells_of([*paths, "small/resid/absbatchtopk/w64_k64_seed0"])
    study = {"made_for": made_for, "comparisons": []}
    study |= {"models": {"small": D}, "hookpoints": ["resid"]}
    assert "sign_rates" not in names_of(Scope.model_validate(study))
    signs = study | {"made_for": made_for | {"signs": {"small/resid": {}}}}
    assert "sign_rates" in names_of(Scope.model_validate(signs))
    narrow = cells_of(["small/resid/batchtopk/w64_k64_seed0", *list(made_for["cells"])[2:]])
    assert not Scope.model_validate(study | {"made_for": narrow}).has_sign_rates


def test_a_hookpoint_without_cells_has_no_ranks():
    cells = pd.DataFrame(rows(2.0)).astype({"lam": float})
    sweeps = sweeps_in(cells.assign(loss_recovered=0.9, dead_fraction=0.0))
    paths = [f"small/resid/{variant}/w{multiple * D}_k64_seed0" for variant, multiple in GRID]
    hookpoints = ["resid", "mlp_out"]
    scope = Scope(
        made_for=cells_of(paths), comparisons=[], models={"small": D}, hookpoints=hookpoints
    )
    assert scope.trained == {"": [("small", "resid")]}
    ranks = ranking_table(sweeps, {key: key.variant for key in sweeps}, {}, scope)
    assert set(ranks["hookpoint"]) == {"resid"}
