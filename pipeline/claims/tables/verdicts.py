"""claims.csv: the verdict on every claim that a study names, under each of its settings; claims.md.

Nothing is typed: every verdict is a rule applied to the tables. A rule says "not measured" where
the study lacks what the claim is about, and "not testable" where what it has cannot decide the
claim. The criteria are printed with the verdicts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.analysis.columns import text
from pipeline.analysis.csv_files import CHECKOUT, read_table
from pipeline.analysis.page import Part, parts_of, write_page
from pipeline.analysis.report import limits
from pipeline.analysis.table import Source, Table, tables_from
from pipeline.analysis.tables.cells import CELLS
from pipeline.claims.claim import Claim, claims_digest, load
from pipeline.claims.evidence import READ, Evidence
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
    files = [tables / table.file for table in tables_from(JUDGED)]
    return next((file for file in files if file.exists()), files[-1])


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


def _write_page(out: Path, spec: Scope) -> None:
    """Write claims.md: the verdicts, the matrix of verdicts where there are several settings, how
    they are reached, and what the study cannot say."""
    parts: list[Part] = []
    for table in tables_from(JUDGED):
        if table.is_of(spec):
            parts += parts_of(table, read_table(out.with_name(table.file)), spec)
    listed = read_table(out.with_name(CLAIMS.file)).drop_duplicates("claim", ignore_index=True)
    rules = [
        f"{', '.join(str(i + 1) for i in rows.index)}: {rule}"
        for rule, rows in listed.groupby("criterion", sort=False)
    ]
    of_study = limits(spec, read_table(out.with_name(CELLS.file)))
    of_claims = getattr(load(spec.claims), "LIMITS", ())
    lists = {"How each is decided": rules, "Limits of this study": [*of_study, *of_claims]}
    for title, lines in lists.items():
        parts += [f"## {title}", "\n".join(f"- {line}" for line in lines)]
    write_page(out, CLAIMS.title, parts)


JUDGED = Source(
    "claims",
    _open,
    lambda spec: spec.claims,
    tables=READ,
    files=lambda spec: [str(file)] if (file := reference_file(spec)) else [],
    more=lambda spec: claims_digest(spec.claims),
    write_page=_write_page,
)
COLUMNS = ["claim", "statement", "paper", "source", "here", "outcome", "why", "criterion"]
CLAIMS = Table(
    "claims",
    "Claims",
    reads="± is one standard error: over seeds for means, from a bootstrap over seeds for gaps.",
    by=["recipe widths"],
    columns=[
        text("statement", "Claim"),
        "paper source",
        text("here", "This study"),
        "outcome",
        text("why", "Remark"),
        "reference",
    ],
    texts="claim paper reference criterion",
)


@CLAIMS.made_from(JUDGED)
def claim_table(
    evidence: Evidence, listed: Sequence[Claim], told: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """One row per (setting, claim), claims in the order of their list.

    The setting is column ``recipe``, and ``widths`` where the study has several pairs of widths.

    Args:
        evidence: The tables of the study.
        listed: The claims.
        told: What became of each claim in another study, for column ``reference``.
    """
    spec = evidence.spec
    names = ["recipe", "widths"] if spec.several_widths else ["recipe"]
    names += COLUMNS if told is None else [*COLUMNS, "reference"]
    return pd.DataFrame(list(_verdicts(evidence, listed, told or {})), columns=names)


def _verdicts(
    evidence: Evidence, listed: Sequence[Claim], told: Mapping[str, str]
) -> Iterator[dict[str, str]]:
    numbers = {claim.key: number for number, claim in enumerate(listed, start=1)}
    for setting in evidence.spec.settings:
        here = evidence.under(setting)
        for claim in listed:
            row = {"claim": claim.key, "reference": told.get(claim.key, "")}
            row |= {"recipe": setting.recipe, "widths": setting.widths}
            yield row | claim.texts(numbers) | vars(claim.verdict(here))
