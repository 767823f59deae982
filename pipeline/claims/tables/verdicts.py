"""claims.csv: the verdict on every claim that a study names, under each of its settings.

Nothing is typed: every verdict is a rule applied to the tables. A rule says "not measured" where
the study lacks what the claim is about, and "not testable" where what it has cannot decide the
claim. The criteria are printed with the verdicts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from pipeline.analysis.columns import text
from pipeline.analysis.table import Table
from pipeline.claims.claim import Claim
from pipeline.claims.evidence import Evidence
from pipeline.claims.tables.judged import JUDGED

COLUMNS = ("claim", "statement", "paper", "source", "here", "outcome", "why", "criterion")
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
    places = {claim.key: number for number, claim in enumerate(listed, start=1)}
    names = ["recipe", "widths"] if spec.several_widths else ["recipe"]
    rows = []
    for setting in spec.settings:
        here = evidence.under(setting)
        named = {name: getattr(setting, name) for name in names}
        for claim in listed:
            row = named | {"claim": claim.key, **claim.texts(places)}
            rows.append(row | vars(claim.verdict(here)))
    table = pd.DataFrame(rows, columns=[*names, *COLUMNS])
    if told is not None:
        table["reference"] = [told.get(key, "") for key in table["claim"]]
    return table
