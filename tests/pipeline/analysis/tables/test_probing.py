"""Tables of probing and absorption, from made-up results whose means are known."""

from __future__ import annotations

import math

import pytest

from pipeline.analysis.tables.probing import (
    NAMES,
    absorption_table,
    probed_cells,
    probing_table,
)
from pipeline.study.probe import ProbeRun
from pipeline.study.study import Study
from tests.helpers.made_looks import PROBE_KS, made_probe
from tests.helpers.made_studies import configuration


@pytest.fixture
def study(tmp_path) -> Study:
    asked = {"probe": {"models": ["small"], "hookpoints": ["attn", "resid"]}}
    return Study.from_dict(configuration(results=str(tmp_path)) | asked)


@pytest.fixture
def runs(study):
    return [made_probe(spec) for spec in study.looks["probe"].values()]


def test_a_row_for_each_cell_kind_and_number_of_sides(runs):
    table = probing_table(runs)
    cells = len(runs[0].cells)
    assert len(table) == 2 * cells * 3 * len(PROBE_KS)
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
        **{("all", k): 3 for k in PROBE_KS},
        **{("letter", k): 2 for k in PROBE_KS},
        **{("digit", k): 1 for k in PROBE_KS},
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


def test_a_probed_cell_is_known_to_have_collapsed(runs):
    probing = probing_table(runs)
    cells = probing[NAMES[:-1]].drop_duplicates()
    lost = (cells["variant"] == "gated") & (cells["lam"] == 0.05)
    cells = cells.assign(collapsed=lost.map({True: "R2 below 0.2", False: ""}))
    found = probed_cells(cells, probing, absorption_table(runs))
    assert len(found) == len(cells)
    fallen = found[found["collapsed"] != ""]
    assert set(zip(fallen["variant"], fallen["lam"], strict=True)) == {("gated", 0.05)}
