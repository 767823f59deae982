"""The claims page: what the paper says, what this study found, and whether it agrees.

    python -m pipeline claims --spec JSON --tables DIR --synthetic [summary.csv] --out claims.csv

Nothing on it is typed: every verdict is a rule applied to the tables. A rule says "not testable"
only where the study lacks what the claim is about, or where no result could have met it. The
criteria are this project's own, and printed with the verdicts.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pipeline.claims import latents, parts, protocols, sweeps
from pipeline.claims.evidence import FAILS, HOLDS, OPEN, Claim, Evidence
from pipeline.claims.limits import limits
from pipeline.config.recipes import DEFAULT_RECIPE
from pipeline.study.comparison_spec import ComparisonSpec
from pipeline.text.csv_files import read_table, write_csv
from pipeline.text.numbers import BLANK, Grid
from pipeline.text.pages import write_page

COLUMNS = ("recipe", "claim", "statement", "paper", "source", "here", "outcome", "why", "criterion")


def claims() -> list[Claim]:
    """Every claim: those of each module in the order in which it has them, the paper's."""
    modules = (sweeps, parts, latents, protocols)
    found = [value for module in modules for value in vars(module).values()]
    return [value for value in found if isinstance(value, Claim)]


def claim_table(evidence: Evidence) -> pd.DataFrame:
    """One row per (recipe, claim), claims in the order of the paper."""
    listed = claims()
    places = {claim.key: number for number, claim in enumerate(listed, start=1)}
    rows = []
    for recipe in evidence.spec.trained:
        found = evidence.under(recipe)
        for claim in listed:
            row = {"recipe": recipe, "claim": claim.key, **claim.texts(places)}
            rows.append(row | vars(claim.verdict(found)))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def judged(table: pd.DataFrame, spec: ComparisonSpec) -> list[tuple[str, str, Grid]]:
    """Of each recipe its name, the tally and the table that people read."""
    found = ((str(recipe), rows) for recipe, rows in table.groupby("recipe", sort=False))
    return [
        (
            recipe or DEFAULT_RECIPE,
            tally(rows),
            _grid(rows, spec.titled("Claims of the paper", recipe)),
        )
        for recipe, rows in found
    ]


def _grid(table: pd.DataFrame, title: str) -> Grid:
    rows = tuple(
        (
            str(number),
            row["statement"],
            f"{row['paper'] or BLANK} ({row['source']})",
            row["here"] or BLANK,
            row["outcome"],
            row["why"],
        )
        for number, row in enumerate(table.to_dict("records"), start=1)
    )
    columns = ("No.", "Claim", "Paper", "This study", "Outcome", "Remark")
    return Grid(title=title, columns=columns, rows=rows)


def tally(table: pd.DataFrame) -> str:
    """How many claims hold, in a sentence."""
    counts = table["outcome"].value_counts()
    held, failed, left = (counts.get(outcome, 0) for outcome in (HOLDS, FAILS, OPEN))
    return (
        f"Of {len(table)} claims of the paper this study bears out {held}, contradicts {failed} "
        f"and cannot test {left}. ± is one standard error: over seeds for means, from a bootstrap "
        "over seeds for gaps."
    )


def criteria(table: pd.DataFrame) -> list[str]:
    """How verdicts are reached, each criterion with the numbers of its claims."""
    listed = table.drop_duplicates("claim").reset_index(drop=True)
    by_rule = listed.groupby("criterion", sort=False)
    return [f"{', '.join(str(i + 1) for i in rows.index)}: {rule}" for rule, rows in by_rule]


def page_parts(table: pd.DataFrame, spec: ComparisonSpec, cells: pd.DataFrame) -> list[str | Grid]:
    """The claims page."""
    parts: list[str | Grid] = []
    for recipe, sentence, grid in judged(table, spec):
        parts += [f"## Recipe {recipe}"] * spec.several + [sentence, grid]
    return [
        *parts,
        "## How each is decided",
        "\n".join(f"- {line}" for line in criteria(table)),
        "## Limits of this study",
        "\n".join(f"- {line}" for line in limits(spec, cells)),
    ]


def main(spec: ComparisonSpec, tables: Path, out: Path, synthetic: Path | None = None) -> None:
    """Judge every claim, and write the page.

    Args:
        spec: the study's comparison spec as JSON, or @FILE that holds it
        tables: folder of the tables
        out: claims.csv; .md, .tex beside it
        synthetic: summary.csv of the synthetic protocols, if run
    """
    evidence = Evidence.read(spec, tables, synthetic)
    write_csv(out, claim_table(evidence))
    write_page(out, "Claims of the paper", page_parts(read_table(out), spec, evidence.cells))
