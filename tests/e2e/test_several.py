"""A small study of two sources of text, two recipes and two pairs of widths, up to its report."""

from __future__ import annotations

import pytest

from pipeline.analysis.csv_files import read_table
from pipeline.jobs.json_files import read_json
from pipeline.study.study import Study
from tests.helpers.real_study import CONFIG
from tests.helpers.workflow import workflow_of

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


def test_all_settings_and_sources_reach_the_tables_and_nothing_is_left_to_do(tmp_path):
    workflow = workflow_of(tmp_path, configuration())
    done = workflow.run()
    assert done.returncode == 0, done.stdout
    study = Study.load(workflow.config)
    tables = {
        name: read_table(tmp_path / study.table(f"{name}.csv"))
        for name in ("effects", "main_effects", "claims_matrix", "sources", "comparison_by_source")
    }
    settings = [(recipe, pair) for recipe in ("", "zero") for pair in ("8 vs 16", "16 vs 32")]
    effects = tables["effects"]
    assert list(zip(effects["recipe"], effects["widths"], strict=True)) == settings
    assert effects["mean_gap"].notna().all()
    assert set(tables["main_effects"]["factor"]) == {"variant", "b_dec_init", "width"}
    assert tables["claims_matrix"].groupby("claim", sort=False).size().eq(4).all()
    assert tables["comparison_by_source"]["source"].tolist() == ["capped", "few"] * 4
    parts = read_json(tmp_path / study.documents)["sources"]
    whole = sum(part["characters"] for part in parts)
    for part in parts:
        rows = tables["sources"].query(f"source == '{part['name']}'")
        assert len(rows) == len(study.cells)
        for share in (rows["share"], rows["train_share"]):
            assert share.tolist() == pytest.approx([part["characters"] / whole] * 16, abs=0.1)
    assert workflow.planned() == {}
    assert "no fault; sound: " in workflow.run("verify").stdout
