"""Stage: judge every claim of the paper by the tables.

    python -m pipeline claims --measures DIR --tables DIR --synthetic summary.csv

Nothing is typed: every verdict is a rule applied to the tables. A rule says "not measured" where
the study lacks what the claim is about, and "not testable" where what it has cannot decide the
claim. The criteria are this project's own, and printed with the verdicts.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from pipeline.analysis.claims import latents, parts, protocols, sweeps
from pipeline.analysis.claims.evidence import Claim, Evidence
from pipeline.analysis.claims.limits import limits
from pipeline.analysis.claims.matrix import matrix_table
from pipeline.analysis.csv_files import read_table, write_tables
from pipeline.analysis.names import claim_tables
from pipeline.analysis.page import Part, parts_of, write_page
from pipeline.study.outputs import CELLS, CLAIMS, CLAIMS_MATRIX, CLAIMS_PAGE, SCOPE
from pipeline.study.scope import Scope


def criteria(table: pd.DataFrame) -> list[str]:
    """How verdicts are reached, each criterion with the numbers of its claims."""
    listed = table.drop_duplicates("claim").reset_index(drop=True)
    by_rule = listed.groupby("criterion", sort=False)
    return [f"{', '.join(str(i + 1) for i in rows.index)}: {rule}" for rule, rows in by_rule]


def write_claims_page(tables: Path, scope: Scope) -> None:
    """Write claims.md into the folder of the tables: the verdicts, the matrix of verdicts where
    there are several settings, how they are reached, and what the study cannot say."""
    parts: list[Part] = []
    for name in claim_tables(scope)[::-1]:
        parts += parts_of(name, read_table(tables / name), scope)[1]
    lists = {
        "How each is decided": criteria(read_table(tables / CLAIMS)),
        "Limits of this study": limits(scope, read_table(tables / CELLS)),
    }
    for title, lines in lists.items():
        parts += [f"## {title}", "\n".join(f"- {line}" for line in lines)]
    write_page(tables / CLAIMS_PAGE, "Claims of the paper", parts)


COLUMNS = ("claim", "statement", "paper", "source", "here", "outcome", "why", "criterion")


def claims() -> list[Claim]:
    """Every claim: those of each module in the order in which it has them, the paper's."""
    modules = (sweeps, parts, latents, protocols)
    found = [value for module in modules for value in vars(module).values()]
    return [value for value in found if isinstance(value, Claim)]


def claim_table(evidence: Evidence, reference: Mapping[str, str] | None = None) -> pd.DataFrame:
    """One row per (setting, claim), claims in the order of the paper.

    The setting is column ``recipe``, and ``widths`` where the study has several pairs of widths.

    Args:
        evidence: The tables of the study.
        reference: Claim -> what became of it in another study, which is then column ``reference``.
    """
    listed, spec = claims(), evidence.spec
    places = {claim.key: number for number, claim in enumerate(listed, start=1)}
    names = ["recipe", "widths"] if spec.several_widths else ["recipe"]
    rows = []
    for setting in spec.settings:
        found = evidence.under(setting)
        own = {name: getattr(setting, name) for name in names}
        for claim in listed:
            row = own | {"claim": claim.key, **claim.texts(places)}
            rows.append(row | vars(claim.verdict(found)))
    table = pd.DataFrame(rows, columns=[*names, *COLUMNS])
    if reference is None:
        return table
    return table.assign(reference=[reference.get(key, "") for key in table["claim"]])


def reference_verdicts(file: Path) -> dict[str, str]:
    """Claim -> how often each outcome came out, such as "holds 5, does not hold 2", or for which
    recipes where each setting has one with a name, such as "holds for frozen"; a claim about
    SA-GSAE alone counts once per training.

    Args:
        file: claims.csv, or claims_matrix.csv of a study with several settings.
    """
    table, told = read_table(file), dict[str, str]()
    if "same_as" in table:
        table = table[table["same_as"].isna()]
    for claim, rows in table.groupby("claim", sort=False):
        named = all(rows["recipe"]) and rows["recipe"].is_unique
        recipes = rows.groupby("outcome", sort=False)["recipe"]
        told[str(claim)] = ", ".join(
            f"{outcome} for {' and '.join(of)}" if named else f"{outcome} {len(of)}"
            for outcome, of in sorted(recipes, key=lambda one: -len(one[1]))
        )
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
    evidence = Evidence.read(spec, tables, synthetic)
    told = reference_verdicts(reference) if reference else None
    verdicts = claim_table(evidence, told)
    made = {CLAIMS: verdicts}
    if spec.several_settings:
        made[CLAIMS_MATRIX] = matrix_table(evidence, claims(), verdicts)
    write_tables(tables, "claims", spec, made)
    write_claims_page(tables, spec)
