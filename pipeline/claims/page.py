"""The claims page: what the paper says, what this study found, and whether it agrees.

    python -m pipeline claims --spec JSON --tables DIR --synthetic [summary.csv] --out claims.csv

Nothing on it is typed: every verdict is a rule applied to the tables. A rule says "not measured"
where the study lacks what the claim is about, and "not testable" where what it has cannot decide
the claim. The criteria are this project's own, and printed with the verdicts.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from pipeline.claims import latents, matrix_text, parts, protocols, sweeps
from pipeline.claims.evidence import Claim, Evidence
from pipeline.claims.limits import limits
from pipeline.claims.matrix import matrix_table
from pipeline.claims.reference import reference_verdicts
from pipeline.claims.verdicts import FAILS, HOLDS, MISSING, OPEN
from pipeline.config.recipes import DEFAULT_RECIPE
from pipeline.study.comparison_spec import ComparisonSpec
from pipeline.study.outputs import CLAIMS_MATRIX
from pipeline.text.csv_files import read_table, write_csv
from pipeline.text.numbers import BLANK, Grid
from pipeline.text.pages import write_page

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
    names = ["recipe", *["widths"] * spec.several_widths]
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


def judged(table: pd.DataFrame, spec: ComparisonSpec) -> list[tuple[str, str, Grid]]:
    """Of each setting its name, the tally and the table that people read."""
    parts = []
    for names, rows in table.groupby(setting_columns(table), sort=False):
        recipe, *widths = map(str, names)
        named = [f"Recipe {recipe or DEFAULT_RECIPE}"] * spec.several + widths
        title = ", ".join([spec.titled("Claims of the paper", recipe), *widths])
        parts.append((", ".join(filter(None, named)), tally(rows), _grid(rows, title)))
    return parts


def setting_columns(table: pd.DataFrame) -> list[str]:
    """The columns of claims.csv that say which setting a row is of."""
    return [name for name in ("recipe", "widths") if name in table]


def _grid(table: pd.DataFrame, title: str) -> Grid:
    rows = tuple(
        (
            str(number),
            row["statement"],
            f"{row['paper'] or BLANK} ({row['source']})",
            row["here"] or BLANK,
            row["outcome"],
            row["why"],
            *([row["reference"]] if "reference" in table else []),
        )
        for number, row in enumerate(table.to_dict("records"), start=1)
    )
    columns = ("No.", "Claim", "Paper", "This study", "Outcome", "Remark")
    more = ("Reference study",) if "reference" in table else ()
    return Grid(title=title, columns=columns + more, rows=rows)


def tally(table: pd.DataFrame) -> str:
    """How many claims hold, in a sentence."""
    counts = table["outcome"].value_counts()
    held, failed, left, missing = (
        counts.get(outcome, 0) for outcome in (HOLDS, FAILS, OPEN, MISSING)
    )
    rest = f"cannot test {left} and has not measured {missing}"
    rest = f", {rest}" if missing else f" and cannot test {left}"
    return (
        f"Of {len(table)} claims of the paper this study bears out {held}, contradicts {failed}"
        f"{rest}. ± is one standard error: over seeds for means, from a bootstrap "
        "over seeds for gaps."
    )


def criteria(table: pd.DataFrame) -> list[str]:
    """How verdicts are reached, each criterion with the numbers of its claims."""
    listed = table.drop_duplicates("claim").reset_index(drop=True)
    by_rule = listed.groupby("criterion", sort=False)
    return [f"{', '.join(str(i + 1) for i in rows.index)}: {rule}" for rule, rows in by_rule]


def page_parts(
    table: pd.DataFrame,
    spec: ComparisonSpec,
    cells: pd.DataFrame,
    matrix: pd.DataFrame | None = None,
) -> list[str | Grid]:
    """The claims page; where there are several settings, with the matrix of their verdicts."""
    parts: list[str | Grid] = []
    if matrix is not None:
        parts += ["## Under all settings", *matrix_text.parts(matrix, spec)]
    for name, sentence, grid in judged(table, spec):
        parts += [f"## {name}"] * spec.several_settings + [sentence, grid]
    return [
        *parts,
        "## How each is decided",
        "\n".join(f"- {line}" for line in criteria(table)),
        "## Limits of this study",
        "\n".join(f"- {line}" for line in limits(spec, cells)),
    ]


def main(
    spec: ComparisonSpec,
    tables: Path,
    out: Path,
    synthetic: Path | None = None,
    reference: Path | None = None,
) -> None:
    """Judge every claim, and write the page.

    Args:
        spec: the study's comparison spec as JSON, or @FILE that holds it
        tables: folder of the tables
        out: claims.csv; .md, .tex beside it, and claims_matrix.csv of several settings
        synthetic: summary.csv of the synthetic protocols, if run
        reference: claims.csv or claims_matrix.csv of a published study to compare with, if any
    """
    evidence = Evidence.read(spec, tables, synthetic)
    told = reference_verdicts(reference) if reference else None
    verdicts, matrix = claim_table(evidence, told), None
    write_csv(out, verdicts)
    if spec.several_settings:
        path = out.with_name(CLAIMS_MATRIX)
        write_csv(path, matrix_table(evidence, claims(), verdicts))
        matrix = read_table(path)
    page = page_parts(read_table(out), spec, evidence.cells, matrix)
    write_page(out, "Claims of the paper", page)
