"""Tables by source of text: shares, comparisons on each source alone, and what the report shows."""

from __future__ import annotations

import re
from html import unescape

import pandas as pd
import pytest

from pipeline.analysis.figure import figures_of
from pipeline.jobs.json_files import read_json
from sagsae.files import write_atomic
from tests.helpers.made_studies import make_study
from tests.helpers.made_study import MadeStudy

LIFT = {"chats": 0.0, "news": -0.045}
"""R2 of the candidate on a source, above that on all text: on news it loses at (large, mlp_out)."""


def record(found: dict, source: str, lift: float) -> dict:
    """A source's part of a metrics file."""
    share = 0.25 if source == "news" else 0.75
    return {
        "train_rows": int(4096 * share),
        "train_share": share,
        "rows": int(8192 * share),
        "share": share,
        "l0": found["l0"] * (0.5 if source == "news" else 1),
        "r2": found["r2"] + lift,
        "r2_common": found["r2"],
        "sse": 1.0,
        "sst": 2.0,
        "ce_tokens": 508,
        **{f"ce_{of}": found[f"ce_{of}"] for of in ("sae", "clean", "zero", "mean")},
        "loss_recovered": 0.7 if source == "news" else 0.9,
    }


def with_sources(study: MadeStudy) -> MadeStudy:
    """Metrics by source in every cell."""
    for cell in study.cells:
        found = read_json(study.metrics_file(cell))
        candidate = found["cell"]["variant"] == "sagsae_tied"
        parts = {name: record(found, name, lift * candidate) for name, lift in LIFT.items()}
        study.change(cell, sources=parts, schema_version=3)
    study.spec["sources"] = list(LIFT)
    return study


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> MadeStudy:
    made = with_sources(make_study(tmp_path_factory.mktemp("sources")))
    made.tables()
    made.make("claims")
    return made


def test_every_cell_and_source_has_a_row(study):
    table = study.table("sources")
    assert len(table) == len(LIFT) * len(study.cells)
    assert list(table["source"][:2]) == ["chats", "news"]
    row = table.query("source == 'news' and model == 'small' and variant == 'gated'").iloc[0]
    assert (row["rows"], row["train_share"], row["ce_tokens"]) == (2048, 0.25, 508)
    assert pd.isna(row["loss_recovered_mean"])
    cells = study.table("cells")
    assert not [name for name in cells.columns if "source" in name]


def test_comparisons_on_each_source_alone(study):
    table = study.table("comparison_by_source")
    whole = study.table("comparison")
    places = [(m, h) for m in ("large", "small") for h in ("mlp_out", "resid")]
    expected = [(m, h, s) for m, h in places for s in LIFT]
    assert list(zip(table["model"], table["hookpoint"], table["source"], strict=True)) == expected
    chats, news = table[table["source"] == "chats"], table[table["source"] == "news"]
    assert chats["min_gap"].tolist() == pytest.approx(whole["min_gap"].tolist())
    assert news["min_gap"].tolist() == pytest.approx([g - 0.045 for g in whole["min_gap"]])
    assert chats["dominates"].tolist() == [True, True, True, False]
    assert news["dominates"].tolist() == [False, False, True, False]
    assert news["overlap_lo"].tolist() == pytest.approx((whole["overlap_lo"] / 2).tolist())
    assert not [name for name in table.columns if "dead" in name]


def test_the_report_shows_shares_and_comparisons(study):
    for name in figures_of(study.scope):  # of no matter here
        write_atomic(study.root / "figures" / f"{name}.svg", b"")
    page = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", unescape(study.report())))
    start = page.index("By source of text: large, mlp_out")
    shares, comparisons = page[start:].split("Comparisons on each source of text", 1)
    assert "Gated 384 0.05 0 chats 0.750 80.0 0.439 0.900" in shares
    assert "Gated 384 0.05 0 news 0.250 40.0 0.439 0.700" in shares
    assert "in each row: Candidate variant SA-GSAE tied, Baseline variant Gated" in comparisons
    assert "large mlp_out chats 192 384 20.1 80.4 yes 1.00 +0.040" in comparisons
    assert "large mlp_out news 192 384 10.1 40.2 no 0.00 -0.005" in comparisons
