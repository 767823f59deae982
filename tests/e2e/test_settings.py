"""A small study with two recipes and two pairs of widths, from its cells to the report and back."""

from __future__ import annotations

from filecmp import cmpfiles

import pytest
import yaml

from pipeline.report.publish import publish
from pipeline.study.outputs import CLAIMS_MATRIX, EFFECTS, MAIN_EFFECTS
from pipeline.study.study import Study
from pipeline.text.csv_files import read_table
from tests.e2e.conftest import Finished, Workflow
from tests.pipeline.whole_study import CONFIG

WIDTHS = ((8, 16), (16, 32))


def configuration():
    """Sixteen cells: two variants, two pairs of widths, two lambdas, b_dec at the mean and zero."""
    sides = [
        {"candidate": {"variant": "sagsae_tied", "width": half}}
        | {"baseline": {"variant": "gated", "width": full}}
        for half, full in WIDTHS
    ]
    grid = [
        side | {"lambdas": [0.02, 0.5], "recipes": ["default", "zero"]}
        for item in sides
        for side in item.values()
    ]
    steps = {
        "tokens": 12800,
        "learning_rate": 0.01,
        "lr_warmup_steps": 5,
        "lambda_warmup_steps": 10,
    }
    return CONFIG | {
        "hookpoints": ["resid"],
        "training": CONFIG["training"] | steps,
        "recipes": {"zero": {"training": {"b_dec_init": "zero"}}},
        "grid": grid,
        "comparisons": [item | {"matched_l0": [4]} for item in sides],
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Finished:
    folder = tmp_path_factory.mktemp("settings")
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(configuration()))
    done = Workflow(folder, config).run()
    assert done.returncode == 0, done.stdout
    return Finished(folder, config, study=Study.load(config), output=done.stdout)


def test_the_tables_have_every_setting(finished):
    study = finished.study
    effects, moves, matrix = (
        read_table(finished.path(study.table(name)))
        for name in (EFFECTS, MAIN_EFFECTS, CLAIMS_MATRIX)
    )
    found = effects[["recipe", "widths", "level_b_dec_init", "level_width"]]
    assert found.to_numpy().tolist() == [
        ["", "8 vs 16", "mean", "8 vs 16"],
        ["", "16 vs 32", "mean", "16 vs 32"],
        ["zero", "8 vs 16", "zero", "8 vs 16"],
        ["zero", "16 vs 32", "zero", "16 vs 32"],
    ]
    comparison = read_table(finished.path(study.table("comparison.csv")))
    order = comparison.sort_values(["recipe", "comparison"], kind="stable")
    assert effects["mean_gap"].notna().all()
    assert effects["mean_gap"].tolist() == order["mean_gap"].tolist()
    assert set(moves["factor"]) == {"variant", "b_dec_init", "width"}
    assert matrix.groupby("claim", sort=False).size().eq(4).all()


def test_the_report_sets_them_side_by_side(finished):
    page = finished.path(finished.study.report).read_text(encoding="utf-8")
    assert "What the claims hang on" in page
    assert page.count("under every setting.</b>") == 3


def test_nothing_is_left_to_do_and_nothing_is_at_fault(finished):
    assert finished.planned() == {}
    done = finished.run("verify")
    assert "no fault; 16 of 16 cells finished" in done.stdout


def test_the_published_study_follows_from_its_metrics(finished, tmp_path):
    """Publishing makes everything again from the metrics, and refuses what is not the same."""
    study, kept = finished.study, tmp_path / "kept"
    publish(study, kept, finished.folder)
    names = [f"tables/{name}" for name in study.tables + study.claim_tables]
    names += [f"figures/{name}.{end}" for name in study.figures for end in ("png", "svg", "csv")]
    assert cmpfiles(kept, finished.folder / study.root, names, shallow=False) == (names, [], [])


def test_one_recipe_and_one_pair_of_widths_have_none_of_this(finished):
    raw = configuration()
    raw["grid"] = [{**side, "recipes": ["default"]} for side in raw["grid"][:2]]
    raw["comparisons"] = raw["comparisons"][:1]
    config = finished.folder / "one.yaml"
    config.write_text(yaml.safe_dump(raw))
    one = Workflow(finished.folder, config)
    planned = one.planned()
    assert "cell" not in planned
    assert planned["make_tables"] == 1
    assert planned["draw_figure"] == 4
    study = Study.load(config)
    assert not {EFFECTS, MAIN_EFFECTS, CLAIMS_MATRIX} & {*study.tables, *study.claim_tables}
