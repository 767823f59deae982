"""The verdicts of another, published study, to stand beside a study's own."""

from __future__ import annotations

from pathlib import Path

from pipeline.analysis.csv_files import read_table


def reference_verdicts(file: Path) -> dict[str, str]:
    """Claim -> how often each outcome came out, such as "holds 5, does not hold 2".

    Args:
        file: claims.csv, or claims_matrix.csv of a study with several settings.
    """
    table, told = read_table(file), dict[str, str]()
    for claim, rows in table.groupby("claim", sort=False):
        counts = rows["outcome"].value_counts()
        told[str(claim)] = ", ".join(f"{outcome} {n}" for outcome, n in counts.items())
    return told
