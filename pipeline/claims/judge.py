"""Stage: judge every claim that a study names by its tables.

    python -m pipeline claims --measures DIR --tables DIR --synthetic summary.csv

Nothing is typed: every verdict is a rule applied to the tables. A rule says "not measured" where
the study lacks what the claim is about, and "not testable" where what it has cannot decide the
claim. The criteria are printed with the verdicts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from pipeline.analysis.csv_files import read_table, write_tables
from pipeline.analysis.limits import limits
from pipeline.analysis.names import claim_tables
from pipeline.analysis.page import Part, parts_of, write_page
from pipeline.claims.claim import Claim
from pipeline.claims.evidence import Evidence
from pipeline.claims.load import claims_digest, load
from pipeline.claims.matrix import matrix_table
from pipeline.study.outputs import CELLS, CLAIMS, CLAIMS_MATRIX, CLAIMS_PAGE, SCOPE
from pipeline.study.scope import Scope


def criteria(table: pd.DataFrame) -> list[str]:
    """How verdicts are reached, each criterion with the numbers of its claims."""
    listed = table.drop_duplicates("claim").reset_index(drop=True)
    by_rule = listed.groupby("criterion", sort=False)
    return [f"{', '.join(str(i + 1) for i in rows.index)}: {rule}" for rule, rows in by_rule]


def write_claims_page(tables: Path, scope: Scope, more: Sequence[str]) -> None:
    """Write claims.md into the folder of the tables: the verdicts, the matrix of verdicts where
    there are several settings, how they are reached, and what the study cannot say; ``more`` are
    limits that the claims have themselves."""
    parts: list[Part] = []
    for name in claim_tables(scope)[::-1]:
        parts += parts_of(name, read_table(tables / name), scope)[1]
    lists = {
        "How each is decided": criteria(read_table(tables / CLAIMS)),
        "Limits of this study": [*limits(scope, read_table(tables / CELLS)), *more],
    }
    for title, lines in lists.items():
        parts += [f"## {title}", "\n".join(f"- {line}" for line in lines)]
    write_page(tables / CLAIMS_PAGE, "Claims", parts)


COLUMNS = ("claim", "statement", "paper", "source", "here", "outcome", "why", "criterion")


def claim_table(evidence: Evidence, listed: Sequence[Claim]) -> pd.DataFrame:
    """One row per (setting, claim), claims in the order of their list.

    The setting is column ``recipe``, and ``widths`` where the study has several pairs of widths.
    """
    spec = evidence.spec
    places = {claim.key: number for number, claim in enumerate(listed, start=1)}
    names = ["recipe", "widths"] if spec.several_widths else ["recipe"]
    rows = []
    for setting in spec.settings:
        found = evidence.under(setting)
        own = {name: getattr(setting, name) for name in names}
        for claim in listed:
            row = own | {"claim": claim.key, **claim.texts(places)}
            rows.append(row | vars(claim.verdict(found)))
    return pd.DataFrame(rows, columns=[*names, *COLUMNS])


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


def main(
    measures: Path,
    tables: Path,
    synthetic: Path | None = None,
    reference: Path | None = None,
) -> None:
    """Judge every claim, and write claims.csv, claims_matrix.csv of several settings, and the page.

    Args:
        measures: folder of the measures
        tables: folder of the tables, where they go
        synthetic: summary.csv of the synthetic protocols, if they are part of the study
        reference: claims.csv or claims_matrix.csv of a published study to compare with, if any
    """
    spec = Scope.read(measures / SCOPE)
    module, evidence = load(spec.claims), Evidence.read(spec, tables, synthetic)
    verdicts = claim_table(evidence, module.CLAIMS)
    if reference:  # what became of each claim in another study
        told = reference_verdicts(reference)
        verdicts["reference"] = [told.get(key, "") for key in verdicts["claim"]]
    made = {CLAIMS: verdicts}
    if spec.several_settings:
        beside = getattr(module, "BESIDE", {})
        made[CLAIMS_MATRIX] = matrix_table(evidence, module.CLAIMS, verdicts, beside)
    write_tables(tables, "claims", spec, made, more=claims_digest(spec.claims))
    write_claims_page(tables, spec, getattr(module, "LIMITS", ()))
