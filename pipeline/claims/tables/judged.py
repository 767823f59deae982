"""What the tables of claims are made from, and the page on which they stand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.analysis.csv_files import CHECKOUT, read_table
from pipeline.analysis.table import Source, tables_from
from pipeline.claims.evidence import READ, Evidence
from pipeline.claims.load import claims_digest, load
from pipeline.study.measures import Measures
from pipeline.study.scope import Scope


def _open(known: Measures, root: Path) -> dict[str, Any]:
    """``evidence``: the tables of the study; ``listed``: its claims; ``beside``: columns of the
    matrix that tell of a setting; ``told``: what became of each claim in a published study."""
    spec = known.scope
    module, reference = load(spec.claims), reference_file(spec)
    return {
        "evidence": Evidence.read(spec, root),
        "listed": module.CLAIMS,
        "beside": getattr(module, "BESIDE", {}),
        "told": reference_verdicts(reference) if reference else None,
    }


def reference_file(spec: Scope) -> Path | None:
    """Where the published study that is compared with says what became of each claim: over all
    settings if it has several."""
    if not spec.reference:
        return None
    tables = CHECKOUT / spec.reference / "tables"
    named = [tables / table.file for table in tables_from(JUDGED)]
    return next((file for file in named if file.exists()), named[-1])


def reference_verdicts(file: Path) -> dict[str, str]:
    """Claim -> how often each outcome came out, such as "holds 5, does not hold 2"; settings on
    which a claim rests alike count once.

    Args:
        file: claims.csv, or claims_matrix.csv of a study with several settings.
    """
    table = read_table(file)
    if "same_as" in table:
        table = table[table["same_as"].isna()]
    told = {}
    for claim, outcomes in table.groupby("claim", sort=False)["outcome"]:
        counts = outcomes.value_counts().items()
        told[str(claim)] = ", ".join(f"{outcome} {count}" for outcome, count in counts)
    return told


def _reference(spec: Scope) -> list[str]:
    file = reference_file(spec)
    return [str(file)] if file else []


def _write_page(out: Path, spec: Scope) -> None:
    from pipeline.claims.page import write

    write(out, spec)


JUDGED = Source(
    "claims",
    open=_open,
    when=lambda spec: bool(spec.claims),
    tables=READ,
    files=_reference,
    more=lambda spec: claims_digest(spec.claims),
    write_page=_write_page,
)
