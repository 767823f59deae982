"""Tables of probing and absorption, from made-up results whose means are known."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from pipeline.__main__ import main
from pipeline.study.comparison_spec import ComparisonSpec
from pipeline.study.probe_runs import ProbeRun
from pipeline.study.study import Study
from pipeline.tables.probing import absorption_table, probing_table
from pipeline.tables.probing_text import READS, probing_grid
from pipeline.text.csv_files import read_table
from pipeline.text.numbers import BLANK
from tests.pipeline.made_grid import configuration
from tests.pipeline.made_probes import KS, made_run, make_probes


@pytest.fixture
def study(tmp_path) -> Study:
    asked = {"probe": {"models": ["small"], "hookpoints": ["attn", "resid"]}}
    return Study.from_dict(configuration(results=str(tmp_path)) | asked)


@pytest.fixture
def runs(study):
    return [made_run(spec) for spec in study.probes.values()]


@pytest.fixture
def spec(study) -> ComparisonSpec:
    return ComparisonSpec.model_validate(study.comparison_spec())


def test_a_row_for_each_cell_kind_and_number_of_sides(runs):
    table = probing_table(runs)
    cells = len(runs[0].cells)
    assert len(table) == 2 * cells * 3 * len(KS)
    assert table["kind"].unique().tolist() == ["all", "letter", "digit"]
    one = table[
        (table["variant"] == "sagsae_tied") & (table["lam"] == 0.1) & (table["width"] == 128)
    ]
    one = one[one["hookpoint"] == "resid"].set_index(["kind", "k"])
    base = 0.6 + 0.02 * math.log(80)
    assert one.loc[("letter", 1), "accuracy"] == pytest.approx(base)
    assert one.loc[("digit", 5), "accuracy"] == pytest.approx(base + 0.25)
    assert one.loc[("all", 1), "accuracy"] == pytest.approx(base + 0.05 / 3)
    assert one["labels"].to_dict() == {
        **{("all", k): 3 for k in KS},
        **{("letter", k): 2 for k in KS},
        **{("digit", k): 1 for k in KS},
    }
    assert one["latents"].unique().tolist() == [1, 4]
    assert one.loc[("all", 5), "neurons"] == pytest.approx(0.7)
    assert one.loc[("letter", 5), "dense"] == pytest.approx(0.85)
    assert (one["live_sides"].unique(), one["live_latents"].unique()) == ([20], [12])


def test_absorption_is_over_the_letters_that_were_judged(runs):
    table = absorption_table(runs)
    assert len(table) == 2 * len(runs[0].cells)
    one = table[(table["variant"] == "gated") & (table["lam"] == 0.05)].iloc[0]
    assert (one["labels"], one["rows"], one["main"], one["full"]) == (1, 40, 2, 0.125)
    assert one["fraction"] == 1 / 160
    run = runs[0].model_dump()
    for label in run["cells"][0]["labels"]:
        label["absorption"] = None
    none = absorption_table([ProbeRun.model_validate(run)]).iloc[0]
    assert (none["labels"], none["rows"]) == (0, 0)
    assert none[["fraction", "full", "main"]].isna().all()


def test_values_are_read_off_at_the_matched_l0(runs, spec):
    grid = probing_grid(probing_table(runs), absorption_table(runs), spec)
    assert grid.title == "Sparse probing and absorption at L0 = 64"
    assert grid.columns[3:] == (
        *("Accuracy, k = 1", "Accuracy, k = 5", "Latents, k = 5"),
        *("Absorption, fraction", "Absorption, full"),
    )
    here = {row[2]: row[3:] for row in grid.rows if row[:2] == ("small", "resid")}
    at = 0.5 + 0.02 * math.log(64) + 0.05 / 3
    assert here["Gated, H = 256"][:3] == (f"{at:.3f}", f"{at + 0.2:.3f}", "5.000")
    assert here["SA-GSAE tied, H = 128"][:3] == (f"{at + 0.1:.3f}", f"{at + 0.3:.3f}", "4.000")
    between = math.log(64 / 40) / math.log(2)  # of the points at 40 and 80
    fraction = (1 - between) / 40 + between / 80
    assert here["Gated, H = 256"][3:] == (f"{fraction:.3f}", "0.125")
    assert here["k coordinates of the activation"] == ("0.600", "0.700", BLANK, BLANK, BLANK)
    assert here["the whole activation"][:2] == ("0.900", "0.900")


def test_the_stage_writes_what_the_study_says(study, runs):
    files = make_probes(study)
    out = Path(study.table("probing.csv"))
    out.parent.mkdir()
    spec = json.dumps(study.comparison_spec())
    main(["probe-tables", "--spec", spec, "--runs", *map(str, files), "--out", str(out)])
    assert {path.name for path in out.parent.iterdir()} == set(study.probe_tables)
    assert len(read_table(out)) == len(probing_table(runs))
    assert (read_table(out)["recipe"] == "").all()
    page = out.with_suffix(".md").read_text()
    assert READS in page
    assert "at L0 = 64" in page
    assert out.with_suffix(".tex").read_text().count(r"\begin{table}") == 2
