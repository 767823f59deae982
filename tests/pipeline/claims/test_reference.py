"""Verdicts of a published study beside a study's own."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pipeline.analysis.csv_files import write_csv
from pipeline.claims.sa_gsae import CLAIMS
from pipeline.claims.tables.verdicts import reference_file, reference_verdicts
from tests.helpers.made_studies import made_settings
from tests.pipeline.claims.sa_gsae.made_tables import spec

ROWS = pd.DataFrame(
    {
        "claim": ["dominance", "rest_gap", "dominance", "rest_gap"],
        "outcome": ["holds", "not testable", "does not hold", "not testable"],
        "recipe": ["", "", "zero", "zero"],
    }
)


def published(folder: Path, **columns: list[str]) -> Path:
    tables = folder / "tables"
    tables.mkdir(exist_ok=True)
    write_csv(tables / "claims.csv", ROWS[:2])
    if columns:
        write_csv(tables / "claims_matrix.csv", ROWS.assign(**columns))
    return reference_file(spec(reference=str(folder)))


def test_outcomes_are_counted(tmp_path):
    file = published(tmp_path)
    assert file == tmp_path / "tables" / "claims.csv"
    assert reference_verdicts(file)["dominance"] == "holds 1"
    file = published(tmp_path, number=["1", "1", "2", "2"])
    assert file == tmp_path / "tables" / "claims_matrix.csv"
    assert reference_verdicts(file) == {
        "dominance": "holds 1, does not hold 1",
        "rest_gap": "not testable 2",
    }


def test_they_stand_beside_the_studys_own(tmp_path):
    file = tmp_path / "other/tables/claims.csv"
    file.parent.mkdir(parents=True)
    listed = [claim.key for claim in CLAIMS]
    write_csv(file, pd.DataFrame({"claim": listed, "outcome": "holds", "recipe": ""}))
    made = made_settings(tmp_path)
    made.spec["reference"] = str(tmp_path / "other")
    made.tables()
    made.make("claims")
    for name in ("claims", "claims_matrix"):
        assert set(made.table(name)["reference"]) == {"holds 1"}
