"""The verdicts of another, published study, to stand beside a study's own."""

from __future__ import annotations

from pathlib import Path

from pipeline.study.outputs import CLAIMS, CLAIMS_MATRIX
from pipeline.text.csv_files import read_table


def claims_file(study: Path) -> Path:
    """Where a published study says what became of each claim: over all settings if it has several.

    Args:
        study: Its folder.
    """
    matrix = study / "tables" / CLAIMS_MATRIX
    return matrix if matrix.exists() else matrix.with_name(CLAIMS)


def reference_verdicts(file: Path) -> dict[str, str]:
    """Claim -> what became of it, in words.

    Args:
        file: What ``claims_file`` names.
    """
    table = read_table(file).drop_duplicates("claim").set_index("claim")
    told = table["sentence"] if "sentence" in table else table["outcome"].str.capitalize() + "."
    return {str(key): str(text) for key, text in told.items()}
