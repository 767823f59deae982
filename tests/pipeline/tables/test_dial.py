"""Tables of steering, from made-up results whose scores are known."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from pipeline.__main__ import main
from pipeline.study.dial_runs import LATENT, PAIR, RANDOM
from pipeline.study.study import Study
from pipeline.tables.dial import dial_table
from pipeline.tables.dial_text import READS, dial_grid
from pipeline.text.csv_files import read_table
from tests.pipeline.made_dial import CHANCE, DIAL, direction, made_run, make_dials
from tests.pipeline.made_grid import configuration


@pytest.fixture
def study(tmp_path) -> Study:
    asked = {"dial": {"models": ["small"], "hookpoints": ["attn", "resid"]}}
    return Study.from_dict(configuration(results=str(tmp_path)) | asked)


@pytest.fixture
def runs(study):
    return [made_run(spec) for spec in study.dials.values()]


def test_every_direction_has_a_row_with_its_score(runs):
    table = dial_table(runs)
    assert len(table) == 2 * 6
    assert table["kind"].tolist() == [LATENT, LATENT, PAIR, RANDOM, RANDOM, RANDOM] * 2
    assert table["hookpoint"].tolist() == ["attn"] * 6 + ["resid"] * 6
    first, pair, drawn = (table.iloc[i] for i in (0, 2, 3))
    assert (first["monotone"], first["symmetry"], first["gain"]) == (1, 0.75, 3.5)
    assert (first["times_random"], first["dial"]) == (3.5, True)
    assert (first["effect_minus"], first["effect_plus"], first["size"]) == (-3, 4, 1)
    assert (first["kl_minus"], first["kl_plus"]) == (3 / 8, 4 / 8)
    assert (first["variant"], first["width"], first["l0"]) == ("sagsae_tied", 128, 60)
    assert (first["latent_plus"], first["latent_minus"]) == (11, 11)
    assert (first["own_size_plus"], first["own_size_minus"]) == (0.25, 0.125)
    assert (pair["variant"], pair["latent_plus"], pair["latent_minus"]) == ("gated", 21, 31)
    assert (pair["monotone"], pair["symmetry"], pair["dial"]) == (1, 0.1, False)
    assert pair["cosine"] == -0.8
    assert (drawn["times_random"], drawn["dial"]) == (1, False)
    assert drawn[["latent_plus", "cosine", "contribution", "width"]].isna().all()
    assert json.loads(first["promoted_plus"]) == [" good", "|", "好"]


@pytest.mark.parametrize(
    ("gains", "times"), [((1, 2, 9), 1.75), ((1, 3), 1.75), ((-1, 0, 0), math.nan)]
)
def test_chance_is_the_median_of_the_random_directions_of_the_job(study, gains, times):
    spec = next(iter(study.dials.values()))
    drawn = [direction(RANDOM, i, [x * gain for x in CHANCE]) for i, gain in enumerate(gains, 1)]
    found = dial_table([made_run(spec, direction(LATENT, 1, DIAL), *drawn)])
    assert found["times_random"].iloc[0] == pytest.approx(times, nan_ok=True)
    assert not found["dial"].iloc[0]


def written(study: Study) -> Path:
    files = make_dials(study)
    out = Path(study.table("dial.csv"))
    out.parent.mkdir()
    spec = json.dumps(study.comparison_spec())
    main(["dial-tables", "--spec", spec, "--runs", *map(str, files), "--out", str(out)])
    return out


def test_the_stage_writes_what_the_study_says(study, runs):
    out = written(study)
    assert {path.name for path in out.parent.iterdir()} == set(study.dial_tables)
    table = read_table(out)
    assert table["dial"].dtype == bool
    assert table["promoted_plus"].equals(dial_table(runs)["promoted_plus"])
    assert (table.loc[table["kind"] == RANDOM, "variant"] == "").all()
    assert "12,12,," in out.read_text()  # whole numbers stay whole
    page = out.with_suffix(".md").read_text()
    assert READS in page
    assert "0.5 times as far" in page
    assert "2 times that of the median random direction" in page
    tex = out.with_suffix(".tex").read_text()
    assert tex.count(r"\begin{table}") == 2
    assert not {"α", "±", "好"} & set(tex)


def test_places_are_summed_up_by_kind(study):
    grid = dial_grid(read_table(written(study)), several=False)
    rows = [dict(zip(grid.columns, row, strict=True)) for row in grid.rows]
    assert [row["Along"] for row in rows] == [
        "SA-GSAE tied, one latent",
        "Gated, opposite pair",
        "random direction",
    ] * 2
    assert [row["Dials"] for row in rows[:3]] == ["2 of 2", "0 of 1", "0 of 3"]
    assert [row["Rise at every step"] for row in rows[:3]] == ["2 of 2", "1 of 1", "3 of 3"]
    assert [row["Over random"] for row in rows[:3]] == ["3.5x", "2.2x", "1x"]
    assert rows[0]["KL at α = -1"] == "0.375"
    assert "Recipe" not in grid.columns
    assert "Recipe" in dial_grid(read_table(Path(study.table("dial.csv"))), several=True).columns
