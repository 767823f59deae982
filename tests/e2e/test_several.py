"""A small study of two sources of text, two recipes and two pairs of widths, up to its report."""

from __future__ import annotations

import pytest

from pipeline.analysis.csv_files import read_table
from pipeline.jobs.json_files import read_json
from pipeline.study.study import Study
from tests.e2e.conftest import Finished, Workflow, workflow_of
from tests.pipeline.whole_study import CONFIG

pytestmark = pytest.mark.long

WIDTHS = ((8, 16), (16, 32))
TEXT_SOURCES = [
    {"name": "few", "source": {"kind": "random", "documents": 240, "words": 20}},
    {
        "name": "capped",
        "source": {"kind": "random", "documents": 1000, "words": 21},
        "max_characters": 64_000,
    },
]


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
        "text": {"sources": TEXT_SOURCES, "context_length": 16, "heldout_fraction": 0.5},
        "dump": CONFIG["dump"] | {"heldout_rows": 4096},
        "training": CONFIG["training"] | steps,
        "recipes": {"zero": {"training": {"b_dec_init": "zero"}}},
        "grid": grid,
        "claims": "sa_gsae",
        "comparisons": [item | {"matched_l0": [4]} for item in sides],
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Finished:
    folder = tmp_path_factory.mktemp("several")
    config = workflow_of(folder, configuration()).config
    done = Workflow(folder, config).run()
    assert done.returncode == 0, done.stdout
    return Finished(folder, config, study=Study.load(config), output=done.stdout)


def test_the_tables_have_every_setting(finished):
    study = finished.study
    effects, moves, matrix = (
        read_table(finished.path(study.table(name)))
        for name in ("effects.csv", "main_effects.csv", "claims_matrix.csv")
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


def test_shares_of_the_sources_are_the_same_from_the_text_to_the_tables(finished):
    study = finished.study
    documents = read_json(finished.path(study.documents))
    few, capped = documents["sources"]
    assert few["documents"] == 240
    assert 63_000 < capped["characters"] <= 64_000
    table = read_table(finished.path(study.table("sources.csv")))
    assert len(table) == 2 * len(study.cells)
    for part in (few, capped):
        rows = table[table["source"] == part["name"]]
        assert rows["share"].nunique() == rows["train_share"].nunique() == 1
        share = part["characters"] / (few["characters"] + capped["characters"])
        assert rows["share"].iloc[0] == pytest.approx(share, abs=0.1)
    assert table["r2"].notna().all()
    metrics = read_json(finished.path(study.metrics(study.cells[0])))
    parts = metrics["sources"].values()
    assert sum(part["rows"] for part in parts) == metrics["eval_tokens"]
    assert sum(part["ce_tokens"] for part in parts) == metrics["ce_tokens"]
    compared = read_table(finished.path(study.table("comparison_by_source.csv")))
    assert compared["source"].tolist() == ["capped", "few"] * 4


def test_nothing_is_left_to_do_and_nothing_is_at_fault(finished):
    assert finished.planned() == {}
    done = finished.run("verify")
    assert "no fault; sound: " in done.stdout
